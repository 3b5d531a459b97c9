"""What happens in a worker process: one task is trained from its checkpoint to its record.

A worker reads everything from the run directory and writes everything to it before it returns, so a
driver passes only task ids around. A fault of the trial (an exception, a loss that is not finite,
memory) is one failed record; only the death of the process is the driver's to notice.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.device import device_name, run_device, synchronize
from models.workload import Workload
from tuning.errors import BadInput, SearchFailed
from tuning.layout import STOP
from tuning.store.info import memory_share
from tuning.store.lease import Fenced
from tuning.store.store import AlreadyRecorded, Store
from tuning.store.unsaved import note_unsaved, noted_unsaved
from tuning.training.calibration.calibrate import surroundings
from tuning.training.checkpoint import load_checkpoint, save_checkpoint
from tuning.training.clock_tasks import calibrate_forms, refuse_form, set_clock
from tuning.training.examination.rehearsal import Heard
from tuning.training.generators import generators_kept
from tuning.training.head_start import HeadStart
from tuning.training.hindsight import hidden, refuse_another_beginning
from tuning.training.levered import UNSAVED
from tuning.training.loop import TrainingRun, timetable
from tuning.training.place import (
    cap_memory,
    describe,
    give_memory_back,
    set_threads,
    variant_of,
    workload_of,
)
from tuning.training.state.paths import told
from tuning.training.stopwatch import Stopwatch
from tuning.training.trunk import TrunkRecorder
from tuning.trial.clock import CostTable, refuse_other_surroundings
from tuning.trial.record import Circumstances, record_of
from tuning.trial.task import CLOCK, Ending, Task
from tuning.trial.trial import CurvePoint, Limits, TrialRecord, TrialSpec
from tuning.trial.variants import table_for

POLL_SECONDS = 0.25
CHECKPOINT_SECONDS = 5.0
"""Seconds of wall time that a trial in flight loses at most, or 50 times the cost of a checkpoint
if that is longer.
"""
CHECKPOINT_SHARE = 0.02


@dataclass
class _Execution:
    """One stretch of a task in this process, with what the record says beside the training."""

    store: Store
    task: Task
    spec: TrialSpec
    executions: int
    limits: Limits | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    forked_from_step: int | None = None
    wall_before: float = 0.0
    begun: float = field(default_factory=time.perf_counter)
    others: list[int] = field(default_factory=list)
    watch: Stopwatch = field(default_factory=lambda: Stopwatch(synchronize=synchronize))

    @property
    def wall_seconds(self) -> float:
        return self.wall_before + time.perf_counter() - self.begun

    def stops_at(self, curve: Sequence[CurvePoint]) -> int | None:
        """The step at which a trial with this curve is stopped early, or None."""
        return None if self.limits is None or self.limits.runs_on else self.limits.crossed(curve)

    def would_stop_at(self, training: TrainingRun) -> int | None:
        """The step at which a trial that was let run on to its end would have been stopped, or
        None.
        """
        return (
            self.limits.crossed(training.curve)
            if self.limits is not None and training.finished
            else None
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "wall": self.wall_seconds,
            "started_at": self.started_at.isoformat(),
            "others": self.others,
            "measured": self.watch.seconds,
            "forked_from_step": self.forked_from_step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.wall_before = state["wall"]
        self.started_at = datetime.fromisoformat(state["started_at"])
        self.others = list(state["others"])
        self.watch.seconds = state["measured"]
        self.forked_from_step = state["forked_from_step"]

    def around(self, device: str) -> Circumstances:
        return Circumstances(
            started_at=self.started_at,
            finished_at=datetime.now(UTC),
            wall_seconds=self.wall_seconds,
            # A fork did not train all that it is charged for, so no measured time compares with its
            # charge.
            measured_seconds=(self.watch.seconds or None)
            if self.forked_from_step is None
            else None,
            co_residents=sum(self.others) / len(self.others) if self.others else 0.0,
            executions=self.executions,
            device=device,
        )


def execute(run: str, task: str, epoch: int) -> Ending:
    """Train ``task`` of the run directory ``run`` to its record, or to a checkpoint if asked to
    stop.

    The clock's task is to calibrate the clock, or to check that it holds here; a calibration's task
    is to time the forms of the model that its trial needs.

    ``epoch`` is the lease under which the search runs. Once another search holds the run, nothing
    more is written and ``FENCED`` is returned.

    Raises:
        SearchFailed: the run directory cannot be read or written, which is no fault of the trial.
        OtherSurroundings: the clock was calibrated on something else.
    """
    try:
        store = Store.open(Path(run), epoch=epoch)
        with generators_kept():
            return _carried_out(store, Task.parse(task))
    except Fenced:
        return Ending.FENCED
    except (BadInput, OSError) as fault:
        raise SearchFailed(
            f"the run directory must stay readable and writable, but got: {fault}"
        ) from fault
    finally:
        give_memory_back()


def _carried_out(store: Store, task: Task) -> Ending:
    if task == CLOCK or task.is_forms:
        # Nothing else runs now, and two models are held: a form is timed beside the plain one.
        cap_memory(memory_share(store.info), alone=True)
        return set_clock(store) if task == CLOCK else calibrate_forms(store, task.subject)
    return _execute(store, task)


def _execute(store: Store, task: Task) -> Ending:
    found = store.task(task)
    # Counted before anything is done: a task that kills its worker each time must not look new for
    # ever.
    execution = _Execution(store, task, found.spec, store.started(task), found.limits)
    costs = _place_for(execution)
    ended = _trained(execution, costs)
    if isinstance(ended, Ending):
        return ended
    record, losses = ended
    if losses and _is_first(execution):
        workload = workload_of(store)
        refuse_another_beginning(workload, found.spec.seed, costs, run_device(), losses)
        _note_hidden(execution, workload, costs)
    return _commit(execution, record)


def _place_for(execution: _Execution) -> CostTable:
    """The task's clock, which holds here, once this process's threads and memory are set as it
    says.
    """
    store, spec = execution.store, execution.spec
    costs = store.info.clock_of(spec.origin, spec.seed)
    if costs is None:
        raise RuntimeError(
            f"task {execution.task} was started before the clock of {store.path} was calibrated"
        )
    refuse_other_surroundings(costs, surroundings(run_device()))  # of a cluster one may differ
    set_threads(costs.threads)
    cap_memory(memory_share(store.info))
    return costs


def _trained(
    execution: _Execution, costs: CostTable
) -> Ending | tuple[TrialRecord, Sequence[float]]:
    """The record of the run, with its losses where others may share the run; or how the task ended
    without a record.
    """
    store, spec = execution.store, execution.spec
    device = device_name(run_device())
    training: TrainingRun | None = None
    try:
        variant = variant_of(store, spec.recipe)
        refuse_form(store.info, spec.recipe.levers, costs, variant)
        costs = table_for(costs, variant)
        training = _prepare(execution, costs)
        ending = _train(execution, training)
        if ending is not Ending.DONE:
            return ending
        losses = _finish(training)
        record = record_of(
            spec,
            costs,
            training.measurements(),
            execution.around(device),
            state="finished" if training.finished else "stopped",
            forked_from_step=execution.forked_from_step,
            would_stop_at_step=execution.would_stop_at(training),
        )
        return record, losses
    except (Fenced, SearchFailed):
        raise  # the run directory's faults, not the trial's
    except Exception as fault:
        measured = training.measurements() if training else None
        error = describe(fault, training)
        around = execution.around(device)
        return record_of(spec, costs, measured, around, state="failed", error=error), ()


def _is_first(execution: _Execution) -> bool:
    """Whether it is the run of the workload's own recipe that comes before all others."""
    return not execution.task.is_trial and execution.spec.number == 0


