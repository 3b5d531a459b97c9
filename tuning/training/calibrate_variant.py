"""Calibration of a workload with other values of its own knobs, when a trial first needs it.

It is measured beside the workload as it is, like a form of the model, and kept as a ratio.
"""

from __future__ import annotations

import dataclasses
import statistics
from functools import partial

import torch

from models.counting import count_flops
from models.workload import Workload
from tuning.training.bench import StepBench
from tuning.training.calibrate import Effort, kinds_of_step, measure_rounds, measured_depths
from tuning.training.calibrate_forms import EFFORT, SEED, ratios_to_plain
from tuning.training.company import Host, relative_spread
from tuning.trial.clock import CostTable, baseline_seconds


def calibrate_variant(
    workload: Workload,
    variant: Workload,
    costs: CostTable,
    *,
    device: torch.device,
    effort: Effort | None = None,
    host: Host | None = None,
) -> CostTable:
    """Measure what steps of ``variant`` cost, on the clock of ``workload``, with nothing beside.

    Raises:
        ValueError: the variant has no blocks.
    """
    plain, other = (StepBench(each, SEED, device, host) for each in (workload, variant))
    if other.num_blocks < 1:
        raise ValueError("blocks(model) must give at least one block, but is empty")
    depths, full = measured_depths(other.num_blocks), plain.num_blocks
    warmup = [other.lap(partial(other.step, d)) for d in (*depths, other.num_blocks + 1)]
    plain.step(full)
    work = {**kinds_of_step(other, depths), "plain": lambda: plain.step(full)}
    laps = measure_rounds(other, work, effort or EFFORT)
    ratios = ratios_to_plain(laps, on_cpu=device.type == "cpu")
    unit = costs.step_cost(full)
    middle = {name: unit * statistics.median(values) for name, values in ratios.items()}
    return dataclasses.replace(
        costs,
        num_blocks=other.num_blocks,
        step_seconds={depth: middle[f"step_{depth}"] for depth in depths},
        step_flops={depth: count_flops(partial(other.step, depth)) for depth in depths},
        data_seconds=middle["data"],
        probe_seconds=max(0.0, middle["probe"] - middle[f"step_{other.num_blocks}"]),
        spread={name: relative_spread(values) for name, values in ratios.items()},
        step_parts={},
        warmup_seconds=sum(lap.wall for lap in warmup),
        forms={},
        tries=1,
        disturbances=(),
        baseline_step_seconds=baseline_seconds(costs, 1),
    )
