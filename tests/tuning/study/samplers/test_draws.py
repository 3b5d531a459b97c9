"""Points that depend on no history: evenly spread, and each by its own seed and index."""

from __future__ import annotations

from search_spaces.base import SearchSpace
from search_spaces.knobs import Fixed, Float
from search_spaces.registry import find_space
from tuning.study.samplers.draws import space_filling, uniform

SPACE = find_space("static_suffix")


def test_the_start_fills_the_space() -> None:
    """Of the first eight points of the sequence each eighth of every knob's range holds exactly
    one.
    """
    found = [space_filling(SPACE, 3, index) for index in range(8)]
    for knob in SPACE.searched:
        assert isinstance(knob, Float)
        shares = sorted(
            int(8 * (float(p[knob.name]) - knob.low) / (knob.high - knob.low)) for p in found
        )
        assert shares == list(range(8))


def test_a_place_of_the_sequence_needs_none_before_it() -> None:
    """Place 5 alone is what it is after the others; another seed has another."""
    alone = space_filling(SPACE, 3, 5)
    for index in range(5):
        space_filling(SPACE, 3, index)
    assert space_filling(SPACE, 3, 5) == alone != space_filling(SPACE, 4, 5)


def test_uniform_draws_differ_by_seed_number_and_attempt() -> None:
    """Four draws, all different, each the same again."""
    keys = [(0, 1, 0), (1, 1, 0), (0, 2, 0), (0, 1, 1)]
    draws = [uniform(SPACE, *key) for key in keys]
    assert [uniform(SPACE, *key) for key in keys] == draws
    assert len({tuple(draw.items()) for draw in draws}) == 4


def test_a_space_with_nothing_to_search_has_one_point() -> None:
    """Both give the fixed values."""
    fixed = SearchSpace(
        "fixed", "nothing to search", (Fixed("active_fraction", 0.5),), "static_suffix"
    )
    assert space_filling(fixed, 0, 3) == uniform(fixed, 0, 3) == {"active_fraction": 0.5}
