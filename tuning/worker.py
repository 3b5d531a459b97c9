"""What happens in a worker process: one task is trained from its checkpoint to its record.

A worker reads everything from the run directory and writes everything to it before it returns, so a driver passes only
task ids around. A fault of the trial (an exception, a loss that is not finite, memory) is one failed record; only the
death of the process is the driver's to notice.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from models.registry import find_workload
from models.workload import Workload
from policies.registry import make_policy
from tuning.calibrate import calibrate, device_name
from tuning.checkpoint import load_checkpoint, save_checkpoint
from tuning.clock import CostTable
from tuning.driver import Ending
from tuning.errors import SearchFailed
from tuning.lease import Fenced
from tuning.outcome import Circumstances, record_of
from tuning.run_info import STOP_FILE
from tuning.store import AlreadyRecorded, Store
from tuning.train import TrainingRun
from tuning.trial import TrialRecord, TrialSpec

POLL_SECONDS = 0.25
CHECKPOINT_SECONDS = 5.0
"""A trial in flight loses at most this much wall time, or 50 times the cost of a checkpoint if that is longer."""
CHECKPOINT_SHARE = 0.02


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


def calibrate_run(run: Path) -> None:
    """Calibrate the clock of the run in directory ``run`` and store it in its run.json."""
    store = Store.open(run)
    threads = int(store.info.config["resources"]["threads"])
    set_threads(threads)
    costs = calibrate(workload_of(store), device=run_device(), threads=threads)
    store.update_info(calibration=costs, device=costs.device)


@dataclass
class _Execution:
    """One stretch of a task in this process: what the record says about it beside the training."""

    store: Store
    task: str
    spec: TrialSpec
    executions: int
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    wall_before: float = 0.0
    begun: float = field(default_factory=time.perf_counter)
    others: list[int] = field(default_factory=list)

    @property
    def wall_seconds(self) -> float:
        return self.wall_before + time.perf_counter() - self.begun

    def state_dict(self) -> dict[str, Any]:
        return {"wall": self.wall_seconds, "started_at": self.started_at.isoformat(), "others": self.others}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.wall_before = state["wall"]
        self.started_at = datetime.fromisoformat(state["started_at"])
        self.others = list(state["others"])

    def around(self, device: str) -> Circumstances:
        return Circumstances(
            started_at=self.started_at,
            finished_at=datetime.now(UTC),
            wall_seconds=self.wall_seconds,
            co_residents=sum(self.others) / len(self.others) if self.others else 0.0,
            executions=self.executions,
            device=device,
        )


def execute(run: str, task: str, epoch: int) -> Ending:
    """Train ``task`` of the run directory ``run`` to its record, or to a checkpoint if asked to stop.

    ``epoch`` is the lease under which the search runs; once another search holds the run, nothing more is written and
    ``fenced`` is returned.
    """
    try:
        return _execute(Store.open(Path(run), epoch=epoch), task)
    except Fenced:
        return "fenced"


def _execute(store: Store, task: str) -> Ending:
    execution = _Execution(store, task, store.task(task).spec, store.started(task))
    spec = execution.spec
    costs = store.info.calibration
    if costs is None:
        raise RuntimeError(f"task {task} was started before the clock of {store.path} was calibrated")
    set_threads(costs.threads)
    cap_memory(float(store.info.config["resources"]["gpus_per_trial"]))
    device = device_name(run_device())
    training: TrainingRun | None = None
    try:
        training = _prepare(execution, costs)
        ending = _train(execution, training)
        if ending != "done":
            return ending
        record = record_of(spec, costs, training.measurements(), execution.around(device))
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
    spec = execution.spec
    training = TrainingRun(
        workload_of(execution.store),
        make_policy(spec.policy, dict(spec.knobs)),
        seed=spec.seed,
        horizon=spec.horizon,
        costs=costs,
        device=run_device(),
    )
    if checkpoint := load_checkpoint(execution.store.checkpoint_path(execution.task)):
        training.load_state_dict(checkpoint["training"])
        execution.load_state_dict(checkpoint["execution"])
    return training


def _train(execution: _Execution, training: TrainingRun) -> Ending:
    poll = saved = time.perf_counter()
    period = CHECKPOINT_SECONDS
    while not training.finished:
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
