"""What a comparison trains: every schedule at equal steps and at equal time, and its control, one
after another.

Everything is trained in this process with nothing beside it, on a clock that is calibrated first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.device import run_device, synchronize
from policies.full_update import FullUpdate
from policies.presets import PRESETS
from policies.settings import knobs_of
from tuning.errors import SearchFailed
from tuning.findings import format as form
from tuning.findings.comparison import (
    FULL,
    Mode,
    Trained,
    depth_facts,
    solo_seconds,
    steps_as_seconds,
)
from tuning.training.calibrate import Effort, calibrate
from tuning.training.clock_tasks import WARM_UP_STEPS
from tuning.training.generators import generators_kept
from tuning.training.loop import TrainingRun
from tuning.training.place import describe, set_threads
from tuning.training.stopwatch import Stopwatch
from tuning.trial.clock import CostTable, baseline_seconds
from tuning.trial.metric import LOSS, Metric

if TYPE_CHECKING:
    from models.workload import Workload
    from policies.base import UpdatePolicy

THREADS = 1
"""As many as a trial of a search has by default, so that costs compare."""
SCHEDULES: Mapping[str, UpdatePolicy[Any]] = {FULL: FullUpdate(), **PRESETS}
"""What is compared, by name."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is compared on what, and on which clock."""

    workload: Workload
    costs: CostTable
    seeds: tuple[int, ...]

    @property
    def runs(self) -> int:
        """How many runs that is.

        A baseline a seed, and each schedule in both modes with its control.
        """
        return len(self.seeds) * (1 + 3 * (len(SCHEDULES) - 1))

    @property
    def metric(self) -> Metric:
        """What a loss is the value of."""
        return Metric.measured_by(self.workload)

    @property
    def baseline(self) -> float:
        """Solo seconds of full_update's whole run."""
        return baseline_seconds(self.costs, self.workload.steps)


@generators_kept()
def measured_costs(workload: Workload, effort: Effort | None = None) -> CostTable:
    """The calibrated clock of ``workload`` on this device, and a few steps trained so that no run
    has the first ones.

    Raises:
        ValueError: the workload has no blocks.
    """
    set_threads(THREADS)
    costs = calibrate(workload, device=run_device(), threads=THREADS, effort=effort)
    training = TrainingRun(
        workload, FullUpdate(), seed=0, horizon=1.0, costs=costs, device=run_device()
    )
    for _ in range(min(WARM_UP_STEPS, workload.steps)):
        training.advance()
    synchronize()
    return costs


def compared(plan: Plan, say: Say) -> Iterator[Trained]:
    """Train everything, seed by seed; each run as it is done.

    Raises:
        SearchFailed: full_update itself does not train, so that there is nothing to compare with.
    """
    set_threads(plan.costs.threads)
    done = 0
    for seed in plan.seeds:
        for run in _on_seed(plan, seed):
            done += 1
            say(f"{done} of {plan.runs}: {told(run, plan.metric)}")
            yield run


def _on_seed(plan: Plan, seed: int) -> Iterator[Trained]:
    baseline = _train(plan, FULL, "steps", seed)
    if baseline.val_loss is None:
        raise SearchFailed(
            f"full_update must train for anything to be compared with it, but on seed {seed} it "
            "did not: "
            f"{baseline.error}; look at the workload"
        )
    yield baseline
    for name in SCHEDULES:
        if name != FULL:
            run = _train(plan, name, "steps", seed)
            yield run
            if run.val_loss is not None:
                yield _train(
                    plan,
                    FULL,
                    "control",
                    seed,
                    control_for=name,
                    horizon=run.seconds / plan.baseline,
                )
            yield _train(plan, name, "time", seed)


@generators_kept()
def _train(
    plan: Plan,
    schedule: str,
    mode: Mode,
    seed: int,
    *,
    control_for: str | None = None,
    horizon: float = 1.0,
) -> Trained:
    """One run, to its end or to the step at which it fails."""
    watch = Stopwatch(synchronize=synchronize)
    training = TrainingRun(
        watch.around_evaluation(plan.workload),
        SCHEDULES[schedule],
        seed=seed,
        horizon=horizon,
        costs=steps_as_seconds(plan.costs) if mode == "steps" else plan.costs,
        device=run_device(),
    )
    error = None
    try:
        while not training.finished:
            with watch.running():
                training.advance()
    except Exception as fault:  # whatever it is, it is this run's alone
        error = describe(fault, training)
    measured = training.measurements()
    return Trained(
        schedule=schedule,
        policy=SCHEDULES[schedule].name,
        mode=mode,
        control_for=control_for,
        seed=seed,
        seconds=solo_seconds(plan.costs, measured.ledger),
        measured_seconds=watch.seconds,
        steps=measured.ledger.steps,
        probes=measured.ledger.probes,
        val_loss=measured.curve[-1].val_loss if measured.curve and error is None else None,
        error=error,
        **depth_facts(measured.ledger, plan.costs.num_blocks),
    )


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
    """The knobs of every schedule that has any."""
    return {name: knobs_of(policy) for name, policy in SCHEDULES.items() if name != FULL}
