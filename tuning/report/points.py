"""What the page's picture is drawn from: every trial that has a place in it, with its curve and
decisions.

A page must open at once, whatever the size of the search: of very many trials off the front only
some are drawn, and only some keep their curves. The page says so where it happens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tuning.findings.front import numbers
from tuning.findings.gains import Best
from tuning.findings.rows import (
    Row,
    changed_knobs,
    further_metrics,
    knobs_of,
    member,
    rows_of,
)
from tuning.findings.rungs import looked_at
from tuning.findings.summary import FrontSummary
from tuning.findings.win_words import named
from tuning.trial.recipe import OWN, recipe_of
from tuning.trial.trial import ASIDE

MOST_OTHERS = 1500
MOST_CURVES = 300
MOST_CURVE_POINTS = 160


def page_data(summary: FrontSummary, frame: pd.DataFrame) -> dict[str, Any]:
    """The JSON values that the page's script reads."""
    others = _thinned(summary.others, MOST_OTHERS)
    stopped = _thinned(_stopped(frame), MOST_OTHERS)
    beside = _thinned(_beside(summary), MOST_OTHERS)
    drawn = pd.concat([summary.front, beside, others, stopped])
    points = [_point(row, summary) for row in rows_of(drawn)] + _rungs(summary, frame)
    for point in points[MOST_CURVES:]:
        point["curve"], point["decisions"] = [], []
    shown, best = {point["number"] for point in points}, named(summary)
    return {
        "metric": _metric(summary),
        "target": summary.target,
        "named": None if best is None else best.number,
        "mark": None if best is None else gain_mark(best),
        "gain": summary.gain,
        "frontSeconds": summary.front_seconds,
        "controlSeconds": summary.control_seconds,
        "front": [int(n) for n in summary.front["number"]],
        "control": [int(n) for n in summary.control["number"] if n in shown],
        "noise": None if summary.background.noise is None else summary.background.noise.limit,
        "whiskers": whiskers(summary),
        "reference": _reference(summary),
        "hidden": len(summary.others) + len(_beside(summary)) - len(others) - len(beside),
        "trials": points,
    }


