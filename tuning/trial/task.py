"""What a worker is given to do, and how it left it."""

from __future__ import annotations

from typing import Literal

from tuning.errors import SearchFailed


def reference_task(seed: int) -> str:
    """The id of the full-update run on ``seed``, which helps to set the target and from which
    trials fork.
    """
    return f"seed-{seed}"


RUN_FAULT = f"{SearchFailed.__name__}: "
"""How the reason for a loss begins when the worker raised this: it is no fault of the trial."""


CLOCK = "clock"
"""The id of the task that sets the clock, before there is any other."""


PREFIX = "calibrate-"


def subject(task: str) -> str:
    """The task that is meant: of a calibration the one for which it is done, else itself."""
    return task.removeprefix(PREFIX)


def is_calibration(task: str) -> bool:
    """Whether a task's id names a calibration."""
    return task.startswith(PREFIX)


Ending = Literal["done", "interrupted", "fenced"]
"""How a worker left a task: recorded; stopped at a checkpoint on request.

Not its search's to run any more.
"""
