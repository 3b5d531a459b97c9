"""How much faster a step of the top blocks alone is, against the limit 3 / (1 + 2a).

A full step is forward, gradients of activations and gradients of weights, three equal parts. With a
fraction a of the blocks active the last two shrink to a each, so no schedule of this kind is faster
than 3 / (1 + 2a). Steps at a quarter, a half, three quarters and all of the blocks take turns; what
is reported are ratios of medians. Two models are measured: byte_lm_narrow, whose head
weighs more than a block, and a wider one whose blocks dominate.

    python -m benchmarks.cost.step [--rounds N] [--json FILE]
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from statistics import median

import torch

from benchmarks.common import Row, interleaved, machine, parser, publish, ratio_of_medians, spread
from models.workload import Workload
from models.workloads.byte_lm import byte_lm
from models.workloads.byte_lm_narrow import NARROW, byte_lm_narrow
from tuning.training.calibration.bench import StepBench

GOAL = 0.90
WIDE = replace(NARROW, width=128, heads=4, window=64, batch=8)


def measure(workload: Workload, rounds: int) -> list[Row]:
    """One row for each active fraction."""
    bench = StepBench(workload, seed=0, device=torch.device("cpu"))
    blocks = bench.num_blocks
    depths = sorted({max(1, blocks // 4), blocks // 2, 3 * blocks // 4, blocks})
    seconds = interleaved({str(depth): partial(bench.step, depth) for depth in depths}, rounds)
    return [_row(depth, blocks, seconds) for depth in depths]


def _row(depth: int, blocks: int, seconds: dict[str, list[float]]) -> Row:
    limit = 3 / (1 + 2 * depth / blocks)
    speedup = ratio_of_medians(seconds[str(blocks)], seconds[str(depth)])
    return {
        "active": f"{depth}/{blocks}",
        "ms a step": 1e3 * median(seconds[str(depth)]),
        "spread": spread(seconds[str(depth)]),
        "speedup": speedup,
        "limit": limit,
        "of the limit": speedup / limit,
        "goal": GOAL,
        "n": len(seconds[str(depth)]),
    }


def main() -> None:
    """Measure, print, and write JSON where asked."""
    options = parser(__doc__, rounds=60).parse_args()
    torch.set_num_threads(1)
    about = machine()
    workloads = {
        "byte_lm_narrow": byte_lm_narrow(),
        "a wider model (width 128)": byte_lm(recipe=WIDE),
    }
    tables = {
        f"{name}, one thread": measure(each, options.rounds) for name, each in workloads.items()
    }
    publish(tables, options.json, about)


if __name__ == "__main__":
    main()
