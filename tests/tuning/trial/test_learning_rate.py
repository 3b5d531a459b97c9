"""The default schedule: its constant part is the same for every horizon, and it ends at zero."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tuning.trial.course import wsd_factor

FRACTIONS = st.floats(0, 1)


@given(st.integers(0, 1000), st.integers(0, 100), st.floats(0, 1), FRACTIONS, FRACTIONS)
def test_constant_part_does_not_know_the_horizon(
    step: int, warmup: int, decay: float, one: float, other: float
) -> None:
    """Property: before the decay begins, two runs at the same step but other fractions have the
    same factor.
    """
    before = [f for f in (one, other) if f <= 1 - decay]
    factors = {wsd_factor(step, f, warmup_steps=warmup, decay_fraction=decay) for f in before}
    assert len(factors) <= 1


@given(st.integers(0, 1000), st.integers(0, 100), st.floats(0.01, 1), FRACTIONS)
def test_factor_is_a_fraction_and_ends_at_zero(
    step: int, warmup: int, decay: float, fraction: float
) -> None:
    """Property: 0 <= factor <= 1 everywhere, and 0 at the end of the horizon."""
    assert 0 <= wsd_factor(step, fraction, warmup_steps=warmup, decay_fraction=decay) <= 1
    assert wsd_factor(step, 1.0, warmup_steps=warmup, decay_fraction=decay) == 0


@given(st.floats(0.01, 1), FRACTIONS, FRACTIONS)
def test_decay_never_rises(decay: float, one: float, other: float) -> None:
    """Property: once warm, a later fraction never has a higher rate."""
    early, late = sorted((one, other))
    assert wsd_factor(50, early, warmup_steps=5, decay_fraction=decay) >= wsd_factor(
        50, late, warmup_steps=5, decay_fraction=decay
    )
