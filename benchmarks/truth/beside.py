"""Training with a full step timed beside it, a unit that drifts as the run's seconds do.

After every few training steps a full step of another, idle model is timed. A processor that slows
down slows both.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import torch

from models.workload import Workload
from policies.base import UpdatePolicy
from tuning.training.calibration.bench import StepBench
from tuning.training.calibration.company import Lap
from tuning.training.loop import TrainingRun
from tuning.training.stopwatch import Stopwatch
from tuning.trial.clock import CostTable, charge

STEPS_BETWEEN = 2
"""Training steps from one full step beside them to the next."""
WARM_UP_STEPS = 20


@dataclass(frozen=True)
class Beside:
    """One run, and the full steps that took turns with its own.

    Attributes:
        seconds: of training, evaluations left out; wall and CPU.
        full: seconds of each full step beside it, with its batch.
        predicted: solo seconds that the clock charged.
        predicted_full: what the clock charges for one full step with its batch.
        steps, probes, mean_active: of the run; the last as a fraction of the blocks.

    """

    seconds: Lap
    full: tuple[Lap, ...]
    predicted: float
    predicted_full: float
    steps: int
    probes: int
    mean_active: float

    @property
    def units(self) -> float:
        """Wall seconds in full steps of the same minutes."""
        return self.seconds.wall / statistics.mean(lap.wall for lap in self.full)

    @property
    def cpu_units(self) -> float:
        """CPU seconds likewise: without what was spent waiting for a core."""
        return self.seconds.cpu / statistics.mean(lap.cpu for lap in self.full)

    @property
    def predicted_units(self) -> float:
        """What the clock says, in its own full steps."""
        return self.predicted / self.predicted_full


@dataclass
class _Watches:
    wall: Stopwatch = field(default_factory=Stopwatch)
    cpu: Stopwatch = field(default_factory=lambda: Stopwatch(clock=time.thread_time))


def train_beside(
    workload: Workload,
    policy: UpdatePolicy[Any],
    horizon: float,
    costs: CostTable,
    *,
    seed: int = 0,
) -> Beside:
    """Train once on the CPU, alone but for the full steps that take turns with it."""
    device, watches = torch.device("cpu"), _Watches()
    bench = StepBench(workload, seed, device)
    timed = watches.cpu.around_evaluation(watches.wall.around_evaluation(workload))
    run = TrainingRun(timed, policy, seed=seed, horizon=horizon, costs=costs, device=device)
    for _ in range(WARM_UP_STEPS):
        _full_step(bench)
    full = []
    while not run.finished:
        with watches.wall.running(), watches.cpu.running():
            run.advance()
        if run.steps % STEPS_BETWEEN == 0:
            full.append(bench.lap(lambda: _full_step(bench)))
    ledger = run.measurements().ledger
    return Beside(
        seconds=Lap(watches.wall.seconds, watches.cpu.seconds),
        full=tuple(full),
        predicted=charge(costs, ledger).train_seconds,
        predicted_full=costs.step_cost(costs.num_blocks) + costs.data_seconds,
        steps=ledger.steps,
        probes=ledger.probes,
        mean_active=ledger.mean_active_fraction(costs.num_blocks) or 0.0,
    )


def _full_step(bench: StepBench) -> None:
    bench.make_batch()  # the same one again: the time that it takes is part of a step
    bench.step(bench.num_blocks)
