"""The default schedule: its constant part is the same for every horizon, and it ends at zero."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.identity import identity_of
from tests.support import tiny
from tuning.training.loop import timetable
from tuning.trial.course import Timetable, wsd_factor
from tuning.trial.decaying import Decay, factor_left

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


SHAPES = ["linear", "cosine", (1.0, 0.2, 0.4, 0.0)]


@pytest.mark.parametrize("decay", SHAPES)
@given(FRACTIONS, st.integers(0, 100), st.floats(0.01, 1.0))
def test_every_decay_begins_at_one_and_ends_at_its_last_factor(
    decay: Decay, fraction: float, step: int, share: float
) -> None:
    """In between it is a factor, and before it begins it is one."""
    numbers = {"warmup_steps": 0, "decay_fraction": share}
    assert 0 <= wsd_factor(step, fraction, **numbers, decay=decay) <= 1  # type: ignore[arg-type]
    assert wsd_factor(step, 1 - share, **numbers, decay=decay) == pytest.approx(1)  # type: ignore[arg-type]
    assert wsd_factor(step, 1.0, **numbers, decay=decay) == 0  # type: ignore[arg-type]


def test_a_function_of_ones_own_is_followed() -> None:
    """Read at many places, so a smooth one is met closely; what gives no factor is refused."""
    workload = replace(tiny.tiny(), decay=lambda progress: (1 - progress) ** 3, decay_fraction=1.0)
    shape = timetable(workload).decay
    for fraction in (0.1, 0.33, 0.9):
        found = wsd_factor(50, fraction, warmup_steps=5, decay_fraction=1.0, decay=shape)
        assert found == pytest.approx((1 - fraction) ** 3, abs=1e-4)
    with pytest.raises(ValueError, match=r"from \[0, 1\] to \[0, 1\], but got 1.0078125 at 0.504"):
        replace(tiny.tiny(), decay=lambda progress: 2 * progress)
    with pytest.raises(ValueError, match="but got decay='square'"):
        replace(tiny.tiny(), decay="square")  # type: ignore[arg-type]


@pytest.mark.parametrize("decay", ["cosine", lambda progress: 1 - progress**2])
def test_a_trial_is_repeated_with_its_decay(decay: Any) -> None:
    """What run.json says of it comes back from JSON and from TOML."""
    workload = replace(tiny.tiny(), decay=decay)
    said = json.loads(json.dumps(identity_of(workload)))["decay"]
    again = Timetable(20, 5, 2, 0.2, said)
    assert factor_left(again.decay, 0.3) == factor_left(timetable(workload).decay, 0.3)
