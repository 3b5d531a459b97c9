"""From a row of the trials' table to what the report says of it.

Plain values, None where there is none.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from models.levers.levers import lever_settings
from policies.registry import policies
from tuning.findings import format as form
from tuning.findings.context import loss_over_seeds
from tuning.findings.gains import gain_columns
from tuning.findings.summary import FrontSummary
from tuning.trial.metric import METRIC
from tuning.trial.recipe import KNOB, recipe_of
from tuning.trial.trial import Scalar

FACTS = (
    "number",
    "policy",
    "origin",
    "seed",
    "horizon",
    "train_seconds",
    "val_loss",
    "seconds_to_quality",
    "steps",
    "probes",
    "mean_active_fraction",
    "required_flops",
    "effective_flops_per_second",
    "pipeline_overhead_seconds",
)
READ = (
    "reached",
    "gain",
    "within_noise",
    "never_froze",
    "val_metric",
    "gain_at_least",
    "gain_over_tuned",
    "gain_over_smaller",
    "control",
)
"""The facts that ``member`` adds to those of the row: they are read off the front and the control's
line.
"""
WHOLE = frozenset({"number", "seed", "steps", "probes"})
Row = Mapping[str, Any]


def rows_of(frame: pd.DataFrame) -> list[Row]:
    """The rows as dictionaries of plain values: None for null, whole knob columns as ints."""
    knobs = [str(column) for column in frame.columns if str(column).startswith(KNOB)]
    whole = {name for name in knobs if _holds_whole_numbers(frame[name])} | WHOLE
    return [
        {str(name): _plain(value, whole=str(name) in whole) for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def knobs_of(row: Row) -> dict[str, Scalar]:
    """The knobs that apply to a trial, by name, sorted."""
    return {
        name.removeprefix(KNOB): value
        for name, value in sorted(row.items())
        if name.startswith(KNOB) and value is not None
    }


def further_metrics(row: Row) -> dict[str, float | None]:
    """The workload's further metrics at the trial's end, by name; None for one that has no
    value.
    """
    return {
        name.removeprefix(METRIC): value for name, value in row.items() if name.startswith(METRIC)
    }


def changed_knobs(row: Row) -> dict[str, Scalar]:
    """The knobs whose value is not the policy's default; all of them for a policy that is not known
    here.
    """
    defaults = _defaults(str(row["policy"]))
    return {
        name: value
        for name, value in knobs_of(row).items()
        if defaults.get(name, _Unknown) != value
    }


def never_froze(row: Row) -> bool:
    """Whether a schedule updated every block in every step and pulled no lever: it is then training
    for less under another name.
    """
    recipe = recipe_of(row)
    return not recipe.is_control and not recipe.is_schedule(row.get("mean_active_fraction"))


def member(row: Row, summary: FrontSummary) -> dict[str, Any]:
    """A trial on the front or of the control, as it appears in machine-readable output.

    ``gain`` is over the own control, ``gain_at_least`` its bound where that never got so far;
    ``control`` says which control the trial is, if any.

    ``replicates`` is on how many other seeds its schedule finished, and ``val_loss_over_seeds`` its
    loss over them and its own: {"mean", "deviation", "seeds"}, None where there is but its own.
    """
    facts: dict[str, Any] = {name: row.get(name) for name in FACTS}
    facts["reached"] = None if summary.target is None else row["val_loss"] <= summary.target
    facts |= gain_columns(summary.controls, row["train_seconds"], row["val_loss"])
    facts["within_noise"] = (
        None
        if recipe_of(row).is_control
        else summary.within_noise(row["train_seconds"], row["val_loss"])
    )
    facts["never_froze"] = never_froze(row)
    facts["val_metric"] = summary.metric.of(row["val_loss"])
    again = replicated(row, summary)
    facts["replicates"] = len(again)
    seen = loss_over_seeds([row["val_loss"], *again])
    facts["val_loss_over_seeds"] = None if seen is None else dataclasses.asdict(seen)
    facts["control"] = recipe_of(row).control_kind
    return facts | {"metrics": further_metrics(row), "knobs": knobs_of(row)}


def gain_texts(row: Row, summary: FrontSummary) -> list[str]:
    """The gain over the own control and over each rival that the search has, as a reader is told
    them: ``1.38``, ``≥1.20``, ``better``.
    """
    found = summary.controls.gains(row["train_seconds"], row["val_loss"])
    known = [found.get(kind) for kind in summary.controls.lines]
    return [form.NOTHING if each is None else form.gain(each.value, each.said) for each in known]


def replicated(row: Row, summary: FrontSummary) -> tuple[float, ...]:
    """Final losses of the trial's schedule on other seeds."""
    known = summary.background.replicated
    return known.get(recipe_of(row), ()) if known else ()


class _Unknown:
    """Stands for the default of a knob that has none; it equals no value."""


def _defaults(policy: str) -> dict[str, Any]:
    kind = policies().get(policy)
    levers = {name: field.default for name, field in lever_settings().items()}
    return (
        {}
        if kind is None
        else {field.name: field.default for field in dataclasses.fields(kind)} | levers
    )


def _holds_whole_numbers(column: pd.Series) -> bool:
    """Whether a column of floats holds integers only, as pandas reads a column of ints that has
    nulls.
    """
    known = column.dropna()
    return bool(len(known)) and pd.api.types.is_float_dtype(column) and bool((known % 1 == 0).all())


def _plain(value: Any, *, whole: bool) -> Any:
    """A Python value without NaN: numpy scalars unwrapped, structs and lists kept."""
    if isinstance(value, (list, tuple, dict)):
        return value
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if whole and value.is_integer() else value
    return value