def _note_hidden(execution: _Execution, workload: Workload, costs: CostTable) -> None:
    """Where nothing seems to be missing from the run's snapshots, see whether a training goes on
    from them as the first did, and note what they lack.
    """
    store, folder = execution.store, execution.store.trunk_folder(execution.task)
    if store.info.forks and not noted_unsaved(folder):
        note_unsaved(folder, hidden(workload, execution.spec.seed, costs, run_device(), folder))


def _finish(training: TrainingRun) -> Sequence[float]:
    """Finish the recording of a run that is over and that others may share; returns the losses of a
    run of the workload's own recipe, else none.
    """
    recorder = training.recorder
    if recorder is None or not training.finished:
        return ()
    if isinstance(recorder, TrunkRecorder):
        unsaved = recorder.unsaved or list(map(told, training.unsaved()))
        note_unsaved(recorder.folder, unsaved)
    recorder.finish(training.measurements())
    heard = recorder.losses if isinstance(recorder, (TrunkRecorder, Heard)) else ()
    return heard if len(heard) == training.steps else ()


def _prepare(execution: _Execution, costs: CostTable) -> TrainingRun:
    spec = execution.spec
    workload = workload_of(execution.store, spec.recipe.own)
    policy, levers = spec.recipe.policy_and_levers()
    start = HeadStart(
        execution.store, execution.task, spec, timetable(workload), costs, execution.stops_at
    )
    training = TrainingRun(
        execution.watch.around_evaluation(workload),
        policy,
        seed=spec.seed,
        horizon=spec.recipe.horizon,
        costs=costs,
        device=run_device(),
        levers=levers,
        recorder=start.recorder() or (Heard() if _is_first(execution) else None),
    )
    if checkpoint := _saved(execution):
        training.load_state_dict(checkpoint["training"])
        execution.load_state_dict(checkpoint["execution"])
    else:
        execution.forked_from_step = start.give(training)
    return training


