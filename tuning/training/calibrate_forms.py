"""Calibration of the other forms that levers give a model, each when a trial first needs it.

A form is measured beside the workload's own, a step of each in every round, and what is kept is the
ratio: times the calibrated cost of a full step it is the form's cost on the same clock, whatever
the machine's speed is by then.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from functools import partial

import torch

from models.counting import count_flops
from models.levers.form import PLAIN, Form
from models.workload import Workload
from tuning.training.bench import StepBench
from tuning.training.calibrate import Effort, kinds_of_step, measure_rounds
from tuning.training.company import Host, Lap, relative_spread, solo_costs
from tuning.trial.clock import CostTable

EFFORT = Effort(min_rounds=7, max_rounds=40, seconds=2.5)
"""Less than the first calibration's: it is paid once for every form that a search meets."""
ENTRIES = 3
"""Times that the way into a form and back is timed."""
SEED = 0
"""Of what is trained to be timed; costs do not depend on it."""


def calibrate_form(
    workload: Workload,
    form: Form,
    costs: CostTable,
    *,
    device: torch.device,
    effort: Effort | None = None,
    host: Host | None = None,
) -> CostTable:
    """Measure what steps in ``form`` cost, on the clock of ``costs``, with nothing beside.

    Raises:
        ValueError: the model cannot take the form; the message says why.
    """
    plain, shaped = (
        StepBench(workload, SEED, device, host),
        StepBench(workload, SEED, device, host, form),
    )
    depths = sorted(costs.step_seconds)
    full = plain.num_blocks
    compiling = [shaped.lap(partial(shaped.step, depth)) for depth in (*depths, full + 1)]
    plain.step(full)
    work = {**kinds_of_step(shaped, depths), "plain": lambda: plain.step(full)}
    del work["data"]
    ratios = ratios_to_plain(
        measure_rounds(shaped, work, effort or EFFORT), on_cpu=device.type == "cpu"
    )
    unit = costs.step_cost(full)
    middle = {name: unit * statistics.median(values) for name, values in ratios.items()}
    return dataclasses.replace(
        costs,
        step_seconds={depth: middle[f"step_{depth}"] for depth in depths},
        step_flops=_flops(workload, form, depths, device),
        probe_seconds=max(0.0, unit * statistics.median(_extra(ratios, full))),
        spread={name: relative_spread(values) for name, values in ratios.items()},
        step_parts={},
        warmup_seconds=sum(lap.wall for lap in compiling),
        entry_seconds=_entry(shaped, form, compiling if form.compiled else []),
        forms={},
        tries=1,
        disturbances=(),
    )


def ratios_to_plain(laps: Mapping[str, Sequence[Lap]], *, on_cpu: bool) -> dict[str, list[float]]:
    """Each kind of step over the plain full step of the same round."""
    seconds = {name: solo_costs(series, on_cpu=on_cpu) for name, series in laps.items()}
    plain = seconds.pop("plain")
    return {
        name: [own / unit for own, unit in zip(each, plain, strict=True)]
        for name, each in seconds.items()
    }


def _extra(ratios: Mapping[str, Sequence[float]], full: int) -> list[float]:
    return [
        probe - step for probe, step in zip(ratios["probe"], ratios[f"step_{full}"], strict=True)
    ]


def _flops(
    workload: Workload, form: Form, depths: Sequence[int], device: torch.device
) -> dict[int, float]:
    # Kernels and compilation change how products are computed, not how many; the counter knows the
    # default ones.
    matrices = dataclasses.replace(form, attention="default", dtype="float32", compiled=False)
    bench = StepBench(workload, SEED, device, form=matrices)
    return {depth: count_flops(lambda depth=depth: bench.step(depth)) for depth in depths}  # type: ignore[misc]


def _entry(bench: StepBench, form: Form, compiling: Sequence[Lap]) -> float:
    """Seconds of the way back and in again, and of the first steps where these compile."""

    def turn() -> None:
        bench.change(PLAIN)
        bench.change(form)

    turns = (
        statistics.median(bench.lap(turn).wall for _ in range(ENTRIES))
        if form.approximated
        else 0.0
    )
    return turns + sum(lap.wall for lap in compiling)
