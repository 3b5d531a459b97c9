"""The verdict's sentence for each thing that a front may say."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd
import pytest

from tests.support.frames import frame_of, points, record, search_frame
from tests.support.verdicts import background
from tuning.findings.context import Background, Noise, noise_of
from tuning.findings.summary import summary
from tuning.findings.win_words import unfrozen
from tuning.findings.words import (
    caution,
    counts,
    headline,
    noise_note,
    stopping_note,
    unfrozen_note,
    verdict,
)
from tuning.report.picture.words import claim
from tuning.trial.metric import Metric
from tuning.trial.trial import TrialRecord

UNSURE = (
    "on one seed, unconfirmed. How much of that is tuning is not known (not tuned: --space tune)."
)


def beside_control(*others: TrialRecord) -> pd.DataFrame:
    """Control runs of 6, 8 and 10 s at losses 2.0, 1.9 and 1.8, and other trials."""
    full: dict[str, Any] = {"policy": "full_update", "origin": "control"}
    runs = [(6, 2.0, 0.6), (8, 1.9, 0.8), (10, 1.8, 1.0)]
    return frame_of(
        [*(record(i, s, y, horizon=h, **full) for i, (s, y, h) in enumerate(runs)), *others]
    )


@pytest.mark.parametrize(
    ("table", "target", "sentence"),
    [
        (frame_of([]), None, "No trial has finished yet."),
        (
            beside_control(record(3, 7, 1.89)),
            1.9,
            "dynamic_suffix #3 reaches 1.890 (target 1.900) in 7.00 s, 1.17 times as fast as your "
            f"own recipe (8.20 s); {UNSURE}",
        ),
        (
            beside_control(record(3, 7, 1.89, mean_active_fraction=1.0)),
            1.9,
            "Nothing beat training for less at 1.900: dynamic_suffix #3 is first, in 7.00 s, but "
            "it never froze a "
            "block: that is training for less as well.",
        ),
        (
            beside_control(record(3, 9, 1.95)),
            1.9,
            "Nothing beat training for less at 1.900: full_update #1 at horizon 0.8 is first, in "
            "8.00 s (gain 1.00).",
        ),
        (
            beside_control(record(3, 8, 1.85)),
            1.9,
            "dynamic_suffix #3 reaches 1.850 (target 1.900) in 8.00 s, 1.12 times as fast as your "
            f"own recipe (9.00 s); {UNSURE}",
        ),
        (
            beside_control(record(3, 9, 1.885)),
            1.89,
            "Nothing beat training for less at 1.890: dynamic_suffix #3 takes 9.00 s, the next "
            "control run "
            "10.0 s (gain 1.11), but the line between control runs passes at 0.91.",
        ),
        (
            beside_control(record(3, 5, 2.4)),
            2.5,
            "Nothing beat training for less at 2.500: dynamic_suffix #3 takes 5.00 s (gain at most "
            "1.20), but the shortest control run, of 6.00 s, ends beyond it: one as short may do "
            "as well.",
        ),
        (
            beside_control(record(3, 9, 1.7)),
            1.75,
            "dynamic_suffix #3 reaches 1.700 (target 1.750) in 9.00 s, at least 1.11 times as "
            f"fast as your own recipe (which never got there); {UNSURE}",
        ),
        (
            beside_control(),
            1.5,
            "No finished trial reached 1.500: the lowest loss is 1.800, of full_update #2.",
        ),
        (
            points([(5, 2.0)]).assign(target_loss=None),
            None,
            "No target was set; 1 of 1 members of the front are recipes beside the control.",
        ),
    ],
)
def test_the_sentence_for_each_finding(
    table: pd.DataFrame, target: float | None, sentence: str
) -> None:
    """Small tables whose front is known by hand."""
    assert verdict(summary(table, target)) == sentence


TUNED: dict[str, Any] = {"policy": "full_update", "knobs": {"rate": 2.0}}
SMALLER: dict[str, Any] = {"policy": "full_update", "knobs": {"depth_start": 0.5, "depth_end": 0.5}}


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        (
            (record(3, 6, 1.8), record(4, 8, 1.8, **TUNED)),
            "dynamic_suffix #3 reaches 1.800 (target 1.900) in 6.00 s, 1.67 times as fast as your "
            "own recipe (10.0 s) and 1.33 times as fast as your own recipe tuned; on one "
            "seed, unconfirmed.",
        ),
        (
            (record(3, 8, 1.8), record(4, 6, 1.8, **TUNED)),
            "Tuning is what wins: full_update + tuned #4 reaches 1.800 (target 1.900) in 6.00 s, "
            "1.67 times as fast as your own recipe (10.0 s); on one seed, unconfirmed. Beyond that "
            "the best is dynamic_suffix #3, 1.25 times as fast as your own recipe and 0.75 times "
            "as fast as your own recipe tuned.",
        ),
        (
            (record(4, 6, 1.8, **TUNED), record(5, 7, 1.8, **SMALLER)),
            "Tuning is what wins: full_update + tuned #4 reaches 1.800 (target 1.900) in 6.00 s, "
            "1.67 times as fast as your own recipe (10.0 s); on one seed, unconfirmed.",
        ),
        (
            (record(3, 7, 1.8), record(4, 8, 1.8, **TUNED), record(5, 5, 1.8, **SMALLER)),
            "A smaller model is what wins: full_update + depth #5 reaches 1.800 (target 1.900) in "
            "5.00 s, 2.00 times as fast as your own recipe (10.0 s); on one seed, unconfirmed. "
            "Beyond that the best is dynamic_suffix #3, 1.43 times as fast as your own recipe and "
            "0.71 times as fast as your own recipe with fewer blocks.",
        ),
        (
            (record(3, 6, 1.8), record(4, 9, 1.95, **TUNED), record(5, 8, 1.8, **SMALLER)),
            "dynamic_suffix #3 reaches 1.800 (target 1.900) in 6.00 s, 1.67 times as fast as your "
            "own recipe (10.0 s), 1.67 times as fast as your own recipe tuned and 1.33 "
            "times as fast as your own recipe with fewer blocks; on one seed, unconfirmed.",
        ),
        (
            (record(3, 5, 1.7), record(5, 4, 1.95, **SMALLER)),
            "dynamic_suffix #3 reaches 1.700 (target 1.900) in 5.00 s, at least 2.00 times as fast "
            "as your own recipe (which never got there) and better than your own recipe with fewer "
            "blocks ever was; on one seed, unconfirmed. How much of that is tuning is not known "
            "(not tuned: --space tune).",
        ),
    ],
    ids=["a recipe", "tuning", "tuning alone", "a smaller model", "over all three", "never near"],
)
def test_what_wins_is_named(others: tuple[TrialRecord, ...], sentence: str) -> None:
    """Own control 10 s at 1.8; its rivals at the same loss."""
    assert verdict(summary(beside_control(*others), 1.9)) == sentence


def test_a_rival_that_has_the_target_leads_where_the_recipe_missed_it() -> None:
    """The recipe may be ahead of its line, which goes through the own runs where the rival's end
    better; not where the rival's gain may be luck.
    """
    recipe, smaller = record(3, 6.1, 1.99), record(4, 10, 1.7, **SMALLER)
    loud, quiet = (
        headline(summary(beside_control(recipe, smaller), 1.8, Background(Noise(strays, 5))))
        for strays in (0.2, 0.01)
    )
    assert loud.startswith("dynamic_suffix #3 reaches 1.990 (target 1.800, missed)")
    assert quiet.startswith(
        "A smaller model is what wins: full_update + depth #4 reaches 1.700 (target 1.800) in 10.0 "
        "s, better than your own recipe after as long (1.800); on one seed, unconfirmed. The best "
        "recipe, dynamic_suffix #3, missed the target: 1.02 times as fast as your own recipe."
    )


def test_better_at_equal_time_leads_even_where_the_target_was_missed() -> None:
    """At 8 s the own control is at 1.9; the target is far below."""
    told = verdict(summary(beside_control(record(3, 8, 1.82)), 1.5))
    assert told.startswith(
        "dynamic_suffix #3 reaches 1.820 (target 1.500, missed) in 8.00 s, 1.20 times"
    )


def test_better_after_as_long_leads_where_no_gain_can_be_stated() -> None:
    """The own control has its best loss at 8 s, and no better one at 10 s."""
    full: dict[str, Any] = {"policy": "full_update", "origin": "control"}
    runs = [(6, 2.0, 0.6), (8, 1.8, 0.8), (10, 1.85, 1.0)]
    own = [record(i, s, y, horizon=h, **full) for i, (s, y, h) in enumerate(runs)]
    reading = summary(frame_of([*own, record(3, 10, 1.7)]), 1.8)
    assert verdict(reading) == (
        "dynamic_suffix #3 reaches 1.700 (target 1.800) in 10.0 s, better than your own recipe "
        f"after as long (1.800); {UNSURE}"
    )
    assert claim(reading) == "Lower loss after the same time, on one seed"


def test_a_gain_that_reads_one_beats_nothing() -> None:
    """A thousandth faster than the control is not a win, and the sentence begins as for none."""
    reading = summary(beside_control(record(3, 7.99, 1.9)), 1.9)
    assert reading.gain is not None
    assert 1 < reading.gain < 1.005
    assert verdict(reading).startswith("Nothing beat training for less")


def test_a_win_is_said_to_be_unconfirmed() -> None:
    """In the headline, which is the search's own where nothing was confirmed."""
    won = summary(beside_control(record(3, 7, 1.89)), 1.9)
    assert "unconfirmed" in verdict(won)
    assert headline(won) == verdict(won)
    assert caution(won) == caution(summary(beside_control(), 1.9)) == ""


