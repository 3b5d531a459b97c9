"""Which trial a user takes away: what wins, or the control that does as well. Pure."""

from __future__ import annotations

import pandas as pd

from tuning.findings import format as form
from tuning.findings.called import CALLED
from tuning.findings.front import control_kinds, front
from tuning.findings.summary import fastest_at, recorded_target, summary
from tuning.trial.metric import LOSS, Metric
from tuning.trial.recipe import ControlKind


def best(frame: pd.DataFrame, metric: Metric = LOSS) -> tuple[pd.Series, str] | None:
    """The front's member with the least seconds at the target or better; if none reached it, the
    best value of the ``metric``. Where no recipe beats training for less it is the own control that
    reaches the target, or the rival of it that does so first.

    Returns:
        The row, and what is to be said of it, empty where a recipe won; None where no trial has
        finished.
    """
    members, target = front(frame), recorded_target(frame)
    if members.empty:
        return None
    found = None if target is None else fastest_at(members, target)
    if found is not None and target is not None:
        return _winner_or_control(frame, found, target)
    return members.iloc[-1], _instead(members.iloc[-1], target, metric)


def _winner_or_control(
    frame: pd.DataFrame, found: pd.Series, target: float
) -> tuple[pd.Series, str]:
    """The trial that is first at the target; a control where that is what wins."""
    reading = summary(frame, target)
    control, kind = fastest_at(reading.control, target), control_kinds(found.to_frame().T)[0]
    rival = reading.bests.rivals.get(kind)
    if rival is not None and rival.row["val_loss"] <= target:
        return found, _rival_wins(found, kind, reading.winner)
    if control is None or (reading.winner is not None and kind is None):
        return found, ""
    return control, (
        "no recipe beat training for less: taking the control that reaches the target, "
        f"{_named(control)}"
    )


def _rival_wins(found: pd.Series, kind: ControlKind, winner: int | None) -> str:
    """That a control is first at the target, and which recipe is not."""
    best = "no recipe" if winner is None else f"not the best recipe, trial {winner},"
    return f"{best} but {CALLED[kind]} is first at the target: taking {_named(found)}"


def _named(row: pd.Series) -> str:
    return f"trial {row['number']}, at horizon {row['horizon']:g}"


def _instead(lowest: pd.Series, target: float | None, metric: Metric) -> str:
    """Why a trial that did not reach the target is taken, and which."""
    power = form.told_apart([target, lowest["val_loss"]])
    why = (
        "no target was set"
        if target is None
        else f"no finished trial reached the target {form.loss(target, power, metric)}"
    )
    value = form.loss(lowest["val_loss"], power, metric)
    return f"{why}: taking the {metric.best} {metric.short}, {value} of trial {lowest['number']}"
