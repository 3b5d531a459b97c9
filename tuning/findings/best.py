"""Which trial a user takes away: what the headline names, or the control. Pure."""

from __future__ import annotations

import pandas as pd

from tuning.findings import format as form
from tuning.findings.called import WINS
from tuning.findings.context import Background
from tuning.findings.front import control_kinds
from tuning.findings.next_step import smaller_instead
from tuning.findings.summary import fastest_at, recorded_target, summary
from tuning.findings.win_words import confirmed_winner, named
from tuning.trial.metric import Metric
from tuning.trial.recipe import SMALLER, ControlKind


def best(frame: pd.DataFrame, background: Background | None = None) -> tuple[pd.Series, str] | None:
    """The trial that a user takes away, and what is to be said about it.

    It is the confirmed winner, or the smaller model where that was confirmed to win instead, else
    the trial that leads the search. Where no trial leads, or it missed the target and is not
    confirmed, it is the run of the own control that reaches the target first; where no such run
    does, it is the trial that reaches the target, or else the one with the best value of the
    metric.

    Returns:
        The row, and what is to be said of it, empty where a recipe won; None where no trial has
        finished.
    """
    known = background or Background()
    reading, target = summary(frame, background=known), recorded_target(frame)
    if reading.front.empty:
        return None
    winner = confirmed_winner(reading)
    smaller = None if known.confirmed is None else smaller_instead(known.confirmed, winner)
    if smaller is not None:
        row = frame[frame["number"] == smaller].iloc[0]
        return row, _rival_wins(row, SMALLER)
    found = named(reading)
    if found is not None and (known.confirmed or target is None or _reached(found.row, target)):
        kind = control_kinds(found.row.to_frame().T)[0]
        return found.row, "" if kind is None else _rival_wins(found.row, kind)
    first = None if target is None else fastest_at(reading.front, target)
    if first is None or target is None:
        lowest = reading.front.iloc[-1]
        return lowest, _instead(lowest, target, known.metric)
    why = (
        "no recipe beat training for less"
        if found is None
        else f"trial {found.number}, which leads the search, did not reach the target"
    )
    control = fastest_at(reading.control, target)
    if control is None:
        return first, (
            f"{why}, and the control did not reach the target: taking the first that did, "
            f"{_named(first)}"
        )
    return control, f"{why}: taking the control that reaches the target, {_named(control)}"


def _reached(row: pd.Series, target: float) -> bool:
    return bool(row["val_loss"] <= target)


def _rival_wins(found: pd.Series, kind: ControlKind) -> str:
    """The sentence that a control is what wins."""
    return f"{WINS[kind]} is what wins: taking {_named(found)}"


def _named(row: pd.Series) -> str:
    return f"trial {row['number']}, at horizon {row['horizon']:g}"


def _instead(lowest: pd.Series, target: float | None, metric: Metric) -> str:
    """Which trial is taken although it did not reach the target, and why."""
    power = form.told_apart([target, lowest["val_loss"]])
    why = (
        "no target was set"
        if target is None
        else f"no finished trial reached the target {form.loss(target, power, metric)}"
    )
    value = form.loss(lowest["val_loss"], power, metric)
    return f"{why}: taking the {metric.best} {metric.short}, {value} of trial {lowest['number']}"
