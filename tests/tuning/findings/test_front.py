"""The front and what is read off it.

Laws are tested as properties, readings on small tables done by hand.
"""

from __future__ import annotations

import math
import random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.frames import frame_of, points, record, search_frame
from tuning.findings.context import Background, Noise
from tuning.findings.front import control, finished, front, line_through, never_froze
from tuning.findings.summary import summary, time_to_quality
from tuning.trial.recipe import flat
from tuning.trial.trial import ORIGINS, STATES, TrialRecord

# Few distinct values, so that ties on one axis and on both are common.
AXIS = st.one_of(
    st.integers(1, 5).map(float), st.floats(1, 5), st.none(), st.sampled_from([math.nan, math.inf])
)


@st.composite
def tables(draw: Any) -> list[TrialRecord]:
    """Trials in any state, of any origin, with any seconds and losses."""
    size = draw(st.integers(0, 24))
    return [
        record(
            number,
            draw(AXIS),
            draw(AXIS),
            state=draw(st.sampled_from(STATES)),
            origin=draw(st.sampled_from(ORIGINS)),
            policy=draw(st.sampled_from(["full_update", "dynamic_suffix"])),
        )
        for number in range(size)
    ]


def read(trials: list[TrialRecord]) -> pd.DataFrame:
    """The columns that the front is computed from.

    All of them would take most of the time of these tests.
    """
    names = (
        "number",
        "state",
        "origin",
        "policy",
        "horizon",
        "train_seconds",
        "val_loss",
        "target_loss",
    )
    return pd.DataFrame({name: [flat(vars(trial))[name] for trial in trials] for name in names})


def competes(trial: TrialRecord) -> bool:
    """Whether a trial may be on the front at all, said without the code under test."""
    pair = (trial.train_seconds, trial.val_loss)
    known = all(value is not None and math.isfinite(value) for value in pair)
    aside = ("replicate", "confirmation", "rung")
    return trial.state == "finished" and trial.origin not in aside and known


def dominates(one: TrialRecord, other: TrialRecord) -> bool:
    """The definition, for two competing trials."""
    a, b = (one.train_seconds, one.val_loss), (other.train_seconds, other.val_loss)
    return bool(a[0] <= b[0] and a[1] <= b[1] and a != b)  # type: ignore[operator]


@given(tables())
def test_the_front_agrees_with_the_quadratic_definition(trials: list[TrialRecord]) -> None:
    """The numbers on it are those of the competing trials that no competing trial dominates, pair
    by pair.
    """
    competing = [trial for trial in trials if competes(trial)]
    expected = {t.number for t in competing if not any(dominates(other, t) for other in competing)}
    assert set(front(read(trials))["number"]) == expected


@given(tables())
def test_no_member_dominates_another_and_every_other_is_dominated_or_tied(
    trials: list[TrialRecord],
) -> None:
    """Checked on the members themselves, without the definition of the set."""
    numbers = set(front(read(trials))["number"])
    members = [trial for trial in trials if trial.number in numbers]
    assert not any(dominates(one, other) for one in members for other in members)
    for trial in trials:
        if competes(trial) and trial.number not in numbers:
            assert any(dominates(member, trial) for member in members)


@settings(max_examples=50)
@given(tables(), st.randoms(use_true_random=False))
def test_the_front_does_not_depend_on_the_order_of_rows(
    trials: list[TrialRecord], rng: random.Random
) -> None:
    """A shuffled table gives the same rows in the same order."""
    shuffled = list(trials)
    rng.shuffle(shuffled)
    assert list(front(read(shuffled))["number"]) == list(front(read(trials))["number"])


@settings(max_examples=50)
@given(tables(), st.floats(1, 5))
def test_only_finished_trials_at_or_below_the_target_are_read(
    trials: list[TrialRecord], target: float
) -> None:
    """Stopped, failed and replicate trials, and looks on a rung, are never on the front.

    Censored ones never supply a time.
    """
    reading = summary(read(trials), target)
    on_front = [t for t in trials if t.number in set(reading.front["number"])]
    assert all(competes(trial) for trial in on_front)
    times = [t.train_seconds for t in trials if competes(t) and (t.val_loss or 0) <= target]
    assert reading.front_seconds == (min(times) if times else None)  # type: ignore[type-var]
    if reading.gain is not None:
        assert reading.gain >= 1
    if reading.winner is not None:
        winner = next(t for t in trials if t.number == reading.winner)
        assert winner.recipe.policy != "full_update"
        assert winner.val_loss is not None
        assert winner.val_loss <= target


