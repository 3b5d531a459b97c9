"""What a sampler is told of trials.

It is finite and ordered, and no trial that did not finish is better than one that did.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.outcomes import outcomes
from tuning.study.samplers.values import (
    counts,
    drawn_in,
    in_own_units,
    shortfalls,
    spread,
    values_of,
)
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe

OBJECTIVES = ("pareto", "time-to-quality")


def outcome(number: int, state: str = "finished", horizon: float = 1.0, **facts: Any) -> Outcome:
    return Outcome(number, "sampled", state, Recipe("static_suffix", horizon), **facts)  # type: ignore[arg-type]


FAST = outcome(
    0, train_seconds=4.0, val_loss=2.0, reached=True, seconds_to_quality=4.0, target_loss=2.0
)
GOOD = outcome(
    1, train_seconds=8.0, val_loss=1.5, reached=True, seconds_to_quality=6.0, target_loss=2.0
)
NEAR = outcome(2, train_seconds=3.0, val_loss=2.1, reached=False, target_loss=2.0)
FAR = outcome(3, train_seconds=2.0, val_loss=4.0, reached=False, target_loss=2.0)
STOPPED_LATE = outcome(4, "stopped", train_seconds=7.0)
STOPPED_SOON = outcome(5, "stopped", train_seconds=0.1, val_loss=0.5)
FAILED_LATE = outcome(6, "failed", train_seconds=7.0)
FAILED_SOON = outcome(7, "failed")


@pytest.mark.parametrize("objective", OBJECTIVES)
@given(found=outcomes())
def test_values_are_finite(objective: str, found: list[Outcome]) -> None:
    """Property: whatever NaN or infinity the records hold, none reaches the sampler."""
    values = values_of(found, objective)
    assert len(values) == len(found)
    assert all(math.isfinite(value) for one in values for value in one)


@given(found=outcomes())
def test_what_did_not_finish_is_dominated_by_all_that_did(found: list[Outcome]) -> None:
    """Property: in both objectives its value is above every measured one."""
    values = values_of(found, "pareto")
    finished = [v for o, v in zip(found, values, strict=True) if counts(o)]
    others = [v for o, v in zip(found, values, strict=True) if not counts(o)]
    assert all(worse[i] > better[i] for worse in others for better in finished for i in range(2))


@given(found=outcomes())
def test_censored_lie_between_reached_and_unfinished(found: list[Outcome]) -> None:
    """Property: reached before censored before stopped before failed, by value."""
    ranks = [_rank(o) for o in found]
    values = [value for (value,) in values_of(found, "time-to-quality")]
    pairs = [(a, b) for a in range(len(found)) for b in range(len(found)) if ranks[a] < ranks[b]]
    assert all(values[a] < values[b] for a, b in pairs)


def _rank(o: Outcome) -> int:
    if not counts(o):
        return 2 if o.state == "stopped" else 3
    reached = o.reached and o.seconds_to_quality is not None and math.isfinite(o.seconds_to_quality)
    return 0 if reached else 1


def test_the_order_of_unfinished_trials() -> None:
    """The later a trial ended, the better.

    A failed trial comes after stopped ones; its fast time and loss count for nothing.
    """
    found = [FAST, STOPPED_LATE, STOPPED_SOON, FAILED_LATE, FAILED_SOON]
    values = values_of(found, "pareto")
    assert all(a[i] < b[i] for a, b in pairwise(values) for i in range(2))


def test_the_order_of_times_to_quality() -> None:
    """Reached by seconds, then censored by the loss that was missing, then the rest."""
    found = [FAST, GOOD, NEAR, FAR, STOPPED_LATE, STOPPED_SOON, FAILED_LATE, FAILED_SOON]
    values = [value for (value,) in values_of(found, "time-to-quality")]
    assert values[:2] == [4.0, 6.0]
    assert all(a < b for a, b in pairwise(values))


def test_measured_values_are_told_in_their_order() -> None:
    """Seconds as they are; the losses 2.0 and 1.5 above the lower in units of their spread, 0.25 by
    hand.
    """
    assert values_of([FAST, GOOD], "pareto") == [(4.0, 2.0), (8.0, 0.0)]


@pytest.mark.parametrize("unit", [1e-300, 1.0, 1e200])
def test_losses_of_any_size_are_told_apart(unit: float) -> None:
    """Ten of them, a hundredth apart: no two have the same value, in neither objective."""
    found = [
        outcome(n, train_seconds=1.0, val_loss=(1 + n / 100) * unit, target_loss=0.9 * unit)
        for n in range(10)
    ]
    for objective in OBJECTIVES:
        values = values_of(found, objective)
        assert values == sorted(values)
        assert len(set(values)) == 10


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=20))
def test_own_units_keep_the_order(losses: list[float]) -> None:
    """Property: sorted losses stay sorted, the least is 0, and all are finite."""
    told = in_own_units(sorted(losses))
    assert told == sorted(told)
    assert told[0] == 0
    assert all(map(math.isfinite, told))


def test_a_spread_is_found_among_losses_that_are_mostly_the_same() -> None:
    """One that is lower, or one that is higher, beside seven that are the same."""
    assert spread([0.5] * 7 + [0.25]) == 0.25
    assert spread([0.5] * 7 + [2.5, 1e30]) == 2.0
    assert spread([0.5] * 7) == 1.0


def test_shortfall_is_measured_against_the_horizon() -> None:
    """Half of a short horizon is as far as half of a long one."""
    whole = outcome(0, train_seconds=10.0, val_loss=1.0)
    halves = [
        outcome(n, "stopped", h, train_seconds=5.0 * h) for n, h in enumerate((1.0, 0.5), start=1)
    ]
    _, long, short = shortfalls([whole, *halves])
    assert long == short == pytest.approx(0.5)


@example([0.0, 0.0, 0.0, 1.0, 5e-324])
@given(st.lists(st.floats(-1e100, 1e100), max_size=20))
def test_drawing_in_keeps_the_order(losses: list[float]) -> None:
    """Property: sorted losses stay sorted and finite."""
    drawn = drawn_in(sorted(losses))
    assert drawn == sorted(drawn)
    assert all(map(math.isfinite, drawn))


def test_a_diverged_loss_is_brought_near() -> None:
    """A loss of 1e30 comes within a few ranges of the rest, which stay as they are."""
    losses = [1.0, 1.1, 1.2, 1.3, 1e30]
    drawn = drawn_in(losses)
    assert drawn[:4] == losses[:4]
    assert drawn[4] < 100
