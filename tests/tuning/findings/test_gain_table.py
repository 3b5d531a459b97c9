"""``tuning.control`` and ``tuning.gain``: a table's controls, and what each of its trials gains."""

from __future__ import annotations

import pandas as pd
import pytest

import tuning
from tests.support.frames import search_frame
from tuning.findings.rows import member, rows_of
from tuning.findings.summary import summary


def test_the_columns_are_those_of_the_machine_readable_front() -> None:
    """Row by row; trials that did not finish have none."""
    frame = search_frame()
    found = tuning.gain(frame)
    assert found.index.equals(frame.index)
    reading = summary(frame)
    done = (frame["state"] == "finished").to_numpy()
    assert found[~done].isna().all(axis=None)
    for row, gains in zip(rows_of(frame[done]), found[done].to_dict("records"), strict=True):
        told = member(row, reading)
        for name, value in gains.items():
            assert told[str(name)] == (None if pd.isna(value) else pytest.approx(value))


def test_the_control_gains_nothing_over_itself() -> None:
    """Its runs, by seconds, with a gain of 1, or less where a longer one is no better."""
    frame = search_frame()
    runs = tuning.control(frame)
    assert len(runs) > 1
    assert runs["train_seconds"].is_monotonic_increasing
    gains = tuning.gain(frame)["gain"][frame["number"].isin(runs["number"])]
    assert (gains.dropna() <= 1 + 1e-9).all()
