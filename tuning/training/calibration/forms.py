"""Calibration of the other forms that levers give a step, each when a trial first needs it.

A form is measured beside the workload's own, a step of each in every round, and what is kept is the
ratio: times the calibrated cost of a full step it is the form's cost on the same clock, whatever
the machine's speed is by then. Forms that are made of parts are put together from the parts'
(``tuning.trial.parts``). Here are those that need a model of their own; the others are in
``light``.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial

import torch

from models.counting import count_flops
from models.levers.form import PLAIN, Form
from models.workload import Workload
from tuning.training.calibration.bench import StepBench
from tuning.training.calibration.calibrate import Effort, kinds_of_step, measure_rounds
from tuning.training.calibration.company import Host, Lap, relative_spread, solo_costs
from tuning.trial.clock import CostTable

EFFORT = Effort(min_rounds=5, max_rounds=20, seconds=0.25)
"""The effort for a form. It is less than the first calibration's, because every form that a search
meets is timed.
"""
SHALLOW = 3
"""By which factor depths below the full one are timed in fewer rounds: most recipes that change the
form freeze nothing.
"""
ENTRIES = 3
"""How often the way into a form and back is timed."""
SEED = 0
"""The seed of what is trained to be timed; costs do not depend on it."""


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
    depths = depths_of(form, costs)
    compiling = first_steps(shaped, depths)
    found = beside_plain(plain, shaped, depths, costs, effort, probing=form.approximated)
    del plain  # operations may be counted on a model of their own, which needs the memory
    matrices = _of_matrices(form)
    counted = shaped if matrices == form else StepBench(workload, SEED, device, form=matrices)
    flops = {depth: count_flops(partial(counted.step, depth)) for depth in depths}
    # Last: the layers that it makes are others than those of the bench's updater and optimizer,
    # and a step of recovery, in which nothing else is trained, would find no gradient it knows.
    entry = _entry(shaped, form, compiling if form.compiled else [])
    return dataclasses.replace(
        found,
        step_flops=flops,
        data_seconds=costs.data_seconds if form.batch == form.input == 1 else found.data_seconds,
        warmup_seconds=sum(lap.wall for lap in compiling),
        entry_seconds=entry,
    )


def first_steps(bench: StepBench, depths: Sequence[int]) -> list[Lap]:
    """Take every kind of step once, with what compiles then; returns the laps."""
    return [bench.lap(partial(bench.step, depth)) for depth in (*depths, bench.num_blocks + 1)]


def beside_plain(
    plain: StepBench,
    other: StepBench,
    depths: Sequence[int],
    costs: CostTable,
    effort: Effort | None,
    *,
    probing: bool = True,
) -> CostTable:
    """The cost of ``other``'s steps on the clock of ``costs``, measured beside ``plain``'s own
    steps.

    Operations, warm-up and the way into the form are left for the caller to fill in. Without
    ``probing`` no probe is timed: it costs as much for each block as the known probe does.
    """
    full = plain.num_blocks
    plain.step(full)
    kinds = kinds_of_step(other, depths)
    if not probing:
        del kinds["probe"]
    shallow = set() if probing else {f"step_{depth}" for depth in depths[:-1]}
    ratios = timed_ratios(other, kinds, shallow, lambda: plain.step(full), effort or EFFORT)
    unit = costs.step_cost(full)
    middle = {name: unit * statistics.median(values) for name, values in ratios.items()}
    found = form_table(
        costs, {depth: middle[f"step_{depth}"] for depth in depths}, middle["data"], ratios
    )
    if not probing:
        return found
    extra = unit * statistics.median(_extra(ratios, depths[-1]))
    return dataclasses.replace(found, probe_seconds=max(0.0, extra))


def form_table(
    costs: CostTable,
    seconds: Mapping[int, float],
    data_seconds: float,
    ratios: Mapping[str, Sequence[float]],
) -> CostTable:
    """The table of a form that was timed on the clock of ``costs``, without operations, warm-up and
    the way in. A probe reads the gradients of the blocks that are updated at most, and is charged
    in proportion to their number.
    """
    return dataclasses.replace(
        costs,
        step_seconds=no_dearer(seconds),
        data_seconds=data_seconds,
        probe_seconds=costs.probe_seconds * max(seconds) / costs.num_blocks,
        spread={name: relative_spread(values) for name, values in ratios.items()},
        step_parts={},
        forms={},
        tries=1,
        disturbances=(),
    )


def depths_of(form: Form, costs: CostTable) -> list[int]:
    """The numbers of active blocks at which a form is timed.

    Where matrices are replaced they are those of the first calibration. Otherwise they are the
    least, the most, and the most less one, because cost is linear up to where the stem is trained
    as well.
    """
    if form.approximated:
        return sorted(costs.step_seconds)
    most = form.present or costs.num_blocks - form.cached
    return sorted({1, max(1, most - 1), most})


def no_dearer(seconds: Mapping[int, float]) -> dict[int, float]:
    """Seconds by depth, none above a deeper step's.

    Training fewer blocks takes no longer, but shallow steps get few rounds, which other processes
    disturb most.

    >>> no_dearer({1: 3.0, 3: 2.5, 4: 2.6})
    {1: 2.5, 3: 2.5, 4: 2.6}
    """
    depths = sorted(seconds)
    return {depth: min(seconds[d] for d in depths if d >= depth) for depth in depths}


def timed_ratios(
    bench: StepBench,
    kinds: Mapping[str, Callable[[], object]],
    shallow: Set[str],
    plain: Callable[[], object],
    effort: Effort,
) -> dict[str, list[float]]:
    """The time of every kind of work over that of the plain full step in the same round, with fewer
    rounds for the ``shallow`` kinds.
    """
    fewer = dataclasses.replace(
        effort,
        min_rounds=math.ceil(effort.min_rounds / SHALLOW),
        max_rounds=math.ceil(effort.max_rounds / SHALLOW),
        seconds=effort.seconds / SHALLOW,
    )
    series = (
        ({name: work for name, work in kinds.items() if name not in shallow}, effort),
        ({name: work for name, work in kinds.items() if name in shallow}, fewer),
    )
    found: dict[str, list[float]] = {}
    for some, spent in series:
        if not some:
            continue
        work = {**some, "plain": plain}
        laps = measure_rounds(bench, work, spent)
        found |= ratios_to_plain(laps, on_cpu=bench.device.type == "cpu")
    return found


def ratios_to_plain(laps: Mapping[str, Sequence[Lap]], *, on_cpu: bool) -> dict[str, list[float]]:
    """Each kind of work over the plain full step of the same round."""
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


def _of_matrices(form: Form) -> Form:
    """The form with default kernels and without compilation. Those change how products are
    computed, not how many, and the counter of operations knows only the default ones.
    """
    return dataclasses.replace(form, attention="default", dtype="float32", compiled=False)


def _entry(bench: StepBench, form: Form, compiling: Sequence[Lap]) -> float:
    """Seconds of leaving and entering the form again, and of the first steps where these
    compile.
    """

    def turn() -> None:
        bench.change(PLAIN)
        bench.change(form)

    turns = (
        statistics.median(bench.lap(turn).wall for _ in range(ENTRIES))
        if form.approximated
        else 0.0
    )
    return turns + sum(lap.wall for lap in compiling)
