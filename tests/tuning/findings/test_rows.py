"""Rows of the table as plain values, whatever pandas made of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from policies.registry import policies
from tests.support.frames import frame_of, record
from tests.support.runs import write_run
from tuning.findings.rows import changed_knobs, knobs_of, rows_of
from tuning.store.store import Store

KNOBS = {
    "threshold": 0.7,
    "levels": 4,
    "adaptive": True,
    "relevance": "saliency",
    "probe_every": 20,
}
TRIALS = [
    record(0, 5.0, 2.0, knobs=KNOBS),
    record(1, None, None, policy="full_update", state="failed"),
]


def tables(folder: Path) -> list[pd.DataFrame]:
    """The same trials built in memory, read by the store, and read by pandas without it."""
    run = write_run(folder / "run", TRIALS)
    return [frame_of(TRIALS), Store.open(run).frame(), pd.read_parquet(run / "trials")]


def test_values_survive_every_way_of_reading(tmp_path: Path) -> None:
    """Ints stay ints and booleans booleans beside nulls, and null is None, not NaN."""
    for table in tables(tmp_path):
        full, failed = rows_of(table)
        assert knobs_of(full) == KNOBS
        assert {name: type(value) for name, value in knobs_of(full).items()} == {
            name: type(value) for name, value in KNOBS.items()
        }
        assert knobs_of(failed) == {}
        assert failed["train_seconds"] is None
        assert failed["val_loss"] is None


def test_only_changed_knobs_are_set_apart() -> None:
    """Those that differ from the default that the policy's own class declares."""
    row = rows_of(frame_of([record(0, 5.0, 2.0, knobs=KNOBS)]))[0]
    defaults = policies()["dynamic_suffix"]()
    assert changed_knobs(row) == {
        n: v for n, v in knobs_of(row).items() if getattr(defaults, n) != v
    }
    assert changed_knobs({**row, "policy": "of_another_version"}) == knobs_of(row)


@pytest.mark.parametrize("value", [0.5, 3.0])
def test_a_float_that_happens_to_be_whole_equals_itself(value: float) -> None:
    """A knob may come back as an int of the same value, never as another value."""
    row = rows_of(frame_of([record(0, 5.0, 2.0, knobs={"budget_upper": value})]))[0]
    assert knobs_of(row)["budget_upper"] == value