def test_ties_are_all_members() -> None:
    """Two equal points do not dominate each other."""
    table = points([(1, 2), (1, 2), (1, 3), (2, 2), (2, 1)])
    assert list(front(table)["number"]) == [0, 1, 4]


def test_rows_are_sorted_by_seconds_and_keep_every_column() -> None:
    """The front of a realistic search has the columns of its table and ascending seconds."""
    table = search_frame()
    members = front(table)
    assert set(members.columns) == set(table.columns)
    assert members["train_seconds"].is_monotonic_increasing
    assert members["val_loss"].is_monotonic_decreasing


def test_an_empty_table_has_an_empty_front() -> None:
    """No trials, no members, no reading, no exception."""
    reading = summary(frame_of([]))
    assert len(reading.front) == 0
    assert (reading.target, reading.gain, reading.winner) == (None, None, None)
    assert reading.no_gain == "no target was given"


def test_the_control_is_every_finished_full_update() -> None:
    """Whoever proposed it and however long, but no replicate and no other policy."""
    full = {"policy": "full_update"}
    table = frame_of(
        [
            record(0, 12, 1.90, origin="baseline", **full),
            record(1, 6, 2.05, origin="control", horizon=0.5, **full),
            record(2, 9, 1.98, origin="sampled", horizon=0.75, **full),
            record(3, 14, 1.88, origin="sampled", horizon=1.2, **full),
            record(4, 8, 1.99, origin="replicate", horizon=0.7, **full),
            record(5, 7, 2.00, horizon=0.6),
            record(6, 7, 2.00, state="stopped", horizon=0.6, **full),
        ]
    )
    assert list(control(table)["number"]) == [1, 2, 0, 3]


def test_time_to_quality_is_the_least_seconds_at_or_below_the_target() -> None:
    """A step, not a line: a target between two losses costs what the better of them took."""
    table = points([(6, 2.05), (9, 1.98), (12, 1.90)])
    assert time_to_quality(table, 1.98) == 9
    assert time_to_quality(table, 1.95) == 12
    assert time_to_quality(table, 3.0) == 6
    assert time_to_quality(table, 1.89) is None


def test_the_line_is_read_between_points_and_never_extended() -> None:
    """Linear in the loss between the points' own front; a point off that front does not bend it."""
    table = points([(6, 2.0), (10, 1.8), (8, 1.95)])
    line = line_through(table)
    assert line.seconds_at(1.975) == pytest.approx(7)
    assert line.seconds_at(2.01) is None
    assert line.seconds_at(1.79) is None
    assert line.gain(3.5, 1.975) == pytest.approx(2)
    assert line.gain(3.5, 1.7) is None
    assert line_through(points([(6, 2.0), (10, 1.8), (9, 2.1)])).seconds_at(1.9) == pytest.approx(8)
    assert line_through(points([])).seconds_at(1.9) is None


def line_of_control(*others: TrialRecord) -> pd.DataFrame:
    """Control runs of 6, 8 and 10 s at losses 2.0, 1.9 and 1.8, and other trials."""
    full: dict[str, Any] = {"policy": "full_update", "origin": "control"}
    runs = [(6, 2.0, 0.6), (8, 1.9, 0.8), (10, 1.8, 1.0)]
    controls = [record(i, s, loss, horizon=h, **full) for i, (s, loss, h) in enumerate(runs)]
    return frame_of([*controls, *others])


def test_a_schedule_left_of_the_control_wins() -> None:
    """At 1.9 the control takes 8 s, a schedule 7 s.

    The gain is 8/7, by its runs and by its line.
    """
    reading = summary(line_of_control(record(3, 7, 1.89)), 1.9)
    assert reading.gain == pytest.approx(8 / 7)
    assert reading.line_gain == pytest.approx(8 / 7)
    assert reading.winner == 3
    assert reading.censored == 1


def test_a_schedule_ahead_of_the_grid_but_not_of_the_line_does_not_win() -> None:
    """At 1.89 the next control run takes 10 s, but the line between runs is there after 8.2 s."""
    reading = summary(line_of_control(record(3, 9, 1.885)), 1.89)
    assert reading.gain == pytest.approx(10 / 9)
    assert reading.line_gain == pytest.approx(8.2 / 9)
    assert reading.winner is None


