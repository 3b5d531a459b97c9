"""What happens in a worker process: one task is trained from its checkpoint to its record.

A worker reads everything from the run directory and writes everything to it before it returns, so a driver passes only
task ids around. A fault of the trial (an exception, a loss that is not finite, memory) is one failed record; only the
death of the process is the driver's to notice.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from models.levers.levers import Levers, divide_knobs, make_levers
from models.registry import find_workload
from models.workload import Workload
from policies.registry import make_policy
from tuning.calibrate import calibrate, device_name, surroundings
from tuning.calibrate_forms import calibrate_form
from tuning.checkpoint import load_checkpoint, save_checkpoint
from tuning.clock import CostTable, refuse_other_surroundings
from tuning.driver import Ending
from tuning.errors import BadInput, SearchFailed
from tuning.filling import memory_share
from tuning.head_start import HeadStart
from tuning.lease import Fenced, current_epoch
from tuning.limits import Limits
from tuning.outcome import Circumstances, record_of
from tuning.run_info import STOP_FILE, Memory, RunInfo
from tuning.session_forms import is_calibration, subject
from tuning.stopwatch import Stopwatch
from tuning.store import AlreadyRecorded, Store
from tuning.train import TrainingRun, timetable
from tuning.trial import CurvePoint, TrialRecord, TrialSpec

POLL_SECONDS = 0.25
CHECKPOINT_SECONDS = 5.0
"""A trial in flight loses at most this much wall time, or 50 times the cost of a checkpoint if that is longer."""
CHECKPOINT_SHARE = 0.02
WARM_UP_STEPS = 3
CONTEXT_BYTES = 2**29
"""Of a GPU's memory, what a process takes before it has a tensor: about this much with CUDA 12 and torch's kernels."""


@lru_cache(maxsize=2)
def _workload(name: str, corpus: str | None) -> Workload:
    # Kept between the trials of a reused worker: reading a corpus would be paid by every trial otherwise.
    return find_workload(name, Path(corpus) if corpus else None)


def workload_of(store: Store) -> Workload:
    """The workload that the run in ``store`` searches."""
    return _workload(store.info.config["workload"], store.info.config.get("corpus"))


def run_device() -> torch.device:
    """The GPU this process was given, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def set_threads(threads: int) -> None:
    """Compute with ``threads`` threads: results depend on it to the last bit, so every worker of a run has the same."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def cap_memory(share: float) -> None:
    """Take no more of the GPU's memory than its share, so that one trial's excess does not kill its neighbours."""
    if 0 < share < 1 and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(share)


def gpu_memory() -> Memory | None:
    """The GPU's memory, after a calibration had it to itself; None where there is no GPU."""
    if not torch.cuda.is_available():
        return None
    free, _ = torch.cuda.mem_get_info()
    own = torch.cuda.memory_reserved() + CONTEXT_BYTES
    return Memory(free_bytes=free + own, trial_bytes=torch.cuda.max_memory_reserved() + CONTEXT_BYTES)


