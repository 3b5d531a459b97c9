"""The non-dominated sort, against loops that need no sort."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tuning.trial.dominance import nondominated

points = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12)


@given(points)
def test_by_its_definition(points: list[tuple[int, int]]) -> None:
    """A point is kept unless another is no worse on both axes and better on one; ties are kept."""
    axes = np.array(points, dtype=float).reshape(-1, 2)
    expected = [
        not any(a <= c and b <= d and (a, b) != (c, d) for a, b in points) for c, d in points
    ]
    assert nondominated(*axes.T).tolist() == expected


def test_a_hundred_thousand_points_agree_with_a_running_minimum() -> None:
    """Against an independent loop over points sorted by seconds, distinct on both axes."""
    rng = np.random.default_rng(0)
    seconds, losses = rng.random(100_000), rng.random(100_000)
    expected, best = np.zeros(100_000, dtype=bool), math.inf
    for index in np.argsort(seconds):
        expected[index] = losses[index] < best
        best = min(best, losses[index])
    assert (nondominated(seconds, losses) == expected).all()
