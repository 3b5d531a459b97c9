"""From the store's table to what a study must know of each trial; light enough for a hundred thousand of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from tuning.store import Store
from tuning.study import Outcome

KNOB = "knob_"
COLUMNS = (
    "number",
    "origin",
    "state",
    "policy",
    "horizon",
    "train_seconds",
    "val_loss",
    "seconds_to_quality",
    "reached",
    "target_loss",
    "mean_active_fraction",
    "seed",
)


def history_of(store: Store) -> list[Outcome]:
    """The outcome of every recorded trial, by number."""
    knobs = [f"{KNOB}{name}" for name in store.info.knob_columns]
    return outcomes_of(store.frame((*COLUMNS, *knobs)))


def outcomes_of(frame: pd.DataFrame) -> list[Outcome]:
    """Outcomes of a table's rows; what is null in a row is None, or no knob of its trial."""
    facts = [list(_values(frame[name])) for name in COLUMNS]
    names = [str(name) for name in frame.columns if str(name).startswith(KNOB)]
    columns = [list(_values(frame[name])) for name in names]
    knobs = [
        {name.removeprefix(KNOB): value for name, value in zip(names, row, strict=True) if value is not None}
        for row in (zip(*columns, strict=True) if columns else ((),) * len(frame))
    ]
    return [
        Outcome(**dict(zip(COLUMNS, row, strict=True)), knobs=own)
        for row, own in zip(zip(*facts, strict=True), knobs, strict=True)
    ]


def _values(column: pd.Series[Any]) -> Iterator[Any]:
    """The column's values as Python's own types, None for null."""
    return (None if missing else value for value, missing in zip(column.tolist(), column.isna(), strict=True))
