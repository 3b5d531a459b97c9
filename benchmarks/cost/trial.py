"""What a trial costs beside its training: ours against plain Ray Tune with OptunaSearch, as its
documentation has it.

Both run 40 tasks that do nothing, two at once, each side in a process of its own that starts Ray
afresh; the sides take turns. Printed are seconds a trial once workers are up (the whole search less
its first results), and start-up included.

    python -m benchmarks.cost.trial [--tasks 40] [--rounds 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tuning.drivers.driver import Nothing
from tuning.trial.task import Ending, Lost

WORKERS = 2
GOAL = 10.0
SIDES = ("ours", "plain")


def nothing(run: str, task: str, epoch: int) -> Ending:
    """A trivial task."""
    return Ending.DONE


class _Tasks:
    """A source of ``count`` tasks that notes when each has ended."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.in_flight = 0
        self.ends: list[float] = []

    def ask(self) -> str | Nothing:
        if not self.left:
            return Nothing.WAIT if self.in_flight else Nothing.DONE
        self.left -= 1
        self.in_flight += 1
        return str(self.left)

    def ended(self, task: str, ending: Ending) -> None:
        self.in_flight -= 1
        self.ends.append(time.perf_counter())

    def lost(self, task: str, why: Lost) -> None:
        raise RuntimeError(f"task {task}: {why}")

    def deadline(self, task: str) -> float | None:
        return None

    def tick(self) -> None:
        pass


def ours(count: int) -> list[float]:
    """Ends of the trials of one search with the Ray driver, in seconds since its start."""
    from tuning.drivers.ray_driver import RayDriver

    tasks = _Tasks(count)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as run:
        entry = "benchmarks.cost.trial:nothing"
        with RayDriver(Path(run), concurrency=WORKERS, cpus_per_trial=1, entry=entry) as driver:
            driver.drive(tasks)
    return [end - begun for end in tasks.ends]


def plain(count: int) -> list[float]:
    """The same with a function trainable, OptunaSearch and Tune's defaults."""
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    ends: list[float] = []

    class Ends(tune.Callback):  # type: ignore[misc]
        def on_trial_complete(self, *args: object, **kwargs: object) -> None:
            ends.append(time.perf_counter())

    def objective(config: dict[str, float]) -> None:
        tune.report({"loss": config["x"] ** 2})

    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as storage:
        ray.init(num_cpus=WORKERS)
        tuner = tune.Tuner(
            objective,
            param_space={"x": tune.uniform(-1, 1)},
            tune_config=tune.TuneConfig(
                search_alg=OptunaSearch(),
                metric="loss",
                mode="min",
                num_samples=count,
                max_concurrent_trials=WORKERS,
            ),
            run_config=tune.RunConfig(storage_path=storage, callbacks=[Ends()]),
        )
        tuner.fit()
        ray.shutdown()
    return [end - begun for end in ends]


def summary(ends: list[float]) -> dict[str, float]:
    """Seconds a trial: once every worker has delivered a first result, and from the very start."""
    ends = sorted(ends)
    return {
        "steady": (ends[-1] - ends[WORKERS - 1]) / (len(ends) - WORKERS),
        "with_start_up": ends[-1] / len(ends),
        "first_result": ends[0],
    }


def measure(side: str, count: int) -> dict[str, float]:
    """Run one side in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.cost.trial", "--side", side, "--tasks", str(count)]
    with tempfile.TemporaryFile("w+") as output:
        subprocess.run(
            command, check=True, stdout=output, stderr=subprocess.DEVNULL, env=dict(os.environ)
        )
        output.seek(0)
        figures: dict[str, float] = json.loads(output.read().splitlines()[-1])
    return figures


def compare(count: int, rounds: int) -> dict[str, object]:
    """Medians of both sides over ``rounds`` turns, and their ratios."""
    turns = [{side: measure(side, count) for side in SIDES} for _ in range(rounds)]
    medians = {
        side: {
            name: statistics.median(turn[side][name] for turn in turns) for name in turns[0][side]
        }
        for side in SIDES
    }
    ratios = {name: medians["plain"][name] / medians["ours"][name] for name in medians["ours"]}
    return {
        "tasks": count,
        "rounds": turns,
        "seconds": medians,
        "plain_over_ours": ratios,
        "goal": GOAL,
    }


def table(result: dict[str, object]) -> str:
    """The comparison as text."""
    seconds, ratios = result["seconds"], result["plain_over_ours"]
    assert isinstance(seconds, dict)
    assert isinstance(ratios, dict)
    lines = [f"{'seconds':<22}{'ours':>10}{'plain':>10}{'plain/ours':>12}"]
    labels = {
        "steady": "a trial, workers up",
        "with_start_up": "a trial, all included",
        "first_result": "first result",
    }
    for name, label in labels.items():
        lines.append(
            f"{label:<22}{seconds['ours'][name]:>10.3f}{seconds['plain'][name]:>10.3f}{ratios[name]:>12.1f}"
        )
    verdict = "met" if ratios["steady"] >= GOAL else "missed"
    return "\n".join(
        [*lines, f"goal: at least {GOAL:.0f} times less a trial once workers are up: {verdict}"]
    )


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=40, help="tasks a search (default 40)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side (default 3)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run: Callable[[int], list[float]] = {"ours": ours, "plain": plain}[options.side]
        print(json.dumps(summary(run(options.tasks))))
        return
    result = compare(options.tasks, options.rounds)
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
