"""Calibration of light forms, which change no more than how many blocks are run and how much work a
step has, and of what is no form: letting a block in, taking an average, keeping activations.

All that a trial needs is timed in one series of rounds, on one model and beside its plain step. A
model for each would take longer to make than to time, and would find its weights gone from the
cache at every step, which a run does not.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from models.application.averages import Average
from models.application.prefix import Rows
from models.counting import count_flops
from models.levers.form import AVERAGING, GROWTH, Form
from models.making import blocks_of, new_model
from models.workload import Workload
from policies.apply import begin_as
from tuning.training.calibration.bench import StepBench
from tuning.training.calibration.calibrate import Effort
from tuning.training.calibration.company import Host
from tuning.training.calibration.forms import EFFORT, SEED, depths_of, form_table, timed_ratios
from tuning.training.place import describe
from tuning.trial.clock import CostTable

HALF = 0.5

ResultT = TypeVar("ResultT")
Work = Callable[[], object]


class _NotTaken(Exception):  # noqa: N818 - what is found out, not a fault of the program
    """Raised where a form or an event cannot be done; it has the name and the reason."""

    def __init__(self, name: str, why: Exception) -> None:
        super().__init__(name)
        self.name, self.why = name, why


def calibrate_light(
    workload: Workload,
    forms: Sequence[Form],
    events: Sequence[str],
    costs: CostTable,
    *,
    device: torch.device,
    effort: Effort | None = None,
    host: Host | None = None,
) -> dict[str, CostTable | str]:
    """Measure what steps in ``forms`` and ``events`` cost, on the clock of ``costs``.

    Args:
        workload: the workload whose forms and events they are.
        forms: light forms.
        events: names of events, see ``models.levers.form``.
        costs: the clock.
        device: a device with nothing else running on it.
        effort: the effort for each kind of work.
        host: the machine.

    Returns:
        The table of each, by name, or the reason, in words, why the model does not take it. It is
        no exception, because that would keep the model that it was raised on while the others are
        timed on a model of their own.

    """
    refused: dict[str, CostTable | str] = {}
    while True:
        some = [form for form in forms if form.key not in refused]
        others = [event for event in events if event not in refused]
        if not some and not others:
            return refused
        try:
            make = partial(StepBench, workload, SEED, device, host)
            return {**refused, **_together(make, some, others, costs, effort or EFFORT)}
        except _NotTaken as told:
            refused[told.name] = describe(told.why, None)
        except Exception as fault:  # of the plain step, or on the way to it
            names = [*(form.key for form in some), *others]
            return {**refused, **dict.fromkeys(names, describe(fault, None))}


def _together(
    make_bench: Callable[[], StepBench],
    forms: Sequence[Form],
    events: Sequence[str],
    costs: CostTable,
    effort: Effort,
) -> dict[str, CostTable]:
    """The table of each form and event, by name, from one series of rounds.

    Raises:
        _NotTaken: the model does not take one of them.
    """
    bench = make_bench()
    kinds = {
        name: partial(_tried, name, _tried(name, make))
        for name, make in _makers(bench, forms, events, costs).items()
    }
    # Once untimed: first calls allocate, and what the model does not take is told here by name.
    for work in kinds.values():
        work()
    series = _Series(bench, forms, costs)
    ratios = series.timed(kinds, effort)
    unit = costs.step_cost(bench.num_blocks)
    timed = {name: unit * statistics.median(values) for name, values in ratios.items()}
    prices = {
        name: dataclasses.replace(costs, entry_seconds=timed[name], forms={}, disturbances=())
        for name in events
    }
    tables = {
        form.key: _tried(form.key, partial(series.table, form, ratios, timed)) for form in forms
    }
    return {**prices, **tables}


def _tried(name: str, work: Callable[[], ResultT]) -> ResultT:
    """What ``work`` returns.

    Raises:
        _NotTaken: from whatever a model may raise; it is ``name`` that is not taken.
    """
    try:
        return work()
    except Exception as fault:
        raise _NotTaken(name, fault) from fault


def _makers(
    bench: StepBench, forms: Sequence[Form], events: Sequence[str], costs: CostTable
) -> dict[str, Callable[[], Work]]:
    def deepest(form: Form) -> Work:
        return partial(bench.step, depths_of(form, costs)[-1], work=form)

    return {
        **{form.key: partial(deepest, form) for form in forms},
        **{event: partial(_event, bench, event) for event in events},
    }


class _Series:
    """Times some forms on one bench."""

    def __init__(self, bench: StepBench, forms: Sequence[Form], costs: CostTable) -> None:
        self._bench, self._costs = bench, costs
        self._depths = {form: depths_of(form, costs) for form in forms}

    def timed(self, kinds: Mapping[str, Work], effort: Effort) -> dict[str, list[float]]:
        """The ratio of every kind of work, and of each form's shallower steps and batches, to the
        plain step.
        """
        bench = self._bench
        shallow: dict[str, Work] = {
            _shallow(form, depth): partial(_tried, form.key, partial(bench.step, depth, work=form))
            for form, depths in self._depths.items()
            for depth in depths[:-1]
        }
        batches: dict[str, Work] = {
            _data(form): partial(_tried, form.key, partial(bench.make_batch, form))
            for form in self._depths
            if not form.batch == form.input == 1
        }
        plain = partial(bench.step, bench.num_blocks)
        plain()
        work = {**kinds, **batches, **shallow}
        return timed_ratios(bench, work, shallow.keys(), plain, effort)

    def table(
        self, form: Form, ratios: Mapping[str, Sequence[float]], timed: Mapping[str, float]
    ) -> CostTable:
        """The table of ``form`` from what was timed; its operations are counted."""
        costs, depths = self._costs, self._depths[form]
        names = {depth: _shallow(form, depth) for depth in depths[:-1]} | {depths[-1]: form.key}
        found = form_table(
            costs,
            {depth: timed[name] for depth, name in names.items()},
            timed.get(_data(form), costs.data_seconds),
            {f"step_{depth}": ratios[name] for depth, name in names.items()},
        )
        step = partial(self._bench.step, work=form)
        return dataclasses.replace(
            found,
            step_flops={depth: count_flops(partial(step, depth)) for depth in depths},
            warmup_seconds=0.0,
            entry_seconds=0.0,
        )


def _shallow(form: Form, depth: int) -> str:
    return f"{form.key}: {depth}"


def _data(form: Form) -> str:
    return f"{form.key}: data"


def _event(bench: StepBench, name: str) -> Callable[[], object]:
    if name == AVERAGING:
        average = Average(bench.model)
        average.take(1.0)
        # A weight of one would copy and of none would skip; half takes the multiplication that a
        # run's does.
        return lambda: average.take(HALF)
    blocks = blocks_of(bench.workload, bench.model)
    if name == GROWTH:
        # Writing to the model's own block would change what is frozen. A new model is made because
        # not every block can be copied (weight_norm).
        another = new_model(bench.workload, bench.seed, bench.device)
        new = blocks_of(bench.workload, another)[-1]
        return lambda: begin_as(new, blocks[0])
    return _keeping(bench, blocks, int(name.split()[2]))


def _keeping(bench: StepBench, blocks: Sequence[nn.Module], count: int) -> Callable[[], object]:
    """A function that keeps what block ``count`` is given. That is computed once; each call keeps
    it under new ids.
    """
    seen: list[Tensor] = []

    def take(_: nn.Module, args: Any, kwargs: Any) -> None:
        given = (each for each in (*args, *kwargs.values()) if isinstance(each, Tensor))
        seen.append(next(given))

    with blocks[count].register_forward_pre_hook(take, with_kwargs=True), torch.no_grad():
        bench.workload.loss(bench.model, bench.batch)
    activations = seen[0]
    # New rows each time: ids that are there already would be passed over.
    return lambda: Rows(math.inf, None).keep(range(len(activations)), activations)
