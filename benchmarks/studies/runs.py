"""The runs of the studies: a list of recipes that the session of a search trains.

They lie in one run directory, on one clock that is measured first; none is trained twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.studies.plan import POLICY, Job
from models.device import run_device
from tuning.session.compare import measured_costs
from tuning.session.listed import Subject, create_list, recorded_runs, train_list
from tuning.session.watch import Silent
from tuning.store.store import Store
from tuning.study.baselines import policy_columns
from tuning.training.calibration.calibrate import Effort, surroundings
from tuning.trial.clock import CostTable, refuse_other_surroundings
from tuning.trial.recipe import CONTROL_POLICY
from tuning.trial.trial import Decision, TrialRecord

RUNS = "runs"
"""The run directory, in the studies' own."""


@dataclass(frozen=True)
class Done:
    """A run that is over.

    Attributes:
        job: what was trained.
        seconds: solo seconds.
        loss: the final validation loss; None where it failed.
        steps, probes: counts.
        mean_active_fraction: of the blocks, over all steps.
        decisions: one a change; probes are changes too.
    """

    job: Job
    seconds: float
    loss: float | None
    steps: int
    probes: int
    mean_active_fraction: float
    decisions: tuple[Decision, ...] = ()


def done_of(record: TrialRecord) -> Done:
    """The run that a record tells of."""
    return Done(
        job=Job(record.workload, record.recipe, record.seed),
        seconds=record.train_seconds or 0.0,
        loss=record.val_loss if record.state == "finished" else None,
        steps=record.steps or 0,
        probes=record.probes or 0,
        mean_active_fraction=record.mean_active_fraction or 0.0,
        decisions=record.decisions,
    )


def create_runs(folder: Path, subject: Subject, costs: CostTable) -> None:
    """Make the run directory of the studies in ``folder``, on a clock that holds for all of them.

    Raises:
        BadInput: there is one, or it cannot be written.
    """
    # The parts of a step are not needed here.
    columns = policy_columns({POLICY, CONTROL_POLICY})
    create_list(folder / RUNS, subject, replace(costs, step_parts={}), columns)


def clock(folder: Path, workload: str, effort: Effort | None = None) -> CostTable:
    """The clock of the studies in ``folder``: measured once, and the same for all added later.

    Raises:
        OtherSurroundings: it was measured on another workload or device.
    """
    subject = Subject.find(workload)
    if not (folder / RUNS).exists():
        create_runs(folder, subject, measured_costs(subject.workload, effort))
    costs = Store.open(folder / RUNS).info.calibration
    assert costs is not None, "a list's directory is made with its clock"
    about = {"workload": subject.workload.name, "fingerprint": subject.workload.fingerprint}
    refuse_other_surroundings(costs, {**surroundings(run_device()), **about})
    return costs


def recorded(folder: Path) -> dict[Job, Done]:
    """The runs trained so far."""
    if not (folder / RUNS).exists():
        return {}
    runs = map(done_of, recorded_runs(Store.open(folder / RUNS)).values())
    return {run.job: run for run in runs}


def train(jobs: Sequence[Job], folder: Path, workers: int, tell: Callable[[Done], None]) -> None:
    """Train what is not recorded in ``folder``, ``workers`` at once; each is told of once it is on
    disk.
    """
    subject = Subject.find(jobs[0].workload)
    specs = [job.spec() for job in jobs]
    train_list(folder / RUNS, specs, subject.workload.steps, _Teller(tell), workers)


class _Teller(Silent):
    def __init__(self, tell: Callable[[Done], None]) -> None:
        self._tell = tell

    def ended(self, record: TrialRecord) -> None:
        self._tell(done_of(record))
