"""The tiny workload at a pace at which it can be killed in the middle, with a log of every step
that was trained.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from dataclasses import dataclass
from pathlib import Path

from models.workload import Workload
from tests.support import tiny
from tuning.trial.task import Ending

NAME = "tests.support.slow:slow"
LOG = "SLOW_LOG"
"""Environment variable: a file to which every step adds a line, from whichever process."""
HOLD = "SLOW_HOLD"
"""Environment variable: a path. While there is a file, a step adds its process's id to it and
stays where it is.
"""
STEP_SECONDS = 0.01
_task = "-"


@dataclass(frozen=True)
class Step:
    """One line of the log: when, by which process, of which task (``-`` where the driver does not
    say), which step.
    """

    at: float
    pid: int
    task: str
    step: int


def slow() -> Workload:
    """About a second a trial."""
    return dataclasses.replace(tiny.tiny(steps=120, target=0.5), eval_every=20, batch_at=_batch_at)


def _batch_at(seed: int, step: int) -> tiny.Pair:
    note(_task, step)
    pause()
    return tiny.batch_at(seed, step)


def pause() -> None:
    """What makes a step slow, or stay."""
    time.sleep(STEP_SECONDS)
    hold = Path(os.environ.get(HOLD, os.devnull))
    if hold.is_file():
        with contextlib.suppress(FileNotFoundError):
            _append(hold, f"{os.getpid()}\n")
    while hold.is_file():
        time.sleep(STEP_SECONDS)


def note(task: str, step: int) -> None:
    """Add a line to the log, if there is one."""
    if LOG in os.environ:
        line = f"{time.time():.3f} {os.getpid()} {task} {step}\n"
        _append(Path(os.environ[LOG]), line, create=os.O_CREAT)


def _append(path: Path, line: str, create: int = 0) -> None:
    """A line at the end, in one system call: so little no kill can halve."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | create)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def steps_in(log: Path) -> list[Step]:
    """Every line of the log."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [
        Step(float(at), int(pid), task, int(step)) for at, pid, task, step in map(str.split, lines)
    ]


def execute(run: str, task: str, epoch: int) -> Ending:
    """A driver's entry: the worker's own, with the task in the log."""
    from tuning.training import worker

    global _task
    _task = task
    try:
        return worker.execute(run, task, epoch)
    finally:
        _task = "-"
