"""Calibration of a workload with other values of its own knobs, when a trial first needs it. It is
measured beside the workload as it is, like a form of the model, and kept as a ratio.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import torch

from models.counting import count_flops
from models.workload import Workload
from tuning.training.calibration.bench import StepBench
from tuning.training.calibration.calibrate import Effort, measured_depths
from tuning.training.calibration.company import Host
from tuning.training.calibration.forms import SEED, beside_plain, first_steps
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
    depths = measured_depths(other.num_blocks)
    warmup = first_steps(other, depths)
    return dataclasses.replace(
        beside_plain(plain, other, depths, costs, effort),
        num_blocks=other.num_blocks,
        step_flops={depth: count_flops(partial(other.step, depth)) for depth in depths},
        warmup_seconds=sum(lap.wall for lap in warmup),
        baseline_step_seconds=baseline_seconds(costs, 1),
    )