def _rungs(summary: FrontSummary, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Recipes that were looked at for a short time, with what became of each."""
    share = summary.background.asked.rung
    looked = [rung for rung in looked_at(frame) if rung.row["val_loss"] is not None]
    return [{**_point(r.row, summary), "then": r.told(share)} for r in looked[:MOST_OTHERS]]


def gain_mark(best: Best) -> dict[str, float] | None:
    """The gain of the trial that the headline names, drawn as a line from the trial to the own
    control's line at the same loss; None where that line does not go there, or where nothing is
    gained.
    """
    gain = best.gains.get(OWN)
    if gain is None or gain.bound or not gain.ahead:
        return None
    seconds, loss = float(best.row["train_seconds"]), float(best.row["val_loss"])
    return {"seconds": seconds, "control": seconds * gain.value, "loss": loss, "gain": gain.value}


def _metric(summary: FrontSummary) -> dict[str, Any]:
    """What the script needs to show losses as values of the metric; it draws and compares
    losses.
    """
    metric = summary.metric
    return {
        "name": metric.name,
        "short": metric.short,
        "maximize": metric.maximize,
        "power": summary.power,
    }


def whiskers(summary: FrontSummary) -> list[dict[str, Any]]:
    """The confirmed gains as seconds, at each schedule's loss in the search: the control's seconds
    there divided by the gain.

    An interval that crosses the control's line is one that contains a gain of 1. ``low`` and
    ``high`` are None where the gain is only bounded. A schedule whose loss the control's line does
    not cover has no place and is left out.
    """
    confirmed = summary.background.confirmed
    trials = (
        pd.concat([summary.front, summary.others]).drop_duplicates("number").set_index("number")
    )
    found = []
    for c in confirmed.candidates if confirmed is not None else ():
        loss = float(trials["val_loss"].get(c.number, np.nan))
        there = summary.line.seconds_at(loss)
        if c.gain is not None and there is not None:
            low, high = (None if not end else there / end for end in reversed(c.interval))
            found.append(
                {"number": c.number, "loss": loss, "at": there / c.gain, "low": low, "high": high}
            )
    return found


def _point(row: Row, summary: FrontSummary) -> dict[str, Any]:
    facts = member(row, summary)
    curve = _curve(row)
    return {
        "number": row["number"],
        "policy": recipe_of(row).name,
        "origin": row["origin"],
        "state": row["state"],
        "horizon": row["horizon"],
        "seconds": row["train_seconds"],
        "loss": row["val_loss"],
        "reached": facts["reached"],
        "gain": facts["gain"],
        "atLeast": facts["gain_at_least"],
        "near": facts["within_noise"],
        "unfrozen": facts["never_froze"],
        "flops": row.get("required_flops"),
        "rate": row.get("effective_flops_per_second"),
        "then": None,
        "overhead": row.get("pipeline_overhead_seconds"),
        "steps": row.get("steps"),
        "probes": row.get("probes"),
        "active": row.get("mean_active_fraction"),
        "metrics": further_metrics(row),
        "knobs": knobs_of(row),
        "changed": sorted(changed_knobs(row)),
        "curve": [list(point[1:]) for point in curve],
        "decisions": _decisions(row, curve),
    }


def _curve(row: Row) -> list[tuple[int, float, float]]:
    """Evaluations as (step, seconds, loss), at most ``MOST_CURVE_POINTS`` of them, the last one
    always.
    """
    points = _structs(row.get("curve"))
    kept = (
        sorted({round(i) for i in np.linspace(0, len(points) - 1, MOST_CURVE_POINTS)})
        if points
        else []
    )
    rows = [(p["step"], p["train_seconds"], p["val_loss"]) for p in (points[i] for i in kept)]
    return [(int(a), float(b), float(c)) for a, b, c in rows if np.isfinite(b) and np.isfinite(c)]


def _decisions(row: Row, curve: Sequence[tuple[int, float, float]]) -> list[list[Any]]:
    """A trial's changes of active blocks as [seconds, step, active blocks, phase]; the seconds are
    interpolated between the curve's evaluations.
    """
    changes = _structs(row.get("decisions"))
    if not curve:
        return []
    steps, seconds = [0, *(p[0] for p in curve)], [0.0, *(p[1] for p in curve)]
    at = np.interp([c["step"] for c in changes], steps, seconds)
    return [
        [float(s), int(c["step"]), int(c["active_blocks"]), str(c["phase"])]
        for s, c in zip(at, changes, strict=True)
    ]


def _structs(value: Any) -> list[Mapping[str, Any]]:
    return list(value) if isinstance(value, (list, tuple, np.ndarray)) else []


def _beside(summary: FrontSummary) -> pd.DataFrame:
    return summary.control[~summary.control["number"].isin(summary.front["number"])]


def _stopped(frame: pd.DataFrame) -> pd.DataFrame:
    """Stopped trials that got as far as a finite loss."""
    own = (frame["state"] == "stopped") & ~frame["origin"].isin(ASIDE)
    stopped = frame[own.to_numpy(dtype=bool)]
    return stopped[
        np.isfinite(numbers(stopped, "train_seconds")) & np.isfinite(numbers(stopped, "val_loss"))
    ]


def _thinned(frame: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most ``most`` rows of ``frame``, evenly spaced."""
    if len(frame) <= most:
        return frame
    return frame.take(np.linspace(0, len(frame) - 1, most).astype(int))


def _reference(summary: FrontSummary) -> int | None:
    """The number of the longest control run up to the baseline's horizon, or of the shortest where
    all are longer. Where it is drawn, its curve stands behind a chosen trial's.
    """
    if summary.control.empty:
        return None
    longest = max(1, int((numbers(summary.control, "horizon") <= 1.0).sum()))
    return int(summary.control["number"].iloc[longest - 1])
