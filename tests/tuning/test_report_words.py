"""The verdict's sentence for each thing that a front may say."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from tests.support.frames import frame_of, points, record, search_frame
from tuning.pareto_front import summary
from tuning.report_words import caution, counts, verdict
from tuning.trial import TrialRecord


def beside_control(*others: TrialRecord) -> pd.DataFrame:
    """Control runs of 6, 8 and 10 s at losses 2.0, 1.9 and 1.8, and other trials."""
    full: dict[str, Any] = {"policy": "full_update", "origin": "control"}
    runs = [(6, 2.0, 0.6), (8, 1.9, 0.8), (10, 1.8, 1.0)]
    return frame_of([*(record(i, s, y, horizon=h, **full) for i, (s, y, h) in enumerate(runs)), *others])


@pytest.mark.parametrize(
    ("table", "target", "sentence"),
    [
        (frame_of([]), None, "No trial has finished yet."),
        (
            beside_control(record(3, 7, 1.89)),
            1.9,
            "dynamic_suffix #3 reaches 1.9000 in 7.00 s, training for less in 8.00 s: a gain of 1.14.",
        ),
        (
            beside_control(record(3, 9, 1.95)),
            1.9,
            "Nothing beat training for less at 1.9000: full_update #1 at horizon 0.8 is first, in 8.00 s (gain 1.00).",
        ),
        (
            beside_control(record(3, 8, 1.85)),
            1.9,
            "Nothing beat training for less at 1.9000: dynamic_suffix #3 takes 8.00 s, the next control run "
            "8.00 s (gain 1.00), but the line between control runs passes at 1.00.",
        ),
        (
            beside_control(record(3, 9, 1.885)),
            1.89,
            "Nothing beat training for less at 1.8900: dynamic_suffix #3 takes 9.00 s, the next control run "
            "10.0 s (gain 1.11), but the line between control runs passes at 0.91.",
        ),
        (
            beside_control(record(3, 9, 1.7)),
            1.75,
            "dynamic_suffix #3 reaches 1.7500 in 9.00 s; the control never reached 1.75 (its lowest loss is "
            "1.8), so there is no gain to state.",
        ),
        (
            beside_control(),
            1.5,
            "No finished trial reached 1.5000: the lowest loss is 1.8000, of full_update #2.",
        ),
        (
            points([(5, 2.0)]).assign(target_loss=None),
            None,
            "No target was set; 1 of 1 members of the front are schedules.",
        ),
    ],
)
def test_the_sentence_for_each_finding(table: pd.DataFrame, target: float | None, sentence: str) -> None:
    """Small tables whose front is known by hand."""
    assert verdict(summary(table, target)) == sentence


def test_a_gain_that_reads_one_beats_nothing() -> None:
    """A thousandth faster than the control is not a win, and the sentence begins as for none."""
    reading = summary(beside_control(record(3, 7.99, 1.9)), 1.9)
    assert reading.gain is not None
    assert 1 < reading.gain < 1.005
    assert verdict(reading).startswith("Nothing beat training for less")


def test_a_win_is_said_to_be_unconfirmed() -> None:
    """Only where there is a winner, and with the gain over the control's line."""
    won = summary(beside_control(record(3, 7, 1.89)), 1.9)
    assert caution(won) == (
        "Over the line between control runs the gain is 1.14. One run each, not confirmed over seeds."
    )
    assert caution(summary(beside_control(), 1.9)) == ""


def test_counts_name_every_kind() -> None:
    """Of a realistic search with stopped and failed trials among its 48."""
    reading = summary(search_frame())
    assert counts(reading) == "42 finished (34 censored: above the target), 3 stopped, 3 failed"
