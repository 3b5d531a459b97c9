"""What the trials set, as parallel lines: an axis a knob, a line a trial, the best ones apart.

The axes are the horizon, the knobs that the best trials share most or, where that is not known,
those that most trials set, and what a trial gains. The page's script draws them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tuning.findings.rows import Row, knobs_of, member, rows_of
from tuning.findings.summary import FrontSummary
from tuning.trial.recipe import recipe_of
from tuning.trial.trial import Scalar

MOST_KNOBS = 7
FEWEST_TRIALS = 4
"""The fewest lines that are drawn: fewer show no pattern, and the tables say what the trials
set.
"""
BEST, MOST_BEST = 0.25, 8
"""The share of the trials that stand out, and how many do at most."""
LOGARITHMIC = 30.0
"""An axis is logarithmic where its highest value is more than so many times its lowest."""


def parallel(summary: FrontSummary, run_info: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The JSON values from which the lines are drawn; None where there are too few of them."""
    rows = [row for row in _finished(summary) if not recipe_of(row).is_control and knobs_of(row)]
    names = _chosen(rows, (run_info or {}).get("importance") or {})
    if len(rows) < FEWEST_TRIALS or not names:
        return None
    gains = {int(row["number"]): _gain(row, summary) for row in rows}
    known = [gain for gain in gains.values() if gain is not None]
    knobs = [_axis("knob", name, _values(rows, name)) for name in names]
    horizon = _axis("horizon", "horizon", [row["horizon"] for row in rows])
    return {
        "axes": [horizon, *knobs, *([_axis("gain", "gain", known)] if known else [])],
        "trials": sorted(gains),
        "best": _best(rows, gains),
    }


def _finished(summary: FrontSummary) -> list[Row]:
    return rows_of(pd.concat([summary.front, summary.others]))


def _gain(row: Row, summary: FrontSummary) -> float | None:
    told = member(row, summary)
    gain: float | None = told["gain"] if told["gain"] is not None else told["gain_at_least"]
    return gain


def _chosen(rows: Sequence[Row], importance: Mapping[str, float]) -> list[str]:
    """The knobs that get an axis: those that vary, the most telling ones first."""
    setting = Counter(name for row in rows for name in knobs_of(row))
    ranked = sorted(setting, key=lambda name: (-importance.get(name, 0.0), -setting[name], name))
    return [name for name in ranked if len(set(_values(rows, name))) > 1][:MOST_KNOBS]


def _values(rows: Sequence[Row], name: str) -> list[Scalar]:
    return [knobs[name] for knobs in map(knobs_of, rows) if name in knobs]


def _best(rows: Sequence[Row], gains: Mapping[int, float | None]) -> list[int]:
    """Numbers of the trials that gain most, the best first; by their loss where none has a gain."""

    def rank(row: Row) -> tuple[float, float, int]:
        gain = gains[int(row["number"])]
        return (float("inf") if gain is None else -gain), row["val_loss"], row["number"]

    count = min(MOST_BEST, max(1, round(BEST * len(rows))))
    gaining = [row for row in rows if gains[int(row["number"])] is not None] or rows
    return [int(row["number"]) for row in sorted(gaining, key=rank)[:count]]


def _axis(kind: str, name: str, values: Sequence[Any]) -> dict[str, Any]:
    """An axis for ``values``: from the least to the highest where all are numbers, else of choices
    in the order of their names.
    """
    numeric = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numeric) < len(values):
        choices = sorted({str(v).lower() if isinstance(v, bool) else str(v) for v in values})
        return {"kind": kind, "name": name, "choices": choices}
    low, high = min(numeric), max(numeric)
    logarithmic = low > 0 and high / low > LOGARITHMIC
    return {"kind": kind, "name": name, "low": low, "high": high, "log": logarithmic}
