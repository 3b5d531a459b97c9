"""What a driver is: it runs tasks in worker processes. It owns no search state and decides nothing.

Everything a worker needs to know about a task is in the run directory before the driver is handed
it, and everything that came of it is there before the worker returns. So a driver hands a process
only the task's text, which is its id, and knows nothing else of it.
"""

from __future__ import annotations

import enum
import importlib
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from tuning.trial.task import Ending, Lost

EXECUTE = "tuning.training.worker:execute"
"""What a worker calls for each task: ``execute(run directory, task's id, epoch) -> Ending``."""
EXECUTE_APART = "tuning.training.worker_process:execute"
"""The same in a process of the driver's own."""
T = TypeVar("T")
"""A task: ``tuning.trial.task.Task``, or anything else whose text is its id."""


def function_at(name: str) -> Callable[..., Any]:
    """The function that ``package.module:function`` names, imported here.

    Raises:
        ImportError: there is no such module.
        AttributeError: the module has no such function.

    """
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


class Nothing(enum.Enum):
    """What a source answers when it has no task to give."""

    WAIT = (
        "ask again when a task in flight has ended; more than are in flight will run at once then"
    )
    FULL = (
        "ask again when a task in flight has ended; no more than are in flight are to run at once"
    )
    DONE = "no task will come any more"


class TaskSource(Protocol[T]):
    """Where a driver's tasks come from: the search session. Methods are called from the driver's
    process, one at a time.
    """

    def ask(self) -> T | Nothing:
        """The next task to start; its parameters are already on disk."""

    def ended(self, task: T, ending: Ending) -> None:
        """The worker returned. After ``DONE`` the record is in the store."""

    def lost(self, task: T, why: Lost) -> None:
        """The worker died without returning (killed, out of memory, node gone).

        The source may offer it again.
        """

    def deadline(self, task: T) -> float | None:
        """Wall seconds after its start by which the task must have ended, or None for no deadline.
        A task past it is lost.
        """

    def tick(self) -> None:
        """Draw progress and watch budgets; called about once a second."""


class Driver(Protocol):
    """Runs tasks. ``with driver:`` starts and stops its processes."""

    def __enter__(self) -> Driver: ...

    def __exit__(self, *exc: object) -> None: ...

    def drive(self, source: TaskSource[Any]) -> None:
        """Run the source's tasks, as many at once as the driver was built for, until it is done."""
