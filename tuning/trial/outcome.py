"""From the store's table to what a study must know of each trial, light enough for a hundred
thousand of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tuning.trial.recipe import KNOB, Recipe
from tuning.trial.trial import Origin, Scalar, State, TrialRecord


@dataclass(frozen=True)
class Outcome:
    """What a study must know of a trial that is over: a record without its measurements. Seconds
    are solo.
    """

    number: int
    origin: Origin
    state: State
    recipe: Recipe
    train_seconds: float | None = None
    val_loss: float | None = None
    seconds_to_quality: float | None = None
    reached: bool | None = None
    target_loss: float | None = None
    mean_active_fraction: float | None = None
    seed: int = 0


COLUMNS = tuple(
    column
    for field in dataclasses.fields(Outcome)
    for column in (("policy", "horizon") if field.name == "recipe" else (field.name,))
)
"""What ``outcomes_of`` reads of a table, beside the knobs' columns."""


def outcomes_of(frame: pd.DataFrame) -> list[Outcome]:
    """The outcomes of a table's rows. A null in a row is None, or a knob that its trial does not
    have.
    """
    facts = [list(_values(frame[name])) for name in COLUMNS]
    names = [str(name) for name in frame.columns if str(name).startswith(KNOB)]
    columns = [list(_values(frame[name])) for name in names]
    knobs = [
        {
            name.removeprefix(KNOB): value
            for name, value in zip(names, row, strict=True)
            if value is not None
        }
        # Of no columns zip makes no rows, but each trial needs its (empty) knobs.
        for row in (zip(*columns, strict=True) if columns else ((),) * len(frame))
    ]
    return [
        _outcome(dict(zip(COLUMNS, row, strict=True)), own)
        for row, own in zip(zip(*facts, strict=True), knobs, strict=True)
    ]


def _outcome(facts: dict[str, Any], knobs: dict[str, Scalar]) -> Outcome:
    recipe = Recipe(facts.pop("policy"), facts.pop("horizon"), knobs)
    return Outcome(**facts, recipe=recipe)


def _values(column: pd.Series[Any]) -> Iterator[Any]:
    """The column's values as Python's own types, None for null."""
    return (
        None if missing else value
        for value, missing in zip(column.tolist(), column.isna(), strict=True)
    )


def outcome_of(record: TrialRecord) -> Outcome:
    """The outcome of a record."""
    return Outcome(**{f.name: getattr(record, f.name) for f in dataclasses.fields(Outcome)})