def _train(execution: _Execution, training: TrainingRun) -> Ending:
    poll = saved = time.perf_counter()
    period, judged = CHECKPOINT_SECONDS, 0
    while not training.finished:
        if len(training.curve) > judged:
            judged = len(training.curve)
            if execution.stops_at(training.curve) is not None:
                return Ending.DONE
        with execution.watch.running():
            training.advance()
        now = time.perf_counter()
        # A listing of the run directory for each step would cost more than a small model's step.
        if now - poll < POLL_SECONDS:
            continue
        poll = now
        execution.others.append(max(0, execution.store.count_in_flight() - 1))
        stop = (execution.store.path / STOP).exists()
        if not stop and now - saved < period:
            continue
        execution.store.refuse_if_fenced()
        _save(execution, training)
        saved = time.perf_counter()
        # A large model's checkpoint takes seconds: then seldomer, so that saving stays a small
        # share.
        period = max(CHECKPOINT_SECONDS, (saved - now) / CHECKPOINT_SHARE)
        # Not before the checkpoint: an interrupted trial goes on from this very step.
        if stop:
            return Ending.INTERRUPTED
    return Ending.DONE


def _saved(execution: _Execution) -> dict[str, Any] | None:
    """The checkpoint of a task that was stopped; None where it begins, or begins anew."""
    if not execution.store.info.goes_on:
        return None
    return load_checkpoint(execution.store.checkpoint_path(execution.task))


def _save(execution: _Execution, training: TrainingRun) -> None:
    if not execution.store.info.goes_on:
        return
    state = {"training": training.state_dict(), "execution": execution.state_dict()}
    if state["training"][UNSAVED]:
        return  # an earlier one, or its first step, is where the trial begins anew
    save_checkpoint(execution.store.checkpoint_path(execution.task), state)


def _commit(execution: _Execution, record: TrialRecord) -> Ending:
    store, task = execution.store, execution.task
    # AlreadyRecorded: a worker believed dead finished first; the same trial has the same record, so
    # nothing is lost.
    with contextlib.suppress(AlreadyRecorded):
        store.commit(task, record)
    # Only after the record: a kill in between leaves both, and the next search ends the task.
    store.end(task)
    return Ending.DONE
