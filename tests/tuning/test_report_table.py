"""The report in a terminal and in a log."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from rich.console import Console

from tests.support.frames import frame_of, record, search_frame
from tuning.pareto_front import FrontSummary, summary
from tuning.report_table import print_report


def printed(reading: FrontSummary, *, width: int = 80, encoding: str = "utf-8") -> str:
    """What a console of that width and encoding, no terminal, is given."""
    buffer = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_report(reading, Console(file=buffer, width=width))
    buffer.seek(0)
    return buffer.read()


def test_everything_is_there_at_eighty_columns() -> None:
    """No line is wider, no cell is cut, and no control sequence is in a log."""
    reading = summary(search_frame())
    text = printed(reading)
    lines = text.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert "…" not in text
    assert "\x1b" not in text
    for row in reading.front.to_dict("records"):
        line = next(line for line in lines if line.lstrip("* ").startswith(f"{row['number']} "))
        assert row["policy"] in line
        assert f"{row['val_loss']:.4f}" in line


def test_the_first_at_the_target_is_marked_and_named() -> None:
    """One star, at the winner; its knobs that are not defaults; the verdict last."""
    reading = summary(search_frame())
    text = printed(reading)
    starred = [line for line in text.splitlines() if line.startswith("*  ")]
    assert len(starred) == 1
    assert f" {reading.winner} " in starred[0]
    assert f"#{reading.winner} dynamic_suffix: adaptive=true" in text
    assert "not confirmed" in text.splitlines()[-2] + text.splitlines()[-1]


def test_control_runs_off_the_front_stand_below_the_rule() -> None:
    """A control run that a schedule dominates is still shown."""
    table = frame_of(
        [
            record(0, 10, 1.9, policy="full_update", origin="control"),
            record(1, 9, 1.8),
        ]
    )
    text = printed(summary(table))
    assert "control runs off the front" in text
    assert "full_update" in text


@pytest.mark.parametrize("table", [frame_of([]), frame_of([record(0, 3.0, 2.0)]), search_frame(strong=False)])
def test_any_table_can_be_printed(table: pd.DataFrame) -> None:
    """Nothing finished, nothing known of the terms of time, nothing won."""
    assert printed(summary(table))
