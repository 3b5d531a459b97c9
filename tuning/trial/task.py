"""What a worker is given to do, how it left it, and how it was lost.

A task's text is its id: in RUN/running and RUN/trunk, in a driver's hands, and in what a worker is
called with. ``Task.parse`` is the only place that reads one.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from dataclasses import dataclass
from typing import Literal, get_args

from tuning.errors import SearchFailed
from tuning.trial.clock import OtherSurroundings

Kind = Literal["trial", "reference", "clock"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_TEXT = re.compile(
    r"(?P<forms>calibrate-)?(?:(?P<trial>\d+)|seed-(?P<reference>\d+)|(?P<clock>clock))"
)


@dataclass(frozen=True)
class Task:
    """One thing a worker does.

    >>> [str(task) for task in (Task.trial(17), Task.reference(2), CLOCK, Task.trial(17).forms)]
    ['17', 'seed-2', 'clock', 'calibrate-17']

    Attributes:
        kind: whether it trains a trial or a reference run, or sets the run's clock.
        number: the trial's number, or the reference run's seed.
        is_forms: whether it is not that itself, but to time the forms of the model that it needs.
    """

    kind: Kind
    number: int = 0
    is_forms: bool = False

    @classmethod
    def trial(cls, number: int) -> Task:
        """The task to train a trial."""
        return cls("trial", number)

    @classmethod
    def reference(cls, seed: int) -> Task:
        """The task of the full-update run on ``seed``, which helps to set the target and is forked
        from.
        """
        return cls("reference", seed)

    @classmethod
    def parse(cls, text: str) -> Task:
        """The task that has this id.

        Raises:
            ValueError: no task has this id.
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError(f"a task's id must be a number, seed-N or clock, but got {text!r}")
        parts = found.groupdict()
        kind = next(kind for kind in KINDS if parts[kind] is not None)
        number = 0 if kind == "clock" else int(parts[kind])
        return cls(kind, number, parts["forms"] is not None)

    @property
    def is_trial(self) -> bool:
        """Whether it trains a trial, which has a number and a row in the table."""
        return self.kind == "trial" and not self.is_forms

    @property
    def forms(self) -> Task:
        """The task to time the forms of the model that this task needs."""
        return dataclasses.replace(self, is_forms=True)

    @property
    def subject(self) -> Task:
        """The task for which forms are timed; for any other task the task itself."""
        return dataclasses.replace(self, is_forms=False)

    def __str__(self) -> str:
        name = {"trial": f"{self.number}", "reference": f"seed-{self.number}", "clock": "clock"}
        return ("calibrate-" if self.is_forms else "") + name[self.kind]


CLOCK = Task("clock")
"""The task to set the clock, which comes before any other."""


class Ending(enum.Enum):
    """How a worker left a task."""

    DONE = "recorded"
    INTERRUPTED = "stopped at a checkpoint on request"
    FENCED = "not its search's to run any more"


class Fault(enum.Enum):
    """What kind of thing went wrong where a worker did not return."""

    DIED = "its process ended"
    RAISED = "an exception"
    RUN = "the run directory, which every other worker has too"
    SURROUNDINGS = "the clock was calibrated on something else"


@dataclass(frozen=True)
class Lost:
    """Why a worker did not return from a task.

    Attributes:
        text: the reason in one line, for a reader.
    """

    fault: Fault
    text: str

    @classmethod
    def by(cls, error: BaseException) -> Lost:
        """The loss that an exception from the worker means."""
        if isinstance(error, SearchFailed):
            return cls(Fault.RUN, str(error))
        if isinstance(error, OtherSurroundings):
            return cls(Fault.SURROUNDINGS, str(error))
        return cls(Fault.RAISED, said(error))

    def __str__(self) -> str:
        return self.text


def said(error: BaseException) -> str:
    """An exception in one line: its kind and its message."""
    # Without a message the exception's kind stands alone.
    return f"{type(error).__name__}: {error}".rstrip(": ")
