"""Tasks that must wait until the clock knows their steps: a new form of the model is timed alone on the device.

While a task is held nothing else starts; once the tasks in flight have ended, one worker is given the calibration, and
then the held task goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Set

from tuning.trial import TrialSpec

CLOCK = "clock"
"""The id of the task that sets the clock, before there is any other."""
PREFIX = "calibrate-"
NOTHING: frozenset[str] = frozenset()


def subject(task: str) -> str:
    """The task that is meant: of a calibration the one for which it is done, else itself."""
    return task.removeprefix(PREFIX)


def is_calibration(task: str) -> bool:
    """Whether a task's id names a calibration."""
    return task.startswith(PREFIX)


class FormGate:
    """Holds the one task that waits for a calibration.

    Args:
        unknown: spec -> forms of the model that it may need and the clock does not know.
    """

    def __init__(self, unknown: Callable[[TrialSpec], Set[str]]) -> None:
        self._unknown = unknown
        self._tried: set[str] = set()
        self._held: str | None = None
        self._begun = False
        self.forms: frozenset[str] = NOTHING

    @property
    def closed(self) -> bool:
        """Whether a task is held."""
        return self._held is not None

    def hold(self, task: str, spec: TrialSpec) -> bool:
        """Hold ``task`` if it needs a calibration; whether it does. One that was tried in vain is not tried again."""
        self.forms = frozenset(self._unknown(spec) - self._tried)
        self._held = task if self.forms else None
        return self.closed

    def calibration(self, *, busy: bool) -> str | None:
        """The id of the calibration, once nothing else runs and it has not begun."""
        if busy or self._begun or self._held is None:
            return None
        self._begun = True
        return PREFIX + self._held

    def release(self, *, done: bool) -> str:
        """The held task; ``done`` unless the worker died on the calibration."""
        assert self._held is not None, "a calibration ended that nothing waits for"
        task = self._held
        self._held, self._begun = None, False
        if done:
            self._tried |= self.forms
        return task
