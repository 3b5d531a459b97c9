"""At which horizons a control is trained beside candidates."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tuning.study.prices import BEYOND, around, span
from tuning.study.rivals import HORIZONS

OWN = (0.5, 0.625, 0.75, 0.875, 1.0)
ENDS = st.floats(0.1, 2.25)


@pytest.mark.parametrize(
    ("spans", "longer", "expected"),
    [
        ([(0.9, 0.99)], (), (0.625, 0.75, 0.875, 1.0)),
        ([(0.55, 0.6)], (), (0.5, 0.625, 0.75, 0.875)),
        ([(0.9, 1.3)], (1.5,), (0.75, 0.875, 1.0, 1.5)),
        ([(0.55, 4.0)], (1.5, 2.25), (0.5, 0.875, 1.5, 2.25)),
        ([(0.55, 0.6), (0.9, 1.4)], (1.5,), (0.5, 0.75, 1.0, 1.5)),
    ],
    ids=["no gain", "brief", "a gain", "beyond all", "two that lie apart"],
)
def test_four_runs_around_what_is_asked(
    spans: list[tuple[float, float]], longer: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    """Where no run tells anything about a candidate, none is trained."""
    assert around(spans, (*OWN, *longer), 4) == expected


def test_a_bound_asks_for_a_longer_run() -> None:
    """A control that is only known to be slower is trained beyond what is known."""
    assert span(0.5, 2.0) == (0.5, 1.0)
    assert span(0.5, 2.0, bound=True) == (0.5, 1.0 * BEYOND)


@given(st.lists(st.tuples(ENDS, ENDS), min_size=1, max_size=4), st.integers(2, 6))
@example([(2.25, 2.25)], 3)
@example([(0.1, 0.1)], 4)
def test_few_horizons_hold_all_spans(ends: list[tuple[float, float]], count: int) -> None:
    """Property: so many, on the grid, ascending, around everything, and none further out than it
    takes to be so many.
    """
    spans = [(min(pair), max(pair)) for pair in ends]
    found = around(spans, HORIZONS, count)
    assert len(found) == count
    assert set(found) <= set(HORIZONS)
    assert all(a < b for a, b in itertools.pairwise(found))
    low, high = min(low for low, _ in spans), max(high for _, high in spans)
    assert found[0] <= low
    assert found[-1] >= high
    outside = [h for h in found[1:-1] if not low <= h <= high]
    inside = [h for h in HORIZONS if found[0] <= h <= found[-1]]
    assert not outside or list(found) == inside or len(inside) > count


@given(st.lists(ENDS, min_size=1, max_size=4, unique=True), st.integers(2, 6))
def test_a_short_grid_is_taken_whole(grid: list[float], count: int) -> None:
    """A search with few control runs has what it has."""
    grid = sorted(grid)
    found = around([(0.5, 1.0)], grid, count)
    assert len(found) == min(count, len(grid))
    assert set(found) <= set(grid)
