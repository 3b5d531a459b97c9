"""Fractions, levels and relevance turned into a depth."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from policies.suffix import allowed_depths, count, needed_depth, round_up, top

BLOCKS = st.integers(1, 60)


@given(BLOCKS, st.integers(1, 1000))
def test_count_is_the_exact_ceiling_of_a_decimal_fraction(
    num_blocks: int, thousandths: int
) -> None:
    """Compare with exact rational arithmetic on thousandths, whose products binary floats cannot
    hold.
    """
    assert count(thousandths / 1000, num_blocks) == ceil(Fraction(thousandths, 1000) * num_blocks)


@given(st.data(), BLOCKS, st.integers(1, 8))
def test_allowed_depths_cut_every_level_to_the_bounds(
    data: st.DataObject, num_blocks: int, levels: int
) -> None:
    """Against the definition, level by level; the upper bound is always allowed."""
    low = data.draw(st.integers(1, num_blocks))
    high = data.draw(st.integers(low, num_blocks))
    depths = allowed_depths(num_blocks, levels, low, high)
    naive = []
    for i in range(1, levels + 1):
        level = ceil(Fraction(i * num_blocks, levels))
        level = high if level > high else low if level < low else level
        if level not in naive:
            naive.append(level)
    assert list(depths) == naive
    assert depths[-1] == high


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40), st.integers(0, 8))
def test_needed_depth_is_the_fewest_blocks_that_hold_the_share(
    scores: list[int], eighths: int
) -> None:
    """Try every depth in turn; whole scores and shares in eighths, so that the sums are exact."""
    share = eighths / 8
    holds = [d for d in range(1, len(scores) + 1) if sum(scores[-d:]) >= share * sum(scores)]
    assert needed_depth([float(s) for s in scores], share) == holds[0]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40), st.floats(0, 1))
def test_needed_depth_exists_whatever_rounding_does(scores: list[float], share: float) -> None:
    """The total is the last of the same running sums, so that even a share of 1 is met."""
    assert 1 <= needed_depth(scores, share) <= len(scores)


@given(st.data(), BLOCKS, st.integers(1, 8))
def test_rounding_up_stays_within_the_cap(
    data: st.DataObject, num_blocks: int, levels: int
) -> None:
    """The result is allowed and within the cap, and holds the depth unless the cap forbids it."""
    low = data.draw(st.integers(1, num_blocks))
    depths = allowed_depths(num_blocks, levels, low, num_blocks)
    cap = data.draw(st.integers(depths[0], num_blocks))
    depth = data.draw(st.integers(1, num_blocks))
    result = round_up(depth, depths, cap)
    assert result in depths
    assert result <= cap
    assert result >= depth or not any(depth <= d <= cap for d in depths)


def test_top_of_all_blocks_is_all_blocks() -> None:
    """The suffix as deep as the model."""
    assert top(3, 3) == (0, 1, 2)