def test_a_win_within_noise_is_said_to_be_one() -> None:
    """In the first sentence: with seeds that stray by more than the difference, not with quiet
    ones.
    """
    loud, quiet = (
        headline(summary(beside_control(record(3, 7, 1.89)), 1.9, Background(Noise(strays, 5))))
        for strays in (0.1, 0.01)
    )
    assert "on one seed and within noise, unconfirmed." in loud
    assert "within noise" not in quiet


def test_the_noise_is_told_with_what_it_was_taken_from() -> None:
    """How far losses stray, between which they lie as the reader is told them, and from how many;
    an accuracy's least is its loss's greatest.
    """
    known = noise_of([1.89, 1.91, 1.9])
    told = noise_note(summary(beside_control(), 1.9, Background(known)))
    assert "loss strays by 0.010 (standard deviation over 3 seeds, 1.890 to 1.910): a" in told
    accuracy = Background(noise_of([-0.93, -0.95, -0.94]), metric=Metric("accuracy", True))
    assert "3 seeds, 0.9300 to 0.9500): a" in noise_note(summary(beside_control(), -0.9, accuracy))


def test_a_rival_within_noise_may_be_what_wins() -> None:
    """Of a smaller model too."""
    smaller = record(3, 7, 1.89, **SMALLER)
    loud, quiet = (
        headline(summary(beside_control(smaller), 1.9, Background(Noise(strays, 5))))
        for strays in (0.1, 0.01)
    )
    assert loud.startswith("A smaller model may be what wins: full_update + depth #3 reaches")
    assert quiet.startswith("A smaller model is what wins: full_update + depth #3 reaches")


