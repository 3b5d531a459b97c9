"""What a comparison trains: every schedule at equal steps and at equal time, and its control, one
after another.

Everything is trained in this process with nothing beside it. Two lists of recipes make it up, each
with a run directory of its own for the time it takes: at equal steps a clock counts steps, so that
a horizon is a number of them; the rest is on the calibrated clock.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.device import run_device
from policies.full_update import FullUpdate
from policies.presets import PRESETS
from policies.settings import knobs_of
from tuning.errors import SearchFailed
from tuning.findings import format as form
from tuning.findings.comparison import FULL, Mode, Trained, steps_as_seconds, trained_of
from tuning.session.listed import Subject, create_list, train_list
from tuning.session.watch import Silent
from tuning.store.store import Store
from tuning.study.baselines import policy_columns
from tuning.training.calibration.calibrate import Effort, calibrate
from tuning.training.generators import generators_kept
from tuning.training.place import set_threads
from tuning.trial.clock import CostTable, baseline_seconds
from tuning.trial.metric import LOSS, Metric
from tuning.trial.recipe import Recipe
from tuning.trial.trial import Origin, TrialRecord, TrialSpec

if TYPE_CHECKING:
    from models.workload import Workload
    from policies.base import UpdatePolicy

THREADS = 1
"""The number of threads: as many as a trial of a search has by default, so that costs compare."""
SCHEDULES: Mapping[str, UpdatePolicy[Any]] = {FULL: FullUpdate(), **PRESETS}
"""The policies that are compared, by name."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is compared, on what workload, and on which clock."""

    subject: Subject
    costs: CostTable
    seeds: tuple[int, ...]

    @property
    def runs(self) -> int:
        """The number of runs: for each seed a baseline, and each schedule in both modes with its
        control.
        """
        return len(self.seeds) * (1 + 3 * (len(SCHEDULES) - 1))

    @property
    def metric(self) -> Metric:
        """What a loss is the value of."""
        return Metric.measured_by(self.subject.workload)

    @property
    def baseline(self) -> float:
        """Solo seconds of full_update's whole run."""
        return baseline_seconds(self.costs, self.subject.workload.steps)


@dataclass(frozen=True)
class Job:
    """One run of a comparison; attributes as in ``Trained``."""

    schedule: str
    mode: Mode
    seed: int
    control_for: str | None = None
    horizon: float = 1.0

    def spec(self, workload: str) -> TrialSpec:
        """What a worker is told to train; its number is not chosen yet."""
        policy = SCHEDULES[self.schedule]
        recipe = Recipe(policy.name, self.horizon, knobs_of(policy))
        origin: Origin = "control" if recipe.is_control else "enqueued"
        return TrialSpec(0, origin, workload, recipe, self.seed)


@generators_kept()
def measured_costs(workload: Workload, effort: Effort | None = None) -> CostTable:
    """The calibrated clock of ``workload`` on this device.

    Raises:
        ValueError: the workload has no blocks.
    """
    set_threads(THREADS)
    return calibrate(workload, device=run_device(), threads=THREADS, effort=effort)


def compared(plan: Plan, say: Say) -> list[Trained]:
    """Train everything, and tell of each run as it is done.

    Returns:
        The runs seed by seed, schedule by schedule: at equal steps, the control of that, at equal
        time.

    Raises:
        SearchFailed: full_update itself does not train, so that there is nothing to compare with.
    """
    with tempfile.TemporaryDirectory(prefix="compare-") as folder:
        teller = _Teller(plan, say)
        light = teller.trained(Path(folder) / "steps", _at_equal_steps(plan))
        rest = teller.trained(Path(folder) / "time", _beside(plan, light))
    return sorted([*light, *rest], key=lambda run: _place(run, plan.seeds))


def _place(run: Trained, seeds: Sequence[int]) -> tuple[int, int, int]:
    schedule = list(SCHEDULES).index(run.control_for or run.schedule)
    return seeds.index(run.seed), schedule, ("steps", "control", "time").index(run.mode)


def _at_equal_steps(plan: Plan) -> list[Job]:
    return [Job(name, "steps", seed) for seed in plan.seeds for name in SCHEDULES]


def _beside(plan: Plan, light: Sequence[Trained]) -> list[Job]:
    """The control of every run at equal steps that finished, and its schedule at equal time."""
    found = []
    for run in light:
        if run.schedule == FULL:
            continue
        if run.val_loss is not None:
            horizon = run.seconds / plan.baseline
            found.append(Job(FULL, "control", run.seed, run.schedule, horizon))
        found.append(Job(run.schedule, "time", run.seed))
    return found


class _Teller(Silent):
    """Trains lists of runs, tells of each run that is done, and stops where a baseline did not
    train.
    """

    def __init__(self, plan: Plan, say: Say) -> None:
        self._plan, self._say, self._done = plan, say, 0
        self._jobs: Sequence[Job] = ()

    def trained(self, path: Path, jobs: Sequence[Job]) -> list[Trained]:
        """The runs of a list, in its order: a record's number in its directory is its place.

        Raises:
            SearchFailed: as ``compared``.
        """
        if not jobs:
            return []
        subject, costs = self._plan.subject, self._plan.costs
        clock = steps_as_seconds(costs) if jobs[0].mode == "steps" else costs
        columns = policy_columns({policy.name for policy in SCHEDULES.values()})
        create_list(path, subject, clock, columns)
        self._jobs = jobs
        specs = [job.spec(subject.name) for job in jobs]
        train_list(path, specs, subject.workload.steps, self)
        store = Store.open(path)
        return [self._run(store.record(number)) for number in range(len(jobs))]

    def _run(self, record: TrialRecord) -> Trained:
        job = self._jobs[record.number]
        costs = self._plan.costs
        return trained_of(costs, record, job.schedule, job.mode, job.control_for)

    def ended(self, record: TrialRecord) -> None:
        """Say what came of it.

        Raises:
            SearchFailed: it is a baseline, and it failed.
        """
        run = self._run(record)
        if run.val_loss is None and run.schedule == FULL and run.mode == "steps":
            raise SearchFailed(
                "full_update must train for anything to be compared with it, but on seed "
                f"{run.seed} it did not: {run.error}; look at the workload"
            )
        self._done += 1
        self._say(f"{self._done} of {self._plan.runs}: {told(run, self._plan.metric)}")


def told(run: Trained, metric: Metric = LOSS) -> str:
    """One line about a run that is done."""
    what = (
        f"control of {run.control_for}"
        if run.control_for
        else f"{run.schedule} at equal {run.mode}"
    )
    value = form.loss(run.val_loss, metric=metric)
    ending = run.error if run.val_loss is None else f"{metric.short} {value}"
    return f"seed {run.seed}, {what}: {ending}, {run.steps} steps, {run.seconds:.3g} s"


def settings() -> dict[str, Any]:
    """The knobs of every schedule that has any, by the schedule's name."""
    return {name: knobs_of(policy) for name, policy in SCHEDULES.items() if name != FULL}
