"""The line through a front, at losses of any size."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tuning.study.samplers.control_line import FARTHEST, ControlLine
from tuning.trial.line import Line, between

TINY = st.floats(0.0, 1e-306, allow_subnormal=True)
ANY = st.floats(-1e200, 1e200, allow_subnormal=True) | TINY
SHARES = st.floats(0.0, 1.0)


@given(st.lists(ANY | TINY, min_size=2, max_size=8, unique=True), SHARES, st.data())
def test_a_value_lies_between_its_neighbours(
    losses: list[float], share: float, data: st.DataObject
) -> None:
    """Property: at any point of any line, whatever the slope; as NumPy's where that is a number."""
    xs = sorted(losses)
    ys = data.draw(st.lists(st.floats(1e-3, 1e5), min_size=len(xs), max_size=len(xs)))
    x = min(max(xs[0] + share * (xs[-1] - xs[0]), xs[0]), xs[-1])
    right = min(max(int(np.searchsorted(xs, x)), 1), len(xs) - 1)
    found = between(x, xs, ys)
    low, high = sorted(ys[right - 1 : right + 1])
    assert low * (1 - 1e-12) <= found <= high * (1 + 1e-12)
    plain = float(np.interp(x, xs, ys))
    assert found == plain or not np.isfinite(plain)


@given(st.lists(TINY, min_size=2, max_size=6, unique=True), TINY, SHARES)
def test_gains_at_the_least_of_losses_are_numbers(
    losses: list[float], loss: float, share: float
) -> None:
    """Property: inside the line a gain between its ends', beyond it a finite one of the sampler."""
    falling = np.array(sorted(losses, reverse=True))
    seconds = np.arange(1.0, len(falling) + 1)
    line = Line.through(seconds, falling)
    inside = min(max(falling[-1] + share * (falling[0] - falling[-1]), falling[-1]), falling[0])
    gain = line.gain(1.0, float(inside))
    assert gain is not None
    assert 1.0 <= gain <= len(falling)
    known = ControlLine(tuple(line.losses.tolist()), tuple(np.log(line.seconds).tolist()))
    assert abs(known.log_gain(1.0, loss)) <= FARTHEST + np.log(len(falling))
