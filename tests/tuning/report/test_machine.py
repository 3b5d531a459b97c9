"""The report for machines: names, nulls and order."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest

from tests.support.frames import frame_of, record, search_frame
from tests.support.verdicts import NOISE, background
from tuning.findings.context import Background
from tuning.findings.summary import summary
from tuning.report.machine import csv_text, json_text
from tuning.trial.recipe import Recipe


def test_json_has_the_names_that_programs_read() -> None:
    """The top level, a member, and agreement with the reading they come from."""
    reading = summary(search_frame())
    data = json.loads(json_text(reading))
    assert {"target_loss", "front", "control", "gain_at_target"} <= set(data)
    assert data["target_loss"] == reading.target
    assert data["gain_at_target"] == reading.gain
    assert [member["number"] for member in data["front"]] == list(reading.front["number"])
    assert [member["number"] for member in data["control"]] == list(reading.control["number"])
    winner = next(member for member in data["front"] if member["number"] == reading.winner)
    assert {"train_seconds", "val_loss", "knobs", "policy", "horizon", "reached"} <= set(winner)
    assert winner["reached"] is True
    assert winner["knobs"]["adaptive"] is True


def test_what_does_not_apply_is_null() -> None:
    """A trial with nothing known but its place, and no target, has nulls.

    There is never a NaN, and no invented knob.
    """
    data = json.loads(json_text(summary(frame_of([record(0, 3.0, 2.0, target_loss=None)]))))
    assert data["target_loss"] is None
    assert data["gain_at_target"] is None
    assert data["no_gain_because"] == "no target was given"
    member = data["front"][0]
    assert member["required_flops"] is None
    assert member["gain"] is None
    assert member["reached"] is None
    assert member["knobs"] == {}


def test_json_tells_noise_and_confirmation() -> None:
    """The limit stands beside the deviation, a mark on each member, and the verdict whole.

    What is not known is null.
    """
    table = search_frame()
    data = json.loads(json_text(summary(table, None, background({37: 1.08}))))
    assert data["noise"] == {"deviation": 0.004, "seeds": 5, "limit": NOISE.limit}
    assert data["confirmation"]["winner"] == 37
    assert data["verdict"] == data["confirmation"]["sentence"]
    assert {type(member["within_noise"]) for member in data["front"]} == {bool, type(None)}
    assert not any(member["never_froze"] for member in data["front"])
    unknown = json.loads(json_text(summary(table)))
    assert (unknown["noise"], unknown["confirmation"]) == (None, None)
    assert unknown["verdict"] == unknown["verdict_of_search"]


def test_json_tells_the_loss_over_seeds() -> None:
    """A member with a replicate has two seeds and the mean between them, worked out by hand.

    The other has null and 0.
    """
    table = frame_of(
        [record(0, 5.0, 2.0, knobs={"levels": 4}), record(1, 8.0, 1.9, knobs={"levels": 2})]
    )
    again = Background(replicated={Recipe("dynamic_suffix", 1.0, {"levels": 4}): (2.5,)})
    first, second = json.loads(json_text(summary(table, background=again)))["front"]
    assert first["replicates"] == 1
    assert first["val_loss_over_seeds"] == {
        "mean": 2.25,
        "deviation": pytest.approx(0.125**0.5),
        "seeds": 2,
    }
    assert (second["replicates"], second["val_loss_over_seeds"]) == (0, None)


def test_json_does_not_depend_on_the_order_of_rows() -> None:
    """The same text from a table turned round."""
    table = search_frame()
    assert json_text(summary(table)) == json_text(summary(table.iloc[::-1]))


def test_csv_has_one_row_a_trial_of_front_and_control() -> None:
    """Read back by pandas: the same trials, each once, with its knobs in columns."""
    reading = summary(search_frame())
    table = pd.read_csv(io.StringIO(csv_text(reading)))
    assert set(table["number"]) == set(reading.front["number"]) | set(reading.control["number"])
    assert table["number"].is_unique
    assert set(table[table["on_front"]]["number"]) == set(reading.front["number"])
    assert set(table[table["is_control"]]["number"]) == set(reading.control["number"])
    assert table["knob_probe_every"].notna().sum() == (~table["is_control"]).sum()


def test_csv_of_nothing_has_its_columns() -> None:
    """A table without rows is still a table."""
    assert csv_text(summary(frame_of([]))).startswith(
        "number,policy,origin,seed,horizon,train_seconds,val_loss"
    )
