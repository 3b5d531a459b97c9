"""Two objectives as one: what dominates stays ahead, and the weights are the seed's."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tuning.study.samplers.known import Point
from tuning.study.samplers.scalar import beyond_nadir, scalarised

PAIRS = st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=1, max_size=12)


def points(pairs: list[tuple[float, float]]) -> list[Point]:
    return [Point(number, {}, pair) for number, pair in enumerate(pairs)]


def values(pairs: list[tuple[float, float]], seed: int) -> list[float]:
    found = [point.values for point in scalarised(points(pairs), np.random.SeedSequence(seed))]
    return [value[0] for value in found if value is not None]


@given(PAIRS, st.integers(0, 100))
def test_what_dominates_is_not_behind(pairs: list[tuple[float, float]], seed: int) -> None:
    """Property: finite for all, and no point that another dominates has the lesser value."""
    found = values(pairs, seed)
    assert all(map(math.isfinite, found))
    for a, value in zip(pairs, found, strict=True):
        for b, other in zip(pairs, found, strict=True):
            if a[0] <= b[0] and a[1] <= b[1]:
                assert value <= other + 1e-9 * abs(other)


def test_each_seed_looks_for_another_part_of_the_front() -> None:
    """Over twenty seeds every point of a three-point front is the best for some, a dominated one
    for none.
    """
    pairs = [(0.0, 1.0), (0.3, 0.3), (1.0, 0.0), (1.0, 1.0)]
    best = {int(np.argmin(values(pairs, seed))) for seed in range(20)}
    assert best == {0, 1, 2}
    assert values(pairs, 3) == values(pairs, 3) != values(pairs, 4)


def test_scales_of_the_objectives_do_not_matter() -> None:
    """The same front in milliseconds and in a thousandth of the loss has the same values."""
    pairs = [(0.2, 0.9), (0.5, 0.5), (0.9, 0.1), (3.0, 4.0)]
    scaled = [(1000 * a, 7 + b / 1000) for a, b in pairs]
    np.testing.assert_allclose(values(scaled, 5), values(pairs, 5), rtol=1e-9)


def test_trials_in_flight_have_no_value() -> None:
    """They come through as they are, in their place."""
    found = scalarised(
        [*points([(1.0, 2.0)]), Point(7, {"a": 1.0}, None)], np.random.SeedSequence(0)
    )
    assert found[1] == Point(7, {"a": 1.0}, None)


@given(st.floats(0, 1e300), st.floats(0, 1e300))
def test_beyond_the_nadir_the_order_stays(a: float, b: float) -> None:
    """Property: increasing, and continuous where it changes over."""
    assert (beyond_nadir(a) <= beyond_nadir(b)) == (a <= b) or math.isclose(a, b)
    assert math.isclose(beyond_nadir(1 + 1e-12), 1, abs_tol=1e-9)
