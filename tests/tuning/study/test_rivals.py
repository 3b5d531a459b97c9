"""Which runs of the controls a confirmation trains beside its candidates."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tests.support.frames import frame_of, record
from tuning.study.confirmation import Plan, beyond, ranked
from tuning.study.rivals import behind, rivals_of
from tuning.trial.recipe import OWN, SMALLER, TUNED, Recipe
from tuning.trial.trial import TrialRecord

FULL: dict[str, Any] = {"policy": "full_update"}
TUNE: dict[str, Any] = {**FULL, "knobs": {"rate": 2.0}}
FEWER: dict[str, Any] = {**FULL, "knobs": {"depth_start": 0.5, "depth_end": 0.5}}


def searched(*others: TrialRecord, longest: float = 1.0) -> pd.DataFrame:
    """Own runs of 5, 7.5, 10 and 15 s at losses 2.0, 1.9, 1.8 and 1.7, as far as ``longest``."""
    own = [(5, 2.0, 0.5), (7.5, 1.9, 0.75), (10, 1.8, 1.0), (15, 1.7, 1.5)]
    runs = [
        record(i, s, loss, horizon=h, origin="control", **FULL)
        for i, (s, loss, h) in enumerate(own)
        if h <= longest
    ]
    return frame_of([*runs, *others])


def test_the_best_of_each_rival_is_trained_around_the_losses_in_question() -> None:
    """The candidate takes 9 s to 1.78, which the better tuned run's line has after 9.9 s."""
    table = searched(
        record(5, 9, 1.78, horizon=0.9),
        record(6, 9.5, 1.79, horizon=0.95, **TUNE),
        record(7, 10, 1.775, horizon=1.0, **{**TUNE, "knobs": {"rate": 3.0}}),
        record(8, 9, 1.85, horizon=0.9, **FEWER),
    )
    candidates, on_front = ranked(table)
    assert ([c.number for c in candidates], on_front) == ([5], True)
    rivals = rivals_of(table, candidates)
    assert [(kind, rival.found.number) for kind, rival in rivals.items()] == [
        (TUNED, 6),
        (SMALLER, 8),
    ]
    assert rivals[TUNED].horizons == (0.75, 0.875, 1.0)
    plan = Plan(tuple(candidates), (0.5, 1.0), (1000, 1001), 1.8, rivals=rivals)
    recipes = [spec.recipe for spec in plan.specs("w")]
    assert len(recipes) == 2 * (2 + 1 + 3 + 3)
    assert Recipe("full_update", 1.0, {"rate": 2.0}) in recipes


def test_a_search_without_rivals_has_none() -> None:
    """Nor has one whose candidates are such controls themselves."""
    table = searched(record(5, 9, 1.78, horizon=0.9))
    assert rivals_of(table, ranked(table)[0]) == {}
    table = searched(record(5, 9, 1.78, horizon=0.9, **TUNE), record(6, 9, 1.95, horizon=0.9))
    candidates, _ = ranked(table)
    assert [c.number for c in candidates] == [5]
    assert rivals_of(table, candidates) == {}


def test_a_control_is_no_candidate_where_a_recipe_gains() -> None:
    """Dominated by the tuned control, and yet what is confirmed: the tuned one is its rival."""
    table = searched(record(5, 9, 1.75, horizon=0.9, **TUNE), record(6, 9.5, 1.76, horizon=0.95))
    assert [c.number for c in ranked(table)[0]] == [6]


def test_the_own_control_goes_as_far_as_the_losses() -> None:
    """Not beyond 1 for a loss that it has there; once, and again where once is known to be short.

    And no further than it gets better, which is not known of what is longer than the baseline
    before it was tried.
    """
    for loss, longest, expected in (
        (1.85, 1.0, ()),
        (1.75, 1.0, (1.5,)),
        (1.75, 1.5, (1.5,)),
        (1.65, 1.5, (1.5, 2.25)),
        (1.65, 1.0, (1.5,)),
    ):
        table = searched(record(5, 9, loss, horizon=0.9), longest=longest)
        assert beyond(table, ranked(table)[0]) == expected
    runs = [
        record(0, 5, 1.8, horizon=0.5, origin="control", **FULL),
        record(1, 10, 1.9, origin="baseline", **FULL),
        record(5, 9, 1.7, horizon=0.9),
    ]
    longer = record(6, 15, 1.85, horizon=1.5, origin="control", **FULL)
    for table in (frame_of(runs), frame_of([*runs, longer])):
        assert beyond(table, ranked(table)[0]) == (1.5,)
    assert Recipe("full_update", 1.5).control_kind == OWN


def test_a_rival_that_gained_nothing_and_lies_far_behind_is_not_trained_again() -> None:
    """The candidate gains 1.5 beside a tuned run of 0.9, the best of two; beside a candidate that
    gains 1.1 the same may yet turn the verdict. One that gains something always may.
    """
    tuned = record(6, 8, 1.91, horizon=0.8, **TUNE), record(7, 8, 1.95, horizon=0.8, **TUNE)
    far = searched(record(5, 7.5, 1.75, horizon=0.75), *tuned, longest=1.5)
    candidates, _ = ranked(far)
    assert behind(far, candidates) == {TUNED: 6}
    assert rivals_of(far, candidates) == {}
    near = searched(record(5, 9, 1.81, horizon=0.9), *tuned)
    candidates, _ = ranked(near)
    assert behind(near, candidates) == {}
    assert [*rivals_of(near, candidates)] == [TUNED]
    ahead = searched(record(5, 7.5, 1.75, horizon=0.75), record(6, 9, 1.8, horizon=0.9, **TUNE))
    candidates, _ = ranked(ahead)
    assert behind(ahead, candidates) == {}
    assert [*rivals_of(ahead, candidates)] == [TUNED]


def test_a_rival_that_is_slower_than_all_of_the_own_control_is_behind() -> None:
    """Its gain is only known as a bound, and it is not as if nothing had been tuned."""
    slow = record(6, 9, 2.5, horizon=0.9, **TUNE)
    table = searched(record(5, 7.5, 1.75, horizon=0.75), slow, longest=1.5)
    assert behind(table, ranked(table)[0]) == {TUNED: 6}
