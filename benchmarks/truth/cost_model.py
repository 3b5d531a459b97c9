"""Does the clock charge what training takes? Predicted over measured seconds.

Schedules are random points of the space ``dynamic_suffix``. Each is trained, alone, with a full
step timed after every other step of its own; measured seconds are in units of those, predicted ones
in units of the calibrated full step, so that a machine that drifts from minute to minute is no
error of the clock's. Evaluations are left out of both.

    python -m benchmarks.truth.cost_model [--schedules N] [--scale F] [--json FILE]
"""

from __future__ import annotations

import random
import statistics

import torch

from benchmarks.common import Row, machine, parser, publish
from benchmarks.truth.beside import Beside, train_beside
from models.workload import Workload
from models.workloads.byte_lm_narrow import byte_lm_narrow
from policies.registry import make_policy
from search_spaces.dynamic_suffix import SPACE
from tuning.training.calibration.calibrate import calibrate
from tuning.trial.clock import CostTable

GOAL = 0.05


def schedule(seed: int, workload: Workload, costs: CostTable, scale: float) -> tuple[Row, float]:
    """Train the random schedule of ``seed``; its row, and predicted over measured."""
    draw = random.Random(seed)
    params = SPACE.at([draw.random() for _ in SPACE.searched])
    policy, horizon, knobs = SPACE.split(params)
    done = train_beside(workload, make_policy(policy, knobs), horizon * scale, costs)
    ratio = done.predicted_units / done.units
    return _row(seed, horizon * scale, done, ratio), ratio


def _row(seed: int, horizon: float, done: Beside, ratio: float) -> Row:
    return {
        "schedule": seed,
        "horizon": horizon,
        "steps": done.steps,
        "probes": done.probes,
        "mean active": done.mean_active,
        "seconds a full step": statistics.median(lap.wall for lap in done.full),
        "measured, full steps": done.units,
        "predicted, full steps": done.predicted_units,
        "predicted / measured": ratio,
        "the same of CPU seconds": done.predicted_units / done.cpu_units,
    }


def summary(ratios: list[float], costs: CostTable) -> Row:
    """How far off the predictions are."""
    errors = [abs(ratio - 1) for ratio in ratios]
    return {
        "schedules": len(ratios),
        "median error": statistics.median(errors),
        "largest error": max(errors),
        "bias": statistics.mean(ratios) - 1,
        "goal": GOAL,
        "within it": sum(error <= GOAL for error in errors),
        "calibrated": "alone" if not costs.disturbances else "; ".join(costs.disturbances),
    }


def main() -> None:
    """Calibrate, train, print, and write JSON where asked."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--schedules", type=int, default=10, metavar="N", help="random schedules (default: 10)"
    )
    arguments.add_argument(
        "--scale",
        type=float,
        default=1.0,
        metavar="F",
        help="train for F times their horizons (default: 1)",
    )
    options = arguments.parse_args()
    torch.set_num_threads(1)
    about, workload = machine(), byte_lm_narrow()
    costs = calibrate(workload, device=torch.device("cpu"), threads=1)
    done = [schedule(seed, workload, costs, options.scale) for seed in range(options.schedules)]
    tables = {
        "random schedules of byte_lm_narrow, one thread": [row for row, _ in done],
        "how far off": [summary([ratio for _, ratio in done], costs)],
    }
    publish(tables, options.json, about)


if __name__ == "__main__":
    main()
