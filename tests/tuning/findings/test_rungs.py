"""What became of recipes that were looked at for a short time."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.frames import frame_of, record
from tuning.findings.rungs import Looked, looked_at

KNOBS = {"threshold": 0.5}


def became(*others: Any) -> list[Looked]:
    """Of a rung at a quarter of the horizon, beside other trials."""
    rung = record(3, 2.0, 2.5, origin="rung", horizon=0.25, knobs=KNOBS)
    return looked_at(frame_of([record(0, 10.0, 2.0, policy="full_update"), rung, *others]))


def test_a_longer_trial_of_the_same_recipe_is_what_it_went_on_as() -> None:
    """The first of them, whatever re-runs there are."""
    whole = record(7, 8.0, 1.9, knobs=KNOBS)
    (found,) = became(whole, record(9, 8.0, 1.9, knobs=KNOBS, horizon=1.5))
    assert (found.row["number"], found.went_on_as) == (3, 7)
    assert found.told(0.25) == "went on as #7"


@pytest.mark.parametrize(
    "other",
    [
        record(7, 8.0, 1.9, knobs={"threshold": 0.6}),
        record(7, 8.0, 1.9, knobs=KNOBS, policy="static_suffix"),
        record(7, 1.0, 3.0, knobs=KNOBS, horizon=0.125),
        record(7, 8.0, 1.9, knobs=KNOBS, origin="confirmation", seed=1000),
        record(7, 4.0, 2.2, knobs=KNOBS, origin="rung", horizon=0.5),
    ],
    ids=["other knobs", "another policy", "shorter", "a re-run", "another look"],
)
def test_nothing_else_is(other: Any) -> None:
    """It was given up, and when is said in shares of the horizon that was meant."""
    (found, *_) = became(other)
    assert found.went_on_as is None
    assert found.told(0.25) == "given up at a quarter of its horizon"
    assert found.told(0.5) == "given up at half of its horizon"


def test_a_look_that_failed_is_no_finding() -> None:
    """Its reason stands with those that did not finish."""
    failed = record(3, None, None, origin="rung", state="failed", error="no memory", horizon=0.25)
    assert looked_at(frame_of([failed])) == []
