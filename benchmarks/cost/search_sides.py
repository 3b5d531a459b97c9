"""The sides of ``benchmarks.cost.search``: the same search by Ray Tune, by Optuna, by ours.

Every trial trains with the same loop on the same cost table, so that equal knobs are equal training
whoever proposed them. The plain sides optimise what people measure, the wall seconds of a trial and
its final loss.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from models.device import run_device
from models.levers.levers import divide_knobs
from models.registry import find_workload
from models.workload import Workload
from models.workloads.byte_lm import byte_lm
from models.workloads.byte_lm_narrow import NARROW
from policies.base import Scalar
from policies.registry import make_policy
from search_spaces.base import SearchSpace
from search_spaces.knobs import Choice, Float, Int, Knob
from search_spaces.registry import find_space
from tuning.config.config import SearchConfig
from tuning.config.resources import Machine
from tuning.session.conduct import conduct
from tuning.session.description import describe
from tuning.store.store import Store
from tuning.training.loop import TrainingRun
from tuning.training.place import set_threads
from tuning.trial.clock import CostTable, charge
from tuning.trial.trial import AGAIN

SPACE = "dynamic_suffix"
SHORT_STEPS = 200


def short() -> Workload:
    """byte_lm_narrow with a third of its steps."""
    return byte_lm(recipe=replace(NARROW, steps=SHORT_STEPS))


@dataclass(frozen=True)
class Job:
    """One side's search.

    Attributes:
        side: a key of ``SIDES``.
        shared: directory of a run that holds the cost table.
        folder: an empty directory for whatever the side writes.
        target: loss that this project's side is told to reach.
        at_once: trials at once.
        driver: of this project's side.
    """

    side: str
    workload: str
    trials: int
    seed: int
    target: float
    shared: str
    folder: str
    at_once: int
    driver: str = "ray"

    @property
    def costs(self) -> CostTable:
        """The cost table by which every side trains and is scored."""
        return shared_costs(self.shared)


def shared_costs(run: str) -> CostTable:
    """The cost table of the run that all sides share."""
    found = Store.open(Path(run)).info.calibration
    assert found is not None, "the shared run is calibrated before any side"
    return found


@dataclass(frozen=True)
class Done:
    """A task of a side's search, with its begin and end in seconds since the epoch.

    ``solo`` and ``loss`` are its point; None where it has none.
    """

    began: float
    ended: float
    solo: float | None = None
    loss: float | None = None


def train(job: Job, params: Mapping[str, Scalar]) -> Done:
    """Train one trial of a plain side."""
    began, costs = time.time(), job.costs
    set_threads(costs.threads)
    policy, horizon, knobs = find_space(SPACE).split(params)
    run = TrainingRun(
        _workload(job.workload),
        make_policy(policy, divide_knobs(knobs)[0]),
        seed=job.seed,
        horizon=horizon,
        costs=costs,
        device=run_device(),
    )
    while not run.finished:
        run.advance()
    solo = charge(costs, run.measurements().ledger).train_seconds
    return Done(began, time.time(), solo, run.curve[-1].val_loss)


@lru_cache(maxsize=1)
def _workload(name: str) -> Workload:
    return find_workload(name, None)


def _note(job: Job, done: Done) -> None:
    """Add a line to the side's list.

    A single system call appends it, so lines of several processes do not mix.
    """
    line = json.dumps(asdict(done)) + "\n"
    descriptor = os.open(Path(job.folder) / "trials.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def _noted(job: Job) -> list[Done]:
    lines = (Path(job.folder) / "trials.jsonl").read_text().splitlines()
    return [Done(**json.loads(line)) for line in lines]


def suggest(space: SearchSpace, trial: Any) -> dict[str, Scalar]:
    """Params of the space from an Optuna trial, conditional knobs where they apply."""

    def choose(knob: Knob) -> Scalar:
        if isinstance(knob, Choice):
            return trial.suggest_categorical(knob.name, list(knob.choices))  # type: ignore[no-any-return]
        assert isinstance(knob, (Float, Int)), "a searched knob is a range or a choice"
        ask = trial.suggest_int if isinstance(knob, Int) else trial.suggest_float
        return ask(knob.name, knob.low, knob.high, log=knob.log)  # type: ignore[no-any-return]

    return space.decide(choose)


def define(trial: Any) -> None:
    """The space as OptunaSearch takes it; it pickles this by name."""
    suggest(find_space(SPACE), trial)


def plain_ray(job: Job) -> list[Done]:
    """Ray Tune with a function trainable and OptunaSearch, both objectives given to it."""
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    def objective(config: dict[str, Scalar]) -> None:
        done = train(job, config)
        _note(job, done)
        tune.report({"seconds": done.ended - done.began, "loss": done.loss})

    on_gpu = torch.cuda.is_available()
    ray.init(address="local", num_cpus=job.at_once, include_dashboard=False)
    tuner = tune.Tuner(
        tune.with_resources(objective, {"cpu": 1, "gpu": 1 / job.at_once if on_gpu else 0}),
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(
                space=define, metric=["seconds", "loss"], mode=["min", "min"], seed=job.seed
            ),
            num_samples=job.trials,
            max_concurrent_trials=job.at_once,
        ),
        run_config=tune.RunConfig(storage_path=str(Path(job.folder).absolute())),
    )
    tuner.fit()
    ray.shutdown()
    return _noted(job)


def plain_optuna(job: Job) -> list[Done]:
    """Optuna's TPE on both objectives, with as many jobs in threads."""
    import optuna

    def objective(trial: Any) -> tuple[float, float]:
        done = train(job, suggest(find_space(SPACE), trial))
        assert done.loss is not None, "it trained to its end"
        _note(job, done)
        return done.ended - done.began, done.loss

    sampler = optuna.samplers.TPESampler(seed=job.seed)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    study.optimize(objective, n_trials=job.trials, n_jobs=job.at_once)
    return _noted(job)


def ours(job: Job, **options: Any) -> list[Done]:
    """Run the search of this project, which is told the cost table and a target.

    ``options`` switch parts of it off.
    """
    config = SearchConfig(
        run=str(Path(job.folder) / "run"),
        workload=job.workload,
        space=SPACE,
        trials=job.trials,
        seed=job.seed,
        target=job.target,
        concurrency=job.at_once,
        driver=job.driver,
        **options,
    )
    workload, resources = _workload(job.workload), config.resources(Machine.here())
    store = Store.create(Path(config.run), describe(config, workload, resources))
    store.update_info(calibration=job.costs, device=job.costs.device)
    conduct(store, config, workload, resources, None)
    found = []
    for record in [*store.references().values(), *store.records()]:
        times = record.started_at.timestamp(), record.finished_at.timestamp()
        point = record.state == "finished" and record.origin not in AGAIN
        found.append(Done(*times, record.train_seconds, record.val_loss) if point else Done(*times))
    return found


SIDES: dict[str, Callable[[Job], list[Done]]] = {
    "plain Ray Tune": plain_ray,
    "plain Optuna": plain_optuna,
    "ours": ours,
    "ours, no forks": lambda job: ours(job, forks=False),
    "ours, no stopping": lambda job: ours(job, stop_confidence=None),
    "ours, no replicates": lambda job: ours(job, replicates=0.0),
    "ours, random sampler": lambda job: ours(job, sampler="random"),
}
"""By name; the parts of ours are switched off one at a time."""
