"""The clock's arithmetic: exact sums, the three terms, interpolation between calibrated depths."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.costs import cost_tables
from tuning.trial.clock import CostTable, Ledger, baseline_seconds, charge

STEPS = st.lists(st.tuples(st.integers(1, 8), st.booleans()), max_size=60)


def ledger_of(steps: list[tuple[int, bool]], num_blocks: int) -> Ledger:
    ledger = Ledger()
    for depth, probe in steps:
        ledger.record(num_blocks if probe else min(depth, num_blocks), probe=probe)
    return ledger


@given(cost_tables(), STEPS)
def test_three_terms_add_up(costs: CostTable, steps: list[tuple[int, bool]]) -> None:
    """Property: FLOPs / (FLOP/s) + overhead is the trial's seconds (to rounding, far inside the 2 %
    of the law).
    """
    terms = charge(costs, ledger_of(steps, costs.num_blocks))
    compute = (
        terms.required_flops / terms.effective_flops_per_second
        if terms.effective_flops_per_second
        else 0.0
    )
    assert math.isclose(
        compute + terms.pipeline_overhead_seconds, terms.train_seconds, rel_tol=1e-9
    )


@given(cost_tables(), STEPS, st.randoms())
def test_order_of_steps_does_not_matter(
    costs: CostTable, steps: list[tuple[int, bool]], random: object
) -> None:
    """Property: seconds are computed from the whole ledger, so any order gives the same bits."""
    shuffled = list(steps)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert charge(costs, ledger_of(steps, costs.num_blocks)) == charge(
        costs, ledger_of(shuffled, costs.num_blocks)
    )


@given(cost_tables(), st.integers(1, 500))
def test_full_update_spends_exactly_its_baseline(costs: CostTable, steps: int) -> None:
    """Property: the ledger of the baseline costs what a horizon of 1.0 allows, to the bit."""
    ledger = Ledger()
    for _ in range(steps):
        ledger.record(costs.num_blocks, probe=False)
    assert charge(costs, ledger).train_seconds == baseline_seconds(costs, steps)


def test_cost_between_calibrated_depths_is_linear() -> None:
    """By hand: half way between depth 2 (1 s) and depth 4 (2 s) is 1.5 s.

    A depth outside is refused with the rule.
    """
    costs = CostTable(4, {2: 1.0, 4: 2.0}, {2: 10.0, 4: 20.0}, 0, 0, 0, 0, "cpu", 1)
    assert costs.step_cost(3) == 1.5
    assert costs.flops(3) == 15.0
    with pytest.raises(ValueError, match=r"calibrated depths \[2, 4\], but got 1"):
        costs.step_cost(1)


def test_mean_active_fraction() -> None:
    """By hand: one step of 4 of 4 blocks and one of 2 of 4 is three quarters; no step is None."""
    assert Ledger({4: 1, 2: 1}).mean_active_fraction(4) == 0.75
    assert Ledger().mean_active_fraction(4) is None
