"""Seconds from typing a search to its first trained step: a first one, a second one of the same
workload that takes its clock, and the first one resumed.

Each is started as a user starts it, followed until a worker begins a task that trains, and then
interrupted. Printed are wall seconds until the run directory is there (a resumed one's is), until
Ray is being started and until a task begins; and the seconds of a processor that all processes of
the search took by then, which say more than the others where something else runs beside.

Beside them *plain Ray Tune*: a process that imports torch and has two workers of Ray Tune import
it and train a step, as its documentation shows it. Less than that no search through Ray takes.

    python -m benchmarks.cost.start [--workload W] [--rounds 3] [--json FILE]
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.common import Row, machine, parser, publish

POLL_SECONDS = 0.02
PATIENCE = 600.0
MOMENTS = ("directory", "Ray", "task")
PLAIN = "plain Ray Tune"


def commands(workload: str, folder: Path) -> Mapping[str, Sequence[str]]:
    """What is typed, by what it is, in order; the first makes what the others need."""
    first, second = folder / "first", folder / "second"
    new = ["--workload", workload, "--trials", "8"]
    return {
        "first": ["--run", str(first), *new],
        "second, with its clock": ["--run", str(second), *new, "--clock", str(first)],
        "resumed": ["--resume", str(first)],
    }


def begun(run: Path) -> bool:
    """Whether a worker has begun a task that trains."""
    for path in (run / "running").glob("*.json"):
        with suppress(OSError, ValueError):
            if json.loads(path.read_text())["executions"]:
                return True
    return any((run / "trials").glob("*.parquet"))


def times(arguments: Sequence[str], run: Path) -> dict[str, float]:
    """Wall seconds until each moment, and the processors' seconds until the last.

    Raises:
        RuntimeError: the search ended before anything was trained.
    """
    _forget(run)
    signs = {
        "directory": lambda: (run / "run.json").exists(),
        "Ray": lambda: (run / "ray").exists(),
        "task": lambda: begun(run),
    }
    return _followed(["tuning.search", *arguments], signs)


def plain_times(folder: Path) -> dict[str, float]:
    """The same of ``plain``."""
    done = folder / "plain"
    return _followed(["benchmarks.cost.start", "--plain", str(done)], {"task": done.exists})


def plain(done: Path) -> None:
    """Have two workers of Ray Tune train a step of torch; ``done`` is there when one has begun."""
    import ray
    import torch
    from ray import tune

    def train(config: dict[str, int]) -> None:
        weights = torch.zeros(8, 8, requires_grad=True)
        (weights @ weights).sum().backward()  # type: ignore[no-untyped-call]
        done.touch()
        tune.report({"loss": float(config["number"])})

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    tune.Tuner(train, param_space={"number": tune.grid_search([0, 1])}).fit()


def _followed(words: Sequence[str], signs: Mapping[str, Callable[[], bool]]) -> dict[str, float]:
    found: dict[str, float] = {}
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while len(found) < len(signs) and time.perf_counter() - begin < PATIENCE:
        if process.poll() is not None:
            raise RuntimeError(f"{words} ended: {process.communicate()[1]}")
        for moment, sign in signs.items():
            if moment not in found and sign():
                found[moment] = time.perf_counter() - begin
        time.sleep(POLL_SECONDS)
    found["processors"] = _processor_seconds(process.pid)
    process.send_signal(signal.SIGINT)
    process.communicate()
    return found


def _forget(run: Path) -> None:
    """Let a search that goes on begin its tasks as if for the first time, to see when it does."""
    for path in (run / "running").glob("*.json"):
        text = json.loads(path.read_text())
        path.write_text(json.dumps({**text, "executions": 0}))


def _processor_seconds(process: int) -> float:
    whole = psutil.Process(process)
    spent = 0.0
    for each in (whole, *whole.children(recursive=True)):
        with suppress(psutil.Error):
            used = each.cpu_times()
            spent += used.user + used.system + used.children_user + used.children_system
    return spent


def measured(workload: str, rounds: int) -> list[Row]:
    """A row for each kind of search: medians over rounds, and each round's seconds to the task."""
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(rounds):
        folder = Path(tempfile.mkdtemp(prefix="start-"))
        try:
            for name, arguments in commands(workload, folder).items():
                found.setdefault(name, []).append(times(arguments, Path(arguments[1])))
            found.setdefault(PLAIN, []).append(plain_times(folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return [_row(name, each) for name, each in found.items()]


def _row(name: str, rounds: Sequence[Mapping[str, float]]) -> Row:
    middle = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
    return {
        "search": name,
        **{f"s until {moment}": middle.get(moment) for moment in MOMENTS},
        "processor s": middle["processors"],
        "of rounds": " ".join(f"{each['task']:.1f}" for each in rounds),
    }


def main() -> None:
    """Measure, print and write."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--workload", default="byte_lm", help="(default: byte_lm)")
    options.add_argument("--plain", type=Path, help="for this program's own use")
    asked = options.parse_args()
    if asked.plain:
        plain(asked.plain)
        return
    about = machine()
    rows = measured(asked.workload, asked.rounds)
    publish({"from typing to training": rows}, asked.json, {**about, "load after": _load()})


def _load() -> float:
    return round(os.getloadavg()[0], 2)


if __name__ == "__main__":
    main()
