"""What the space ``recipe`` suggests, on workloads that can and that cannot have it."""

from __future__ import annotations

import pytest

from models.levers.levers import make_levers
from policies.full_update import FullUpdate
from search_spaces.base import SearchSpace
from search_spaces.narrow import applied
from search_spaces.recipe import CAREFUL, FAST, GROWING, KEPT, SMALL, SPACE


def without(*gates: str) -> SearchSpace:
    """The space of a workload that cannot have what stands behind these gates."""
    space, faults = applied(SPACE, dict.fromkeys(gates, False))
    assert not faults
    return space


@pytest.mark.parametrize(
    ("gates", "suggested"),
    [
        ((), [{**FAST, **GROWING}, {**FAST, **GROWING, **SMALL}, CAREFUL, KEPT]),
        (("use_depth",), [FAST, {**FAST, **SMALL}, CAREFUL, KEPT]),
        (("use_input", "use_prefix"), [{**FAST, **GROWING}, CAREFUL]),
        (("use_depth", "use_input", "use_prefix", "use_averaging"), [FAST, CAREFUL]),
        (("use_batch", "use_depth", "use_input", "use_prefix"), [CAREFUL]),
    ],
    ids=str,
)
def test_the_first_alternative_that_can_be_had_is_suggested(
    gates: tuple[str, ...], suggested: list[object]
) -> None:
    """By hand: growth is left out where blocks cannot be, and nothing is suggested twice."""
    assert list(without(*gates).suggestions(FullUpdate.name)) == suggested


def test_whatever_is_suggested_can_be_made() -> None:
    """Each alternative obeys the levers' rules and is a point of the whole space."""
    for alternatives in SPACE.suggested:
        for knobs in alternatives:
            make_levers(knobs)
            assert SPACE.params_of(FullUpdate.name, 1.0, knobs) is not None