def synchronize() -> None:
    """Wait until the device has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def warm_up(run: Path) -> None:
    """Train a few steps of the run's workload and forget them: no measured time holds a process's first ones."""
    store = Store.open(run)
    costs = store.info.calibration
    if costs is None:
        raise RuntimeError(f"the clock of {run} must be calibrated before anything is trained")
    set_threads(costs.threads)
    full = make_policy("full_update", {})
    training = TrainingRun(workload_of(store), full, seed=0, horizon=1.0, costs=costs, device=run_device())
    for _ in range(WARM_UP_STEPS):
        training.advance()
    synchronize()


def calibrate_run(run: Path) -> None:
    """Calibrate the clock of the run in directory ``run`` and store it in its run.json.

    Raises:
        Fenced: another search holds the run by now.
    """
    store = Store.open(run, epoch=current_epoch(run))
    threads = int(store.info.config["resources"]["threads"])
    set_threads(threads)
    costs = calibrate(workload_of(store), device=run_device(), threads=threads)
    store.update_info(calibration=costs, device=costs.device, memory=gpu_memory())


def calibrate_forms(store: Store, task: str) -> Ending:
    """Time the forms of the model that ``task`` needs and the clock does not know; nothing else should run.

    One that the model cannot take is noted in run.json with the reason, and the trials that need it will fail with it.
    """
    for form in make_levers(store.task(task).spec.knobs).forms():
        costs = store.reload_info().calibration
        if costs is None or form.key in costs.forms:
            continue
        set_threads(costs.threads)
        try:
            found = calibrate_form(workload_of(store), form, costs, device=run_device())
        except Exception as fault:
            store.update_info(refused_forms={**store.info.refused_forms, form.key: describe(fault, None)})
        else:
            store.update_info(calibration=replace(costs, forms={**costs.forms, form.key: found}))
    return "done"


def refuse_form(info: RunInfo, levers: Levers) -> None:
    """Refuse levers of which a form could not be calibrated.

    Raises:
        ValueError: with the reason.
    """
    for form in levers.forms():
        if form.key in info.refused_forms:
            raise ValueError(f"the form {form.key!r} could not be calibrated: {info.refused_forms[form.key]}")


def check_calibration(run: Path) -> None:
    """Whether the clock of the run in directory ``run`` holds where this process runs.

    Raises:
        OtherSurroundings: it was calibrated on something else.

    """
    costs = Store.open(run).info.calibration
    if costs is not None:
        refuse_other_surroundings(costs, surroundings(run_device()))


@dataclass
class _Execution:
    """One stretch of a task in this process: what the record says about it beside the training."""

    store: Store
    task: str
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
        """The step at which a trial that was let run on to its end would have been stopped, or None."""
        return self.limits.crossed(training.curve) if self.limits is not None and training.finished else None

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
            # A fork did not train what it is charged for, so there is nothing to hold its charge against.
            measured_seconds=(self.watch.seconds or None) if self.forked_from_step is None else None,
            co_residents=sum(self.others) / len(self.others) if self.others else 0.0,
            executions=self.executions,
            device=device,
        )


def execute(run: str, task: str, epoch: int) -> Ending:
    """Train ``task`` of the run directory ``run`` to its record, or to a checkpoint if asked to stop.

    A calibration's task is to time the forms of the model that its trial needs.

    ``epoch`` is the lease under which the search runs; once another search holds the run, nothing more is written and
    ``fenced`` is returned.

    Raises:
        SearchFailed: the run directory cannot be read or written, which is no fault of the trial.
    """
    try:
        store = Store.open(Path(run), epoch=epoch)
        return calibrate_forms(store, subject(task)) if is_calibration(task) else _execute(store, task)
    except Fenced:
        return "fenced"
    except (BadInput, OSError) as fault:
        raise SearchFailed(f"the run directory must stay readable and writable, but got: {fault}") from fault


def _execute(store: Store, task: str) -> Ending:
    found = store.task(task)
    execution = _Execution(store, task, found.spec, store.started(task), found.limits)
    spec = execution.spec
    costs = store.info.calibration
    if costs is None:
        raise RuntimeError(f"task {task} was started before the clock of {store.path} was calibrated")
    set_threads(costs.threads)
    cap_memory(memory_share(store.info))
    device = device_name(run_device())
    training: TrainingRun | None = None
    try:
        training = _prepare(execution, costs)
        ending = _train(execution, training)
        if ending != "done":
            return ending
        if training.recorder is not None and training.finished:
            training.recorder.finish({point.step: point.val_loss for point in training.measurements().curve})
        record = record_of(
            spec,
            costs,
            training.measurements(),
            execution.around(device),
            state="finished" if training.finished else "stopped",
            forked_from_step=execution.forked_from_step,
            would_stop_at_step=execution.would_stop_at(training),
        )
    except (Fenced, SearchFailed):
        raise  # the run directory's faults, not the trial's
    except Exception as fault:
        measured = training.measurements() if training else None
        record = record_of(
            spec, costs, measured, execution.around(device), state="failed", error=describe(fault, training)
        )
    finally:
        del training
    return _commit(execution, record)


def _prepare(execution: _Execution, costs: CostTable) -> TrainingRun:
    spec, workload = execution.spec, workload_of(execution.store)
    own, _ = divide_knobs(spec.knobs)
    policy, levers = make_policy(spec.policy, own), make_levers(spec.knobs)
    refuse_form(execution.store.info, levers)
    start = HeadStart(execution.store, execution.task, spec, timetable(workload), costs, execution.stops_at)
    training = TrainingRun(
        execution.watch.around_evaluation(workload),
        policy,
        seed=spec.seed,
        horizon=spec.horizon,
        costs=costs,
        device=run_device(),
        levers=levers,
        recorder=start.recorder(),
    )
    if checkpoint := load_checkpoint(execution.store.checkpoint_path(execution.task)):
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
                return "done"
        with execution.watch.running():
            training.advance()
        now = time.perf_counter()
        if now - poll < POLL_SECONDS:
            continue
        poll = now
        execution.others.append(max(0, execution.store.count_in_flight() - 1))
        stop = (execution.store.path / STOP_FILE).exists()
        if not stop and now - saved < period:
            continue
        execution.store.refuse_if_fenced()
        _save(execution, training)
        saved = time.perf_counter()
        period = max(CHECKPOINT_SECONDS, (saved - now) / CHECKPOINT_SHARE)
        if stop:
            return "interrupted"
    return "done"


def _save(execution: _Execution, training: TrainingRun) -> None:
    state = {"training": training.state_dict(), "execution": execution.state_dict()}
    save_checkpoint(execution.store.checkpoint_path(execution.task), state)


def _commit(execution: _Execution, record: TrialRecord) -> Ending:
    store, task = execution.store, execution.task
    # AlreadyRecorded: a worker believed dead finished first; the same trial has the same record, so nothing is lost.
    with contextlib.suppress(AlreadyRecorded):
        if task.isdigit():
            store.append(record)
        else:
            store.append_reference(task, record)
    store.end(task)
    return "done"


def describe(fault: BaseException, training: TrainingRun | None) -> str:
    """One line for the record: what went wrong, at which step, and where in the code."""
    at = "before training" if training is None else f"at step {training.steps}"
    frames = traceback.extract_tb(fault.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(fault).__name__} {at}: {str(fault) or 'no message'}{where}"
