"""The benchmark of a search's cost.

Hypervolume is checked by its definition and times by hand; one run goes from start to end.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.cost import search as search_cost
from benchmarks.cost.search import PLAIN, Outcome, compared, with_calibration
from benchmarks.cost.search_sides import Done
from benchmarks.quality.hypervolume import Box, hypervolume
from tests.support.searches import TINY

BOX = Box((0.0, 0.0), (10.0, 10.0))
GRID = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=8)


@given(GRID)
def test_hypervolume_by_definition(points: list[tuple[int, int]]) -> None:
    """Property: on whole numbers the area is the number of unit squares that some point
    dominates.
    """
    squares = sum(any(x <= i and y <= j for x, y in points) for i in range(10) for j in range(10))
    assert hypervolume(points, (10, 10)) == squares
    assert BOX.share(points) == pytest.approx(squares / 100)


@given(GRID, st.tuples(st.integers(0, 11), st.integers(0, 11)))
def test_another_point_never_takes_away(
    points: list[tuple[int, int]], point: tuple[int, int]
) -> None:
    """Property: hypervolume grows with the set, and points beyond the ideal one count as at the
    edge of the box.
    """
    assert BOX.share([*points, point]) >= BOX.share(points)
    assert BOX.share([*points, (-5, -5)]) == 1


def test_a_box_without_area_is_refused() -> None:
    """The ideal point is above the reference on one axis."""
    with pytest.raises(ValueError, match="ideal < reference must hold on both axes"):
        Box((0.0, 11.0), (10.0, 10.0))


PLAIN_RUN = Outcome(PLAIN, 0, 20.0, (Done(2, 8, 5, 5), Done(2, 10, 9, 9), Done(10, 18, 5, 4)))
OUR_RUN = Outcome("ours", 0, 9.0, (Done(1, 3), Done(1, 4, 8, 8), Done(3, 6, 4, 4)))


def test_figures_by_hand() -> None:
    """Plain ends with 5·6 of 100 after 18 s.

    Ours calibrates for 1 s and then has 6·6 after 7 s, 8 of 10 slots busy.
    """
    ours = with_calibration(OUR_RUN, 1.0)
    plain_row, our_row = compared([PLAIN_RUN, ours], BOX, slots=2)
    assert plain_row["hypervolume"] == pytest.approx(0.30)
    assert (plain_row["wall s"], plain_row["to plain's s"], plain_row["plain / wall"]) == (
        20,
        18,
        1,
    )
    assert (plain_row["idle"], plain_row["ends"]) == pytest.approx((2 / 32, 8 / 32))
    assert our_row["hypervolume"] == pytest.approx(0.36)
    assert (our_row["wall s"], our_row["plain / wall"], our_row["busy s"]) == (10, 2, 8)
    assert (our_row["to plain's s"], our_row["reached on"]) == (7, "1 of 1")
    assert our_row["plain / to plain's"] == pytest.approx(18 / 7)
    assert (our_row["idle"], our_row["ends"]) == pytest.approx((0, 0.2))


def test_a_hypervolume_that_is_not_reached() -> None:
    """The other way round: a side that ends below plain has no time to it."""
    worse = Outcome("ours", 0, 5.0, (Done(0, 5, 9, 9),))
    row = compared([PLAIN_RUN, worse], BOX, slots=2)[1]
    assert (row["to plain's s"], row["plain / to plain's"], row["reached on"]) == (
        None,
        None,
        "0 of 1",
    )


def test_it_runs(tmp_path: Path) -> None:
    """The sides that need no Ray run in this process.

    Each has a row, of as many trials as asked for; ours has its trunk's besides.
    """
    file = tmp_path / "out.json"
    arguments = [
        "--quick",
        "--workload",
        TINY,
        "--trials",
        "4",
        "--seeds",
        "1",
        "--json",
        str(file),
    ]
    search_cost.main([*arguments, "--sides", "plain Optuna", "ours"])
    rows, searches = json.loads(file.read_text())["tables"].values()
    assert [row["side"] for row in rows] == ["plain Optuna", "ours"]
    assert [row["tasks"] for row in searches] == [4, 5]
    assert all(0 < row["hypervolume"] <= 1 and 0 <= row["idle"] < 1 for row in rows)
