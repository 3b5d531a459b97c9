"""One search while it runs: where the driver's tasks come from and where their endings go.

Order of things: tasks an earlier session left in flight; then, for an automatic target, the runs
that set it; then the study's trials, baselines first. A target that is given lets the first
suggestion go ahead of them all. Everything is in the run directory before a worker hears of it, so
this object may die at any time.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import UTC, datetime

from tuning.drivers.driver import Nothing
from tuning.errors import BadInput, SearchFailed
from tuning.findings.next_step import advice_before
from tuning.layout import STOP, resume_option
from tuning.session.calibrations import FormGate, forms_disturbed
from tuning.session.plan import Plan
from tuning.session.watch import Watcher
from tuning.store.info import Target
from tuning.store.store import AlreadyRecorded, InFlight, Store
from tuning.store.unsaved import noted_unsaved
from tuning.study.baselines import automatic_target
from tuning.study.stopping import Stopping
from tuning.study.study import Proposer
from tuning.trial.outcome import outcome_of
from tuning.trial.record import Circumstances, record_of
from tuning.trial.soundness import Soundness, unsaved_late
from tuning.trial.task import Ending, Fault, Lost, Task
from tuning.trial.trial import Limits, TrialRecord, TrialSpec

MAX_LOSSES = 3
"""A task whose worker died so often within a session fails: whatever kills it will go on doing
so.
"""
HOPELESS = 8
"""The search stops after so many failed trials where none has finished: its set-up fails, not the
knobs.
"""


class SearchSession:
    """The task source of one search, from its start or resumption to its end or interruption.

    Args:
        store: the run, held by this search's lease.
        plan: what is to be done.
        watcher: told of everything that happens.
    """

    def __init__(
        self,
        store: Store,
        plan: Plan,
        watcher: Watcher,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._plan, self._watcher, self._clock = store, plan, watcher, clock
        self._stops_at = None if plan.time_budget is None else clock() + plan.time_budget
        self._specs: dict[Task, TrialSpec] = {
            f.task: f.spec for f in store.in_flight() if plan.takes(f.spec)
        }
        self._left_over: deque[Task] = deque(self._specs)
        self._running: set[Task] = set()
        self._gate = FormGate(plan.unknown_forms, plan.room)
        self._in_company = False
        self._losses: Counter[Task] = Counter()
        self._stop_reason: str | None = None
        self._study: Proposer | None = None
        self._stopping: Stopping | None = None
        self._reference_records = store.references()
        watcher.expects(plan.expected_seconds)

    @property
    def stop_reason(self) -> str | None:
        """Why the search was stopped before its end, or None."""
        return self._stop_reason

    @property
    def study(self) -> Proposer | None:
        """The study, once there is a target."""
        return self._study

    def request_stop(self, reason: str) -> None:
        """Start nothing more; workers save a checkpoint and return. Safe to call from a signal
        handler.
        """
        if self._stop_reason is None:
            self._stop_reason = reason
            (self._store.path / STOP).touch()

    def ask(self) -> Task | Nothing:
        """The next task; see ``TaskSource``."""
        full = self._plan.slots is not None and self._plan.slots.full
        task = None if self._stop_reason or full else self._next_task()
        if task is None:
            if not self._running:
                return Nothing.DONE
            return Nothing.FULL if full else Nothing.WAIT
        self._started(task)
        if task.is_forms:
            self._watcher.phase(
                "timing a new form of the model, alone on the device: "
                f"{'; '.join(self._gate.forms)}"
            )
        else:
            self._watcher.began(self._specs[task])
        return task

    def _started(self, task: Task) -> None:
        self._running.add(task)
        if self._plan.slots is not None:
            self._plan.slots.begin(task)

    def _left(self, task: Task) -> None:
        self._running.discard(task)
        if self._plan.slots is not None:
            self._plan.slots.end(task)

    def _next_task(self) -> Task | None:
        while not self._gate.closed:
            task = self._candidate()
            if task is None:
                break
            if not self._gate.hold(task, self._specs[task]):
                return task
        return self._gate.calibration(busy=bool(self._running))

    def _candidate(self) -> Task | None:
        if self._left_over:
            return self._left_over.popleft()
        if (task := self._before_the_trunk() or self._next_reference()) is not None:
            return task
        study = self._open_study()
        if study is None:
            return None
        spec = self._next_trial(study)
        if spec is not None:
            return self._begin_trial(spec)
        idle = not self._running and self._gate.empty
        if study.exhausted and idle and self._stop_reason is None:
            self._stop_reason = "every point of the space that the sampler finds has been tried"
        return None

    def _before_the_trunk(self) -> Task | None:
        """The task of the first suggestion, in a search that is told its target; None elsewhere. It
        shares no step with the trunk, so this is the soonest way to have a recipe.
        """
        begun = self._specs or self._reference_records or self._store.numbers()
        if self._plan.target is None or self._plan.order is None or begun:
            return None
        study = self._open_study()
        spec = None if study is None else self._plan.order.ahead(study.ask)
        return None if spec is None else self._begin_trial(spec)

    def _open_study(self) -> Proposer | None:
        """The study; None as long as its target is not known."""
        target = self._store.info.target or self._find_target()
        if target is not None and self._study is None:
            if target.seed is not None:
                self._plan.drop_trunks(Task.reference(target.seed))
            self._study = self._plan.study(target)
            self._stopping = self._plan.stopping(target)
        return self._study

    def _next_trial(self, study: Proposer) -> TrialSpec | None:
        if self._plan.order is None:
            return study.ask()
        pending = not self._plan.references.keys() <= self._reference_records.keys()
        return self._plan.order.next(study.ask, pending=pending)

    def _begin_trial(self, spec: TrialSpec) -> Task:
        limits = self._stopping.limits(spec) if self._stopping else None
        return self._begin(spec, Task.trial(spec.number), limits)

    def _begin(self, spec: TrialSpec, task: Task, limits: Limits | None = None) -> Task:
        self._store.begin(spec, task, limits)
        self._specs[task] = spec
        return task

    def _next_reference(self) -> Task | None:
        for task, spec in self._plan.references.items():
            if task not in self._reference_records and task not in self._specs:
                return self._begin(spec, task)
        return None

    def _find_target(self) -> Target | None:
        """The target, None until it can be known. It is written to the run before any trial is
        asked for.
        """
        if self._plan.target is not None:
            target = Target(self._plan.target)
        elif self._plan.references.keys() <= self._reference_records.keys():
            try:
                target = automatic_target(
                    [self._reference_records[task] for task in self._plan.references]
                )
            except ValueError as fault:
                raise SearchFailed(
                    f"{fault}; mend what failed and go on with {resume_option(self._store.path)} "
                    "--retry-failed, "
                    "or start a new search with a --target"
                ) from None
        else:
            return None
        self._store.update_info(target=target)
        # Before any trial is trained: all of them are held against these runs.
        if advice := advice_before(self._store, self._reference_records.values()):
            self._watcher.warn(advice)
        return target

    def ended(self, task: Task, ending: Ending) -> None:
        """A worker returned; see ``TaskSource``."""
        self._left(task)
        if ending is Ending.FENCED:
            raise SearchFailed(
                f"another search holds {self._store.path} now; this one writes nothing more"
            )
        if task.is_forms:
            self._hear_company()
            self._left_over.extendleft(reversed(self._gate.release(done=True)))
            return
        if ending is Ending.INTERRUPTED:
            self._left_over.append(task)
            return
        record = self._record_of(task)
        assert record is not None, f"the worker said done, but task {task} has no record"
        self._recorded(task, record)

    def _record_of(self, task: Task) -> TrialRecord | None:
        if not task.is_trial:
            return self._store.references().get(task)
        try:
            return self._store.record(task.number)
        except KeyError:
            return None

    def _recorded(self, task: Task, record: TrialRecord) -> None:
        del self._specs[task]
        self._watcher.ended(record)
        self._learn(task, record)
        if not task.is_trial:
            self._reference_records[task] = record
            self._hear_unsaved(noted_unsaved(self._store.trunk_folder(task)))
            return
        assert self._study is not None or self._store.info.target is not None, (
            "a trial was run without a target"
        )
        if self._study is not None:
            self._study.tell(outcome_of(record))
            if self._stopping is not None:
                self._stopping.tell(record)
            self._stop_if_hopeless(self._study)

    def _hear_company(self) -> None:
        """Say once that something else ran while forms were timed."""
        costs = self._store.reload_info().calibration
        warning = None if costs is None or self._in_company else forms_disturbed(costs)
        if warning is not None:
            self._in_company = True
            self._watcher.warn(warning)

    def _hear_unsaved(self, names: list[str]) -> None:
        """Note state that training changed too late for the examination to see, and tell the user:
        from now on trials do not fork. Those that have forked began where everything could still be
        saved.
        """
        found = self._store.info.soundness or Soundness()
        if not names or not found.forks:
            return
        finding = unsaved_late(names)
        self._store.reload_info()  # a worker may have added a form of the model to it
        self._store.update_info(soundness=Soundness.of([*found.findings, finding]))
        self._watcher.warn(finding.told)

    def _learn(self, task: Task, record: TrialRecord) -> None:
        """Learn from a trial how many should run at once, and write that to run.json where it has
        changed.
        """
        costs = self._store.info.calibration
        if (
            self._plan.slots is None
            or costs is None
            or not self._plan.slots.learn(task, record, costs)
        ):
            return
        self._store.reload_info()  # a worker may have added a form of the model to it
        choice = self._plan.slots.choice
        self._store.update_info(at_once=choice)
        self._watcher.note(f"trials at once: {choice.trials}, {choice.reason}")

    def _stop_if_hopeless(self, study: Proposer) -> None:
        failed = [outcome for outcome in study.finished if outcome.state == "failed"]
        if len(failed) == len(study.finished) >= HOPELESS:
            error = self._store.record(failed[-1].number).error
            raise SearchFailed(
                f"all of the first {len(failed)} trials failed, the last with: {error}. "
                f"Mend that and go on with {resume_option(self._store.path)} --retry-failed"
            )

    def lost(self, task: Task, why: Lost) -> None:
        """Let a task whose worker died go on from its checkpoint; it fails where it kills its
        workers every time.

        Raises:
            BadInput: it computes on something else than the clock was calibrated with.
            SearchFailed: the worker found a fault of the run directory, which every other worker
                has too.
        """
        self._left(task)
        if why.fault is Fault.RUN:
            raise SearchFailed(why.text)
        if why.fault is Fault.SURROUNDINGS:
            raise BadInput(
                f"the machines of a cluster must be alike, but on one of them {why.text}. Trials "
                "that finished are kept; leave the machines out that differ, or search on those "
                "alone"
            )
        if task.is_forms:
            task, *free = self._gate.release(done=False)
            self._left_over.extendleft(reversed(free))
        if (record := self._record_of(task)) is not None:
            # It died after its record was written and before it could say so.
            self._store.end(task)
            self._recorded(task, record)
            return
        spec = self._specs[task]
        self._losses[task] += 1
        again = self._losses[task] < MAX_LOSSES
        self._watcher.lost(spec, why.text, again=again)
        if again:
            self._left_over.appendleft(task)
            return
        self._recorded(task, self._fail(self._store.task(task), why))

    def _fail(self, lost: InFlight, why: Lost) -> TrialRecord:
        now = datetime.now(UTC)
        around = Circumstances(now, now, 0.0, 0.0, lost.executions, self._store.info.device)
        error = f"its worker died {self._losses[lost.task]} times, the last time with: {why}"
        record = record_of(lost.spec, None, None, around, state="failed", error=error)
        with contextlib.suppress(
            AlreadyRecorded
        ):  # a worker that was believed dead finished after all
            self._store.commit(lost.task, record)
        self._store.end(lost.task)
        return self._record_of(lost.task) or record

    def deadline(self, task: Task) -> float | None:
        """Ten times the seconds that the clock predicts, and a minute more: a worker past that
        hangs.
        """
        return 60 + 10 * self._plan.at_once * self._plan.expected_seconds(self._specs[task.subject])

    def tick(self) -> None:
        """Watch the time budget and let the watcher draw."""
        if (
            self._stops_at is not None
            and self._clock() >= self._stops_at
            and self._stop_reason is None
        ):
            self.request_stop("the time budget is used up")
            self._watcher.stopping("the time budget is used up")
        self._watcher.tick()
