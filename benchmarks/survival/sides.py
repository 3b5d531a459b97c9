"""The two searches that ``benchmarks.survival.kills`` kills, each a process's program.

    python -m benchmarks.survival.sides ours ARGUMENTS OF tuning.search
    python -m benchmarks.survival.sides plain DIR TRIALS

Ours is the command line itself; its workers also note the task of each step. Plain is Ray Tune with
OptunaSearch and ``Tuner.restore`` as their documentation has it, training the same model on the
same batches at the same pace, with a checkpoint at every evaluation, five in a second.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support import slow, tiny

ENTRY = "tests.support.slow:execute"
WORKERS = 2
DONE = -1
"""The step that plain notes at the end of a trial."""
EXPERIMENT = "chaos"


def ours(argv: list[str]) -> int:
    """``python -m tuning.search``, with the task in each line of the log."""
    from tuning import search
    from tuning.drivers import ray_driver as driver_ray

    driver_ray.RayDriver = functools.partial(driver_ray.RayDriver, entry=ENTRY)  # type: ignore[assignment,misc]
    return search.main(argv)


def objective(config: dict[str, float]) -> None:
    """A trial of plain's: trains for its horizon, reports and saves at every evaluation."""
    import torch
    from ray import tune

    torch.set_num_threads(1)
    trial = tune.get_context().get_trial_id()
    workload = slow.slow()
    model = tiny.make_model(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config["rate"], weight_decay=0.1)
    step = 0
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            state = torch.load(Path(folder) / "state.pt", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    steps = round(config["horizon"] * workload.steps)
    while step < steps:
        slow.note(trial, step)
        loss = tiny.loss(model, tiny.batch_at(0, step))
        slow.pause()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        step += 1
        if step % workload.eval_every == 0 or step == steps:
            with tempfile.TemporaryDirectory() as folder:
                state = {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step,
                }
                torch.save(state, Path(folder) / "state.pt")
                metrics = {"loss": tiny.evaluate(model), "trial": trial}
                tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))
    slow.note(trial, DONE)


def plain(folder: Path, trials: int) -> int:
    """Start the search, or restore it where there is something to restore.

    It prints the trials that the search ends with.
    """
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    trainable = tune.with_resources(objective, {"cpu": 1})
    path = str(folder / EXPERIMENT)
    ray.init(num_cpus=WORKERS, include_dashboard=False)
    if tune.Tuner.can_restore(path):
        tuner = tune.Tuner.restore(path, trainable=trainable, resume_errored=True)
    else:
        tuner = tune.Tuner(
            trainable,
            param_space={"rate": tune.loguniform(1e-3, 1e-1), "horizon": tune.uniform(0.3, 1.0)},
            tune_config=tune.TuneConfig(
                search_alg=OptunaSearch(),
                metric="loss",
                mode="min",
                num_samples=trials,
                max_concurrent_trials=WORKERS,
            ),
            run_config=tune.RunConfig(
                name=EXPERIMENT,
                storage_path=str(folder),
                failure_config=tune.FailureConfig(max_failures=3),
            ),
        )
    results = tuner.fit()
    kept = [_trial_of(result) for result in results if result.error is None and result.metrics]
    (folder / "kept").write_text("\n".join(kept))
    return 0


def _trial_of(result: Any) -> str:
    return str(result.metrics["trial_id"])


if __name__ == "__main__":
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    sides = {
        "ours": lambda argv: ours(argv),
        "plain": lambda argv: plain(Path(argv[0]), int(argv[1])),
    }
    sys.exit(sides[sys.argv[1]](sys.argv[2:]))