def test_a_tie_at_the_target_wins_where_the_loss_is_lower() -> None:
    """The same seconds at a lower loss: 1 at the target, and 9/8 at its own loss."""
    reading = summary(line_of_control(record(3, 8, 1.85)), 1.9)
    assert reading.gain == 1
    assert reading.winner == 3
    assert summary(line_of_control(record(3, 8, 1.9)), 1.9).winner is None


def test_a_schedule_that_never_froze_a_block_does_not_win() -> None:
    """It is first at the target and left of the control, but it is the control under another
    name.
    """
    trial = record(3, 7, 1.89, mean_active_fraction=1.0)
    reading = summary(line_of_control(trial), 1.9)
    assert reading.front_seconds == 7
    assert reading.winner is None
    assert summary(line_of_control(record(3, 7, 1.89, mean_active_fraction=0.99)), 1.9).winner == 3


def test_a_slower_schedule_does_not_win_behind_one_that_never_froze() -> None:
    """Training for less under another name reached the target before it, so it did not beat
    training for less.
    """
    idle = record(3, 7, 1.89, mean_active_fraction=1.0)
    reading = summary(line_of_control(idle, record(4, 7.5, 1.885, mean_active_fraction=0.7)), 1.9)
    assert reading.winner is None


def test_the_control_itself_froze_nothing_and_is_not_called_out() -> None:
    """Only schedules are; one whose mean is not known is not."""
    table = frame_of(
        [
            record(0, 10, 1.8, policy="full_update", mean_active_fraction=1.0),
            record(1, 9, 1.9, mean_active_fraction=1.0),
            record(2, 8, 2.0, policy="static_suffix", mean_active_fraction=0.5),
            record(3, 7, 2.1),
        ]
    )
    assert never_froze(table).tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("seconds", "loss", "within"),
    [
        (7, 1.94, True),  # the control's line is at 1.95 there
        (7, 1.90, False),
        (7, 1.99, False),
        (5, 1.99, True),  # beside the shortest control run, which took longer
        (9, 1.79, False),  # below every loss of the control, whose line is at 1.85 there
        (5, 2.01, None),  # above every loss of the control: worse than any of it
    ],
)
def test_noise_is_told_at_equal_seconds(seconds: float, loss: float, within: bool | None) -> None:
    """Losses of the control's line read by hand; the limit is 1.96 * sqrt(2) * 0.01 = 0.028."""
    reading = summary(line_of_control(), 1.9, Background(Noise(0.01, 5)))
    assert reading.within_noise(seconds, loss) is within
    assert summary(line_of_control(), 1.9).within_noise(seconds, loss) is None


def test_without_a_control_at_the_target_there_is_no_gain_but_a_reason() -> None:
    """The schedule that alone reached the target is the winner, and why no number is given is
    said.
    """
    reading = summary(line_of_control(record(3, 9, 1.7)), 1.75)
    assert reading.gain is None
    assert reading.no_gain == "the control never reached 1.750 (its lowest loss is 1.800)"
    assert reading.winner == 3


@pytest.mark.parametrize(
    ("table", "target", "reason"),
    [
        (points([(5, 2.0)]), 1.0, "no finished trial reached 1.000"),
        (
            points([(5, 2.0)]),
            2.5,
            "the run has no finished control (full_update with no lever pulled)",
        ),
        (frame_of([record(0, 5, 2.0, target_loss=None)]), None, "no target was given"),
    ],
)
def test_every_reason_for_no_gain(table: pd.DataFrame, target: float | None, reason: str) -> None:
    """Each way in which a gain cannot be computed is told in words."""
    assert summary(table, target).no_gain == reason


def test_the_recorded_target_is_the_default() -> None:
    """Trials carry their target; the newest one's counts."""
    table = frame_of([record(0, 5, 2.0, target_loss=1.9), record(1, 5, 2.0, target_loss=1.8)])
    assert summary(table).target == 1.8
    assert summary(table, 1.7).target == 1.7


def test_every_trial_but_replicates_is_counted_once() -> None:
    """Finished, stopped and failed add up to the trials.

    Trials on neither the front nor the control's line count as others.
    """
    table = search_frame()
    reading = summary(table)
    assert reading.finished + reading.stopped + reading.failed == len(table)
    shown = (
        set(reading.front["number"])
        | set(reading.control["number"])
        | set(reading.others["number"])
    )
    assert shown == set(finished(table)["number"])
