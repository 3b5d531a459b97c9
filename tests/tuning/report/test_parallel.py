"""What the trials set, as lines: which knobs have an axis, how it is divided, who stands out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.frames import frame_of, record, search_frame
from tuning.findings.summary import summary
from tuning.report.parallel import MOST_BEST, MOST_KNOBS, parallel


def lines(table: pd.DataFrame, importance: dict[str, float] | None = None) -> dict[str, Any]:
    found = parallel(summary(table), {"importance": importance or {}})
    assert found is not None
    return found


def named(found: dict[str, Any]) -> list[str]:
    return [axis["name"] for axis in found["axes"]]


def few(*knobs: dict[str, Any]) -> pd.DataFrame:
    """A control, and a trial for each setting."""
    control = [record(0, 10.0, 2.0, policy="full_update")]
    trials = [record(i + 1, 5.0 + i, 2.5 - i / 10, knobs=set_) for i, set_ in enumerate(knobs)]
    return frame_of([*control, *trials])


def test_the_knobs_that_the_best_share_come_first() -> None:
    """Between the horizon and the gain; a knob that never varies has no axis."""
    found = lines(search_frame(), {"recovery": 0.5, "levels": 0.3, "min_active": 0.2})
    assert named(found)[:3] == ["horizon", "recovery", "levels"]
    assert named(found)[-1] == "gain"
    assert len(found["axes"]) == MOST_KNOBS + 2
    assert "min_active" not in named(found)


def test_without_an_importance_those_that_most_trials_set() -> None:
    """By how many set them, then by name."""
    every = [{"a": i, "b": i, "c": i} for i in range(4)]
    every[0].pop("a")
    assert named(lines(few(*every)))[1:4] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("values", "axis"),
    [
        ([1, 2, 4, 8], {"low": 1, "high": 8, "log": False}),
        ([1e-4, 1e-3, 0.5, 0.1], {"low": 1e-4, "high": 0.5, "log": True}),
        ([0.0, 1e-3, 0.5, 0.1], {"low": 0.0, "high": 0.5, "log": False}),
        (["muon", "own", "muon", "adamw"], {"choices": ["adamw", "muon", "own"]}),
        ([True, False, True, True], {"choices": ["false", "true"]}),
        ([1, "auto", 2, 3], {"choices": ["1", "2", "3", "auto"]}),
    ],
)
def test_an_axis_is_of_amounts_of_magnitudes_or_of_choices(
    values: list[Any], axis: dict[str, Any]
) -> None:
    """From the least to the highest value that a trial set."""
    found = lines(few(*({"a": value} for value in values)))
    assert found["axes"][1] == {"kind": "knob", "name": "a", **axis}


def test_those_that_gain_most_stand_out() -> None:
    """A quarter of the recipes, the control's own runs aside."""
    table = search_frame()
    found, reading = lines(table), summary(table)
    assert found["best"][0] == reading.winner
    assert set(found["best"]) < set(found["trials"])
    assert not set(found["trials"]) & set(reading.control["number"])
    assert len(found["best"]) == min(MOST_BEST, round(len(found["trials"]) / 4))


def test_a_shift_of_all_losses_changes_nobody() -> None:
    """Gains are of seconds."""
    table = search_frame()
    moved = table.assign(val_loss=table["val_loss"] - 100, target_loss=table["target_loss"] - 100)
    assert lines(moved)["best"] == lines(table)["best"]


def test_without_a_control_the_lowest_loss_stands_out() -> None:
    """Nobody has a gain, and no axis says one."""
    table = few(*({"a": i} for i in range(4)))
    found = lines(table[table["policy"] != "full_update"])
    assert (named(found), found["best"]) == (["horizon", "a"], [4])


def test_three_lines_are_no_picture() -> None:
    """Nor are trials that all set the same, or an empty table."""
    assert parallel(summary(few(*({"a": i} for i in range(3)))), None) is None
    assert parallel(summary(few(*({"a": 1} for i in range(9)))), None) is None
    assert parallel(summary(frame_of([])), None) is None


def test_short_looks_are_not_among_them() -> None:
    """Their recipes are, where they went on."""
    table = search_frame()
    looked = table["number"] == summary(table).winner
    table.loc[looked, "origin"] = "rung"
    assert int(table["number"][looked].iloc[0]) not in lines(table)["trials"]
    assert np.isin(lines(table)["best"], lines(table)["trials"]).all()


def test_a_trial_whose_gain_is_not_known_is_not_among_those_that_gain_most() -> None:
    """One worse than all of the control's runs has none; where no trial has, the losses decide."""
    own = [
        record(i, 5.0 + i, 2.5 - i / 10, policy="full_update", origin="control", knobs={})
        for i in range(3)
    ]
    worse = [record(3 + i, 6.0, 3.0 + i, knobs={"a": i}) for i in range(7)]
    assert lines(frame_of([*own, *worse]))["best"] == [3, 4]
    gains = record(10, 6.0, 2.2, knobs={"a": 9})
    assert lines(frame_of([*own, *worse, gains]))["best"] == [10]
