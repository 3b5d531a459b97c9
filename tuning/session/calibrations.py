"""A search's clock as its conductor sees it: calibrated before anything is trained, checked when
the search goes on.

The first worker that starts is given the clock before any trial, alone on the device, and then goes
on to trials: a process of the clock's own would cost every search another start. What the search
does depends on the clock, so its session is built only then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Set
from typing import Protocol

from tuning.drivers.driver import Nothing, TaskSource
from tuning.errors import BadInput, NothingTrained, SearchFailed
from tuning.session.watch import Watcher
from tuning.store.store import Store
from tuning.trial.clock import CostTable
from tuning.trial.soundness import Soundness
from tuning.trial.task import CLOCK, Ending, Fault, Lost, Task
from tuning.trial.trial import TrialSpec
from tuning.trial.variants import disturbed_forms


class Stoppable(TaskSource[Task], Protocol):
    """A task source that can be stopped before its end."""

    @property
    def stop_reason(self) -> str | None:
        """Why it was stopped, or None."""

    def request_stop(self, reason: str) -> None:
        """Start nothing more."""


class ClockFirst:
    """A task source that gives out one task that sets the clock, and then those of the session that
    is built on it.

    Args:
        store: the run, held by this search's lease.
        watch: told what the search does.
        make_session: builds the session once the run has a clock that holds.
        idle: what the other slots are told until then: ``WAIT`` where the session will have tasks
            for them.
    """

    def __init__(
        self,
        store: Store,
        watch: Watcher,
        make_session: Callable[[], Stoppable],
        idle: Nothing = Nothing.WAIT,
    ) -> None:
        self._store, self._watch, self._make_session, self._idle = store, watch, make_session, idle
        known = self._known = store.info.calibration
        self._begun = False
        self._session = make_session() if known is not None and not known.key else None

    @property
    def stop_reason(self) -> str | None:
        """Why the search was stopped before its end, or None."""
        return None if self._session is None else self._session.stop_reason

    def request_stop(self, reason: str) -> None:
        """Start nothing more. Safe to call from a signal handler.

        Raises:
            KeyboardInterrupt: nothing is trained yet, so there is nothing to wait for.
        """
        if self._session is None:
            raise KeyboardInterrupt
        self._session.request_stop(reason)

    def ask(self) -> Task | Nothing:
        """The clock's task, with nothing beside it; after it the session's tasks."""
        if self._session is not None:
            return self._session.ask()
        if self._begun:
            return self._idle
        self._begun = True
        check, measure = (
            "checking that the clock holds here",
            "calibrating the clock, alone on the device",
        )
        self._watch.phase(measure if self._known is None else check)
        return CLOCK

    def ended(self, task: Task, ending: Ending) -> None:
        """Begin the session once the clock is set; after that hand the ending of a task on to the
        session.
        """
        if self._session is not None:
            self._session.ended(task, ending)
            return
        if ending is Ending.FENCED:
            raise SearchFailed(
                f"another search holds {self._store.path} now; this one writes nothing more"
            )
        info = self._store.reload_info()
        self._hear(info.soundness)
        costs = info.calibration
        assert costs is not None, "the worker stored what it measured"
        if costs != self._known:
            if self._known is not None:
                self._watch.note(anew(self._known, costs))
            if costs.disturbances:
                self._watch.warn(disturbed(costs))
        self._session = self._make_session()

    def _hear(self, found: Soundness | None) -> None:
        """Tell what was found about the workload.

        Raises:
            BadInput: it cannot be searched.
        """
        if found is None:
            return
        if found.refusals:
            raise BadInput(found.refusals)
        for warning in found.warnings:
            self._watch.warn(warning)

    def lost(self, task: Task, why: Lost) -> None:
        """Raise the reason why the worker did not set the clock; once there is a session, tell it
        of the task that was lost.

        Raises:
            BadInput: the device or torch is another than the clock was calibrated with.
            NothingTrained: the workload cannot be trained even alone, or it could not be found out.
            SearchFailed: as the session.
        """
        if self._session is not None:
            self._session.lost(task, why)
            return
        if why.fault is Fault.RUN:
            raise SearchFailed(why.text)
        if why.fault is Fault.SURROUNDINGS:
            raise BadInput(why.text)
        raise NothingTrained(
            f"the clock could not be {'calibrated' if self._known is None else 'checked'}: {why}"
        )

    def deadline(self, task: Task) -> float | None:
        """None for the clock's task, because how long things take is what it is to find out; the
        session's deadline for any other task.
        """
        return None if self._session is None else self._session.deadline(task)

    def tick(self) -> None:
        """Let the watcher draw, and the session watch its budget."""
        (self._session or self._watch).tick()


def disturbed(costs: CostTable) -> str:
    """What a user is told of a clock that was not calibrated alone."""
    return (
        f"the clock was calibrated {costs.tries} times and never alone: "
        f"{'; '.join(costs.disturbances)}. "
        "Seconds of this run compare its trials with each other; for true ones end what else runs "
        "and start a new run"
    )


def forms_disturbed(costs: CostTable) -> str | None:
    """What a user is told of forms that were not timed alone; None where all were."""
    found = disturbed_forms(costs)
    if not found:
        return None
    signs = dict.fromkeys(sign for signs in found.values() for sign in signs)
    return (
        f"forms of the model were not timed alone: {'; '.join(signs)}. Seconds of the trials that "
        "have them may be off by a tenth and more; end what else runs, and let tuning.confirm, "
        "which times them again, judge"
    )


def anew(then: CostTable, now: CostTable) -> str:
    """What a user is told where the clock taken from a run beside this one did not hold, and was
    calibrated anew.
    """
    ratio = now.step_cost(now.num_blocks) / then.step_cost(then.num_blocks)
    return (
        f"that clock does not hold by now, a full step takes {ratio:.2f} times what it did: it was "
        "calibrated anew"
    )


NOTHING: frozenset[str] = frozenset()


class FormGate:
    """Holds tasks that wait for a calibration, and the tasks that come after them.

    Forms are timed with nothing else on the device. If it fell idle for each trial that brings a
    new form, it would train one trial at a time. So as many tasks are held as run at once, their
    forms are timed one after another, and the tasks begin together.

    Args:
        unknown: spec -> forms of the model that it may need and the clock does not know.
        room: returns how many tasks run at once now.
    """

    def __init__(
        self, unknown: Callable[[TrialSpec], Set[str]], room: Callable[[], int] = lambda: 1
    ) -> None:
        self._unknown, self._room = unknown, room
        self._tried: set[str] = set()
        self._held: deque[tuple[Task, TrialSpec]] = deque()
        self._ready: list[Task] = []
        self._begun = False

    @property
    def empty(self) -> bool:
        """Whether no task is held."""
        return not self._held and not self._ready

    @property
    def closed(self) -> bool:
        """Whether no more tasks may be asked for: a calibration has begun, or as many tasks are
        held as run at once.
        """
        return self._begun or len(self._held) + len(self._ready) >= self._room()

    @property
    def forms(self) -> frozenset[str]:
        """The forms to be timed for the task whose turn it is."""
        return self._forms(self._held[0][1]) if self._held else NOTHING

    def hold(self, task: Task, spec: TrialSpec) -> bool:
        """Hold ``task`` if it needs a calibration or another task is held; returns whether it is
        held. Forms that were tried before are not timed again, even where that failed.
        """
        if self._held or self._forms(spec):
            self._held.append((task, spec))
            return True
        return False

    def calibration(self, *, busy: bool) -> Task | None:
        """The next calibration to run; None while other tasks run (``busy``), while one is under
        way, and where none is needed.
        """
        if busy or self._begun or not self._held:
            return None
        self._begun = True
        return self._held[0][0].forms

    def release(self, *, done: bool) -> list[Task]:
        """The tasks that may begin now that a calibration has ended.

        ``done`` is False where the worker died on it. The first task returned is then the one whose
        forms were being timed, and the others are all those that need no calibration.
        """
        assert self._held, "a calibration ended that nothing waits for"
        if done:
            self._tried |= self.forms
        self._begun = False
        first, _ = self._held.popleft()
        gone = [] if done else [first]
        self._ready += [first] if done else []
        while self._held and not self.forms:
            self._ready.append(self._held.popleft()[0])
        if self._held:
            return gone
        ready, self._ready = self._ready, []
        return gone + ready

    def _forms(self, spec: TrialSpec) -> frozenset[str]:
        return frozenset(self._unknown(spec) - self._tried)
