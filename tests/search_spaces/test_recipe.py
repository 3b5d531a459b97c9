"""What the space ``recipe`` suggests, on workloads that can and that cannot have it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from policies.base import Scalar
from policies.full_update import FullUpdate
from search_spaces.base import HORIZON, POLICY, SearchSpace, as_levers, as_policy
from search_spaces.narrow import applied
from search_spaces.recipe import (
    CAREFUL,
    FAST,
    GROWING,
    KEPT,
    LAST,
    LAST_KEPT,
    LATE,
    SMALL,
    SOON,
    SPACE,
    TOP,
)


def without(*gates: str) -> SearchSpace:
    """The space of a workload that cannot have what stands behind these gates."""
    space, faults = applied(SPACE, dict.fromkeys(gates, False))
    assert not faults
    return space


@pytest.mark.parametrize(
    ("gates", "suggested"),
    [
        (
            (),
            [
                {**SOON, **FAST, **LATE},
                KEPT,
                {**SOON, **FAST, **GROWING},
                {**SOON, **FAST, **GROWING, **SMALL},
                LAST_KEPT,
            ],
        ),
        (("use_depth",), [{**SOON, **FAST}, KEPT, {**SOON, **FAST, **SMALL}, LAST_KEPT]),
        (
            ("use_input", "use_prefix"),
            [{**SOON, **FAST, **LATE}, {**SOON, **FAST, **GROWING}, TOP, LAST],
        ),
        (
            ("use_depth", "use_input", "use_prefix", "use_averaging"),
            [{**SOON, **FAST}, CAREFUL, LAST],
        ),
        (("use_batch", "use_depth", "use_input", "use_prefix"), [TOP, LAST]),
    ],
    ids=str,
)
def test_the_first_alternative_that_can_be_had_is_suggested(
    gates: tuple[str, ...], suggested: list[Mapping[str, Scalar]]
) -> None:
    """By hand: growth is left out where blocks cannot be, and nothing is suggested twice."""
    found = without(*gates).suggestions(FullUpdate.name)
    assert [{POLICY: policy, HORIZON: horizon, **knobs} for policy, horizon, knobs in found] == [
        {POLICY: FullUpdate.name, HORIZON: 1.0, **knobs} for knobs in suggested
    ]


def test_whatever_is_suggested_can_be_made() -> None:
    """Each alternative obeys the rules of its policy and levers, and is a point of the space."""
    for alternatives in SPACE.suggested:
        for knobs in alternatives:
            params = SPACE.params_of(
                str(knobs.get(POLICY, FullUpdate.name)),
                float(knobs.get(HORIZON, 1.0)),
                {name: v for name, v in knobs.items() if name not in (POLICY, HORIZON)},
            )
            assert params is not None
            as_policy(SPACE, params)
            as_levers(SPACE, params)


def test_where_only_whole_horizons_are_searched_suggestions_are_for_those() -> None:
    """No suggestion is lost by the horizon that it would have by itself."""
    space, faults = applied(SPACE, {HORIZON: 1.0})
    assert not faults
    found = [knobs for _, horizon, knobs in space.suggestions(FullUpdate.name) if horizon == 1.0]
    growing = [{**FAST, **GROWING}, {**FAST, **GROWING, **SMALL}]
    assert found == [{**FAST, **LATE}, KEPT, *growing]
