"""Costs of forms put together from those of their parts, against costs that follow a formula."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.levers.form import PLAIN, Form
from tests.support.costs import made_up_costs
from tuning.trial.clock import CostTable
from tuning.trial.parts import composed, parts_of

BLOCKS = 6


def cost(form: Form, depth: int, unlike: bool = False) -> float:
    """Seconds of a step: a stem, p blocks forward, d backward, and the optimizer's.

    With ``unlike`` each block costs more than the one below it.
    """
    present = form.present or BLOCKS
    weights = [1 + 0.5 * unlike * index for index in range(BLOCKS)]
    work = form.batch * form.input
    forward = sum(weights[:present]) * (1 + 2 * work)
    trained = sum(weights[present - depth : present])
    optimizer = {"own": 0.1, "adamw": 0.2, "muon": 0.3 * form.newton_schulz_steps}[form.optimizer]
    return 3 + work + forward + 2 * trained * (1 + 2 * work) + optimizer * trained


def table(form: Form, unlike: bool) -> CostTable:
    depths = range(1, (form.present or BLOCKS) + 1)
    seconds = {depth: cost(form, depth, unlike) for depth in depths}
    return dataclasses.replace(
        made_up_costs(BLOCKS), step_seconds=seconds, step_flops=dict(seconds)
    )


FORMS = st.builds(
    Form,
    optimizer=st.sampled_from(["own", "adamw"]),
    present=st.integers(0, BLOCKS - 1),
    batch=st.sampled_from([0.25, 0.5, 1.0, 2.0]),
    input=st.sampled_from([0.5, 1.0]),
)


@given(FORMS, st.booleans())
def test_together_they_give_the_whole(form: Form, unlike: bool) -> None:
    """Property: exact at full depth, where blocks' seconds grow alike with the work.

    Another optimizer's part is that of the top blocks, which may be larger ones.
    """
    parts = parts_of(form, BLOCKS)
    forms = {part.key: table(part, unlike) for part in parts}
    costs = dataclasses.replace(table(PLAIN, unlike), forms=forms)
    found = costs if form == PLAIN else composed(costs, form)
    full = form.present or BLOCKS
    within = 0.05 if unlike and form.optimizer != "own" else 1e-9
    assert found.step_cost(full) == pytest.approx(cost(form, full, unlike), rel=within)
    assert found.flops(full) == pytest.approx(cost(form, full, unlike), rel=within)
    for depth in found.step_seconds:
        assert found.step_cost(depth) == pytest.approx(cost(form, depth, unlike), rel=0.12)


def test_what_cannot_be_put_together_is_measured() -> None:
    """Approximated matrices, kernels and kept activations, with all that goes along."""
    svd = Form("svd", 0.5, batch=0.5, optimizer="muon", newton_schulz_steps=3)
    kept = Form(cached=3, batch=0.5, optimizer="adamw")
    assert parts_of(svd, BLOCKS) == (svd,)
    assert parts_of(kept, BLOCKS) == (Form(optimizer="adamw"), Form(cached=3, batch=0.5))
    assert parts_of(Form(batch=0.5), BLOCKS) == (Form(batch=0.5),)


def test_blocks_without_flops_that_are_counted() -> None:
    """An FFT has none: the stem's and the head's are those of the whole, of seconds all stand."""
    form = Form(present=2, batch=0.25)
    free = {part.key: flopless(table(part, False), part.batch) for part in parts_of(form, BLOCKS)}
    costs = dataclasses.replace(flopless(table(PLAIN, False), 1.0), forms=free)
    found = composed(costs, form)
    assert set(found.step_flops.values()) == {25.0}
    assert found.step_cost(2) == pytest.approx(cost(form, 2))


def flopless(costs: CostTable, batch: float) -> CostTable:
    return dataclasses.replace(costs, step_flops=dict.fromkeys(costs.step_seconds, 100 * batch))
