"""dynamic_suffix on losses of any size and sign."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.base import Observation, state_from_json, state_to_json
from policies.dynamic_suffix import DynamicSuffix
from tests.policies.runs import run
from tests.policies.test_dynamic_suffix import REDUCED, adaptive_policies, observed


class TestLossesOfAnySign:
    """Budget and gate where losses are negative, cross zero, stand still, are tiny or huge."""

    SANE = replace(REDUCED, adaptive=True, budget_beta=0.5)
    ANY = st.floats(-1e200, 1e200) | st.floats(-10, 10) | st.sampled_from([0.0, 1e-300, -1e-300])

    def budgets(self, losses: list[float]) -> list[int]:
        return [observed(self.SANE, *losses[: n + 1]).budget for n in range(len(losses))]

    @settings(max_examples=200, deadline=None)
    @given(st.lists(ANY, min_size=2, max_size=12))
    def test_better_never_grows_it_and_worse_never_shrinks_it(self, losses: list[float]) -> None:
        """Beside the smoothed loss of the probes before."""
        state = self.SANE.init(8)
        for step, loss in enumerate(losses):
            seen = Observation(step, loss, (1.0,) * 8, phase="reduced")
            after = self.SANE.observe(state, seen)
            if after.budget > state.budget:
                assert state.probe_loss is not None
                assert loss > state.probe_loss
            if after.budget < state.budget:
                assert state.probe_loss is not None
                assert loss < state.probe_loss
            state = after

    @pytest.mark.parametrize("shift", [0.0, -5.0, -10.0, -100.0, -1e6])
    def test_a_loss_that_falls_or_rises_does_so_anywhere(self, shift: float) -> None:
        """By a tenth each time, above zero, across it and below: the budget of positive losses."""
        falling = [10 * 0.9**i for i in range(6)]
        rising = [*falling, *(7 * 1.2**i for i in range(6))]
        assert self.budgets([loss + shift for loss in falling]) == self.budgets(falling)
        assert self.budgets([loss + shift for loss in rising]) == self.budgets(rising)
        assert self.budgets(falling)[-1] == 2
        assert self.budgets(rising)[-1] == 8

    @pytest.mark.parametrize("loss", [0.0, -5.3, 1e-300, -1e-300, 1e200, -1e200, 0.1, -0.1])
    def test_a_loss_that_stands_still_moves_nothing(self, loss: float) -> None:
        """No rounding of the mean passes for a change."""
        assert self.budgets([loss] * 12) == [8] * 12

    @settings(max_examples=60, deadline=None)
    @given(st.data(), adaptive_policies(), st.integers(-3000, -200))
    def test_negative_losses_may_be_shifted(
        self, data: st.DataObject, policy: DynamicSuffix, shift: int
    ) -> None:
        """By a whole number, which neither their means nor their range lose: equal plans."""
        exact = replace(policy, budget_beta=0.5, stability_window=4)
        losses = data.draw(st.lists(st.integers(-150, -50), min_size=5, max_size=30))
        shown = [[(float(loss + by), (1.0,) * 6) for loss in losses] for by in (0, shift)]
        plain, shifted = (run(exact, 6, seen)[0] for seen in shown)
        assert plain == shifted

    @settings(max_examples=60, deadline=None)
    @given(
        st.data(), adaptive_policies(), st.sampled_from([2.0**-900, 2.0**-300, 2.0**300, 2.0**900])
    )
    def test_losses_may_be_of_any_size(
        self, data: st.DataObject, policy: DynamicSuffix, factor: float
    ) -> None:
        """Times a power of two, which loses no digit: equal plans, and states in strict JSON."""
        losses = data.draw(st.lists(st.integers(50, 150), min_size=5, max_size=30))
        signs = data.draw(st.sampled_from([1, -1]))
        shown = [[(loss * signs * by, (1.0,) * 6) for loss in losses] for by in (1.0, factor)]
        plain, scaled = (run(policy, 6, seen) for seen in shown)
        assert plain[0] == scaled[0]
        for state in scaled[1]:
            data_of = json.loads(json.dumps(state_to_json(state), allow_nan=False))
            assert state_from_json(policy, data_of) == state

    def test_the_gate_waits_for_a_negative_loss_as_for_a_positive_one(self) -> None:
        """Shifted by a hundred, a fall by half a window is no small change of a large number."""
        policy = replace(
            REDUCED, gate=True, stability_window=2, stability_change=0.1, stability_variation=0.1
        )
        losses = [8.0, 8, 4, 4, 2, 2, 2, 2, 9, 1, 9, 1]
        for shift in (0, -100):
            plans, _ = run(policy, 8, [(loss + shift, (1.0,) * 8) for loss in losses])
            assert [plan.phase for plan in plans] == ["full"] * 8 + ["reduced"] * 4
