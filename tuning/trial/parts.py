"""The cost of a form put together from the costs of its parts, so that few have to be measured.

Levers multiply forms: blocks present × examples in a step × optimizers. A step's seconds T are
those of forward and backward, which depend on blocks and examples, and those of the optimizer:

    T(blocks, work, optimizer; d) = T(blocks, work; d) + T(optimizer; d) − T(d)

with d active blocks. Of p blocks present and other work w (a batch factor, smaller examples)

    T(p, w; p) = T(1, w; 1) + (T(w; L) − T(1, w; 1)) · (T(p; p) − T(1; 1)) / (T(L) − T(1; 1))

which is exact where every block's seconds grow alike with the work. Operations likewise. What else
a form has (matrices, kernels, kept activations) is measured as it is. Pure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from models.levers.form import PLAIN, Form
from tuning.trial.clock import CostTable

Cost = Callable[[CostTable, int], float]


def parts_of(form: Form, num_blocks: int) -> tuple[Form, ...]:
    """The forms whose costs together give that of ``form``; the form alone where it is measured
    whole.

    >>> whole = Form(present=2, batch=0.5, optimizer="muon", newton_schulz_steps=5)
    >>> [part.key for part in parts_of(whole, 8)]
    ['muon 5', 'present 2', 'batch 0.5', 'present 1, batch 0.5', 'present 1']
    >>> parts_of(Form("svd", 0.5, batch=0.5), 8)[0].key
    'svd 0.5 mlp, batch 0.5'
    """
    if form.approximated:
        return (form,)
    rest = _rest(form)
    needed = (_taken(form), *(_crossed(rest) if _crosses(rest) else (rest,)))
    return tuple(dict.fromkeys(part for part in needed if part != PLAIN))


def composed(costs: CostTable, form: Form) -> CostTable:
    """The table of ``form``, put together from those of its parts in ``costs``.

    Raises:
        KeyError: ``costs`` lacks a part.
        ValueError: the parts come to no time at all, so they cannot be right.
    """
    parts = parts_of(form, costs.num_blocks)
    if parts == (form,):
        return costs.forms[form.key]
    rest = _rest(form)
    table = _cross(costs, rest) if _crosses(rest) else _table(costs, rest)
    taken = _table(costs, _taken(form))
    steps = {
        depth: seconds + taken.step_cost(depth) - costs.step_cost(depth)
        for depth, seconds in table.step_seconds.items()
    }
    if min(steps.values()) <= 0:
        raise ValueError(
            f"the parts of {form.key!r} must come to positive seconds, but come to {steps}: they "
            "were not measured alone, or its optimizer's part is not what it is alone"
        )
    return dataclasses.replace(
        # Where only the optimizer differs this is the clock itself, with all of its forms; and its
        # forward, backward and spread are not this form's.
        table,
        step_seconds=steps,
        step_flops={
            depth: flops + taken.flops(depth) - costs.flops(depth)
            for depth, flops in table.step_flops.items()
        },
        step_parts={},
        spread={},
        forms={},
        disturbances=tuple(
            dict.fromkeys(sign for part in parts for sign in costs.forms[part.key].disturbances)
        ),
        composed=True,
    )


def _taken(form: Form) -> Form:
    return Form(
        optimizer=form.optimizer,
        divided=form.divided,
        newton_schulz_steps=form.newton_schulz_steps,
    )


def _rest(form: Form) -> Form:
    return dataclasses.replace(form, optimizer="own", divided=False, newton_schulz_steps=0)


def _crosses(rest: Form) -> bool:
    """Whether the form combines a number of blocks with other work in a step, and nothing else."""
    return rest.light and rest.present > 1 and dataclasses.replace(rest, present=0) != PLAIN


def _crossed(rest: Form) -> tuple[Form, ...]:
    work = dataclasses.replace(rest, present=0)
    one = dataclasses.replace(rest, present=1)
    return Form(present=rest.present), work, one, Form(present=1)


def _table(costs: CostTable, form: Form) -> CostTable:
    return costs if form == PLAIN else costs.forms[form.key]


def _cross(costs: CostTable, rest: Form) -> CostTable:
    some, work, one_working, one = (_table(costs, part) for part in _crossed(rest))
    count, blocks = rest.present, costs.num_blocks

    def each(cost: Cost, depths: Mapping[int, float]) -> dict[int, float]:
        share = _ratio(cost(some, count) - cost(one, 1), cost(costs, blocks) - cost(one, 1))
        full = cost(one_working, 1) + (cost(work, blocks) - cost(one_working, 1)) * share
        # What frozen blocks save grows with the work as a full step does.
        ratio = _ratio(cost(work, blocks), cost(costs, blocks))
        return {depth: full - (cost(some, count) - cost(some, depth)) * ratio for depth in depths}

    return dataclasses.replace(
        some,
        step_seconds=each(CostTable.step_cost, some.step_seconds),
        step_flops=each(CostTable.flops, some.step_flops),
        # A batch costs by its examples, however many blocks there are.
        data_seconds=work.data_seconds,
    )


def _ratio(one: float, other: float) -> float:
    """``one`` over ``other``; 1 where ``other`` is 0: blocks may have no operation that is counted
    (an FFT).
    """
    return one / other if other else 1.0
