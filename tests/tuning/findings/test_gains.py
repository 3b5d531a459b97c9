"""Laws of the gains over the three controls, and which trial is the best."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support.frames import frame_of, record
from tuning.findings.front import numbers
from tuning.findings.gains import Bests, Controls, Gained, ahead, gain_columns
from tuning.trial.recipe import OWN, SMALLER, TUNED, ControlKind
from tuning.trial.trial import TrialRecord

KNOBS: dict[ControlKind | None, dict[str, Any]] = {
    OWN: {"policy": "full_update"},
    TUNED: {"policy": "full_update", "knobs": {"rate": 2.0}},
    SMALLER: {"policy": "full_update", "knobs": {"depth_start": 0.5, "depth_end": 0.5}},
    None: {"policy": "full_update", "knobs": {"optimizer": "muon", "rate": 2.0}},
}
POINTS = st.lists(
    st.tuples(
        st.sampled_from(list(KNOBS)),
        st.integers(1, 40).map(float),
        st.integers(1, 64).map(lambda loss: loss / 16),
    ),
    min_size=1,
    max_size=12,
)
Points = list[tuple[ControlKind | None, float, float]]


def trials(found: Points, by: float = 0.0, unit: float = 1.0) -> pd.DataFrame:
    """The trials, every loss moved ``by`` and every time in another ``unit``."""
    return frame_of(
        record(n, unit * seconds, loss + by, **KNOBS[kind])
        for n, (kind, seconds, loss) in enumerate(found)
    )


def every_gain(table: pd.DataFrame) -> list[dict[ControlKind, Gained]]:
    """Of each trial in turn."""
    controls = Controls.of(table)
    axes = zip(numbers(table, "train_seconds"), numbers(table, "val_loss"), strict=True)
    return [controls.gains(seconds, loss) for seconds, loss in axes]


def test_where_a_rival_ended_at_better_losses_alone_its_gain_is_a_bound() -> None:
    """By hand: the smaller model was not seen at 3, where it may have been sooner than at 2."""
    points: Points = [(OWN, 10.0, 2.0), (OWN, 5.0, 4.0), (SMALLER, 8.0, 2.0), (None, 5.0, 3.0)]
    gains = Controls.of(trials(points)).gains(5.0, 3.0)
    assert gains[OWN] == Gained(1.5)
    assert (gains[SMALLER].value, gains[SMALLER].said, gains[SMALLER].ahead) == (
        1.3,
        "at most",
        True,
    )
    row = gain_columns(Controls.of(trials(points)), 5.0, 3.0)
    assert (row["gain"], row["gain_over_smaller"]) == (1.5, None)
    seen = Controls.of(trials([*points, (SMALLER, 6.0, 3.0)])).gains(5.0, 3.0)
    assert (seen[SMALLER].value, seen[SMALLER].said) == (1.2, "")


@settings(max_examples=40)
@given(POINTS, st.integers(-64, 64), st.sampled_from([0.25, 2.0]))
def test_shifted_losses_and_another_unit_of_time_change_no_gain(
    found: Points, by: int, unit: float
) -> None:
    """Property; sixteenths and powers of two are exact, interpolation is to a rounding error."""
    for one, other in zip(
        every_gain(trials(found)), every_gain(trials(found, by / 16, unit)), strict=True
    ):
        assert one.keys() == other.keys()
        for kind, gain in one.items():
            assert other[kind].value == pytest.approx(gain.value)
            assert other[kind].bound == gain.bound


@settings(max_examples=40)
@given(POINTS)
def test_a_recipe_equal_to_a_control_gains_one(found: Points) -> None:
    """Property: over each control, what lies on its line gains 1, and nothing of it gains more."""
    table = trials(found)
    controls = Controls.of(table)
    for control, line in controls.lines.items():
        for seconds, loss in zip(line.seconds, line.losses, strict=True):
            there = controls.gains(seconds, loss)[control]
            assert (there.value, there.bound) == (1.0, "")
    for (kind, _, _), gains in zip(found, every_gain(table), strict=True):
        if kind is not None and kind in gains:
            assert not gains[kind].ahead


@settings(max_examples=40)
@given(POINTS)
def test_no_gain_over_a_rival_is_more_than_over_the_own_control(found: Points) -> None:
    """Property: where both are numbers and no bounds."""
    table = trials(found)
    assume(any(kind == OWN for kind, _, _ in found))
    for gains in every_gain(table):
        own = gains[OWN]
        for kind in (TUNED, SMALLER):
            if kind in gains and not own.bound and not gains[kind].bound:
                assert gains[kind].value <= own.value * (1 + 1e-9)


@settings(max_examples=40)
@given(POINTS, st.randoms(use_true_random=False))
def test_the_best_do_not_depend_on_the_order_of_rows(found: Points, order: Any) -> None:
    """Property: nor does one gain nothing, or belong to another kind."""
    table = trials(found)
    places = list(range(len(table)))
    order.shuffle(places)
    one, other = (bests(each) for each in (table, table.iloc[places]))
    assert one == other
    kinds: dict[int | None, ControlKind | None] = {n: k for n, (k, _, _) in enumerate(found)}
    assert kinds.get(one[None]) is None
    assert all(kinds[number] == kind for kind, number in one.items() if kind is not None)


def bests(table: pd.DataFrame) -> dict[ControlKind | None, int | None]:
    """Numbers of the best by kind, that of no control under None."""
    controls = Controls.of(table)
    found = Bests.of(ahead(table, controls, None, 0.0), controls)
    numbers: dict[ControlKind | None, int | None] = {None: None}
    numbers |= {kind: best.number for kind, best in found.rivals.items()}
    return numbers if found.recipe is None else numbers | {None: found.recipe.number}


def line_and(*others: TrialRecord) -> pd.DataFrame:
    """Own runs of 6, 8, 10 and 15 s at losses 2.0, 1.9, 1.8 and 1.7."""
    own = [(6, 2.0), (8, 1.9), (10, 1.8), (15, 1.7)]
    runs = [record(i, s, loss, **KNOBS[OWN]) for i, (s, loss) in enumerate(own)]
    return frame_of([*runs, *others])


def test_a_loss_better_than_the_baselines_has_a_price() -> None:
    """1.75 at 10 s: the own control takes 12.5 s. Below 1.7 its longest run is a bound."""
    table = line_and(record(4, 10, 1.75), record(5, 10, 1.6), record(6, 5, 2.5))
    found = [gains[OWN] for gains in every_gain(table)[4:]]
    assert [gain.bound for gain in found] == ["", "at least", "at most"]
    assert [gain.value for gain in found] == pytest.approx([1.25, 1.5, 1.2])


def order_of(table: pd.DataFrame, target: float | None, noise: float) -> list[int]:
    """Numbers of those that gain anything, best first."""
    return [int(n) for n in ahead(table, Controls.of(table), target, noise)["number"]]


def test_the_target_comes_first_then_what_noise_does_not_hide_then_the_gain() -> None:
    """By hand: gains 1.33, 1.19 and 1.21; losses lower by 0.1, 0.06 and 0.05 at equal time."""
    high, sure, near = record(4, 6, 1.9), record(5, 6.4, 1.92), record(6, 12, 1.71)
    assert order_of(line_and(high, sure, near), None, 0.0) == [4, 6, 5]
    assert order_of(line_and(high, sure, near), 1.8, 0.0) == [6, 4, 5]
    assert order_of(line_and(high, sure, near), None, 0.055) == [4, 5, 6]
    assert order_of(line_and(record(4, 8, 1.9), record(5, 20, 1.6)), None, 0.0) == []


def test_a_loss_that_no_control_has_after_as_long_is_ahead() -> None:
    """The own control is at its best after 8 s. After 9 and 10 s it was tried and has no better;
    after 12 s nobody knows. What noise hides is not ahead.
    """
    own = [(6, 2.0), (8, 1.8), (10, 1.85)]
    runs = [record(i, s, loss, **KNOBS[OWN]) for i, (s, loss) in enumerate(own)]
    table = frame_of([*runs, record(3, 9, 1.7), record(4, 10, 1.75), record(5, 12, 1.6)])
    found = [gains[OWN] for gains in every_gain(table)[3:]]
    assert found == [Gained(1.0, "at least"), Gained(1.0, "at least"), Gained(10 / 12, "at least")]
    assert [gain.ahead for gain in found] == [True, True, False]
    assert order_of(table, None, 0.0) == [3, 4]
    assert order_of(table, None, 0.07) == [3]
    assert order_of(table, None, 0.2) == []


def test_without_a_control_nothing_gains() -> None:
    """No line, no gain, no best."""
    table = frame_of([record(0, 5, 2.0)])
    assert every_gain(table) == [{}]
    assert bests(table) == {None: None}