def test_a_confirmed_verdict_is_the_headline() -> None:
    """The confirmation's own sentence comes first.

    The search's finding stands behind it, no longer called unconfirmed.
    """
    reading = summary(search_frame(), None, background({37: 1.08}))
    assert reading.background.confirmed is not None
    assert headline(reading) == reading.background.confirmed.sentence
    assert "beats training for less" in headline(reading)
    assert caution(reading).startswith("The search itself: dynamic_suffix #37")
    assert "unconfirmed" not in caution(reading)


def test_a_winner_that_was_not_confirmed_is_named() -> None:
    """The search went on after the confirmation, which had other schedules."""
    reading = summary(search_frame(), None, background({28: 1.0}))
    assert caution(reading).startswith("Trial 37 was not among those confirmed.")


def test_a_confirmed_schedule_that_never_froze_a_block_is_not_called_a_winner() -> None:
    """A verdict of any origin: the sentence does not stand when the trial's own record says so."""
    table = search_frame()
    table.loc[table["number"] == 37, "mean_active_fraction"] = 1.0
    reading = summary(table, None, background({37: 1.08}))
    assert headline(reading).startswith(
        "No recipe is confirmed: trial 37, ahead over 5 fresh seeds, never froze a"
    )
    assert unfrozen(reading) == [37]
    assert unfrozen_note(reading).endswith("under another name: #37.")


def test_what_is_wrong_with_a_confirmation_is_said() -> None:
    """A remark stands first."""
    reading = summary(beside_control(), 1.9, Background(remark="verdict.json is torn"))
    assert caution(reading) == "verdict.json is torn."


@pytest.mark.parametrize(
    ("stopped", "checked", "text"),
    [
        (0, 0, ""),
        (1, 0, "1 trial stopped early; none let run on yet to check."),
        (12, 3, "12 trials stopped early; of 3 let run on to check, none reached the front."),
        (0, 2, "No trials stopped early; of 2 let run on to check, none reached the front."),
    ],
)
def test_stopping_is_accounted_for(stopped: int, checked: int, text: str) -> None:
    """How many were stopped, how many were let run on, and what became of those."""
    reading = summary(search_frame())
    assert stopping_note(dataclasses.replace(reading, stopped=stopped, checked=checked)) == text


def test_a_wrong_stop_is_named() -> None:
    """Of two that were let run on, the one on the front counts."""
    table = search_frame()
    on_front = int(summary(table).front["number"].iloc[0])
    off_front = int(summary(table).others["number"].iloc[0])
    table.loc[table["number"].isin([on_front, off_front]), "would_stop_at_step"] = 60
    assert stopping_note(summary(table)).endswith("of 2 let run on to check, 1 reached the front.")


def test_counts_name_every_kind() -> None:
    """Of a realistic search with stopped and failed trials among its 48."""
    reading = summary(search_frame())
    assert counts(reading) == "42 finished (34 censored: above the target), 3 stopped, 3 failed"
