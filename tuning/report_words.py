"""What the front says at the target, in one sentence, and the counts that stand beside it."""

from __future__ import annotations

import pandas as pd

from tuning.pareto_front import CONTROL_POLICY, FrontSummary, fastest_at
from tuning.report_format import gain, loss, seconds


def verdict(summary: FrontSummary) -> str:
    """The finding in one sentence: what one run of each trial shows, before any confirmation over seeds."""
    if not summary.finished:
        return "No trial has finished yet."
    if summary.target is None:
        return _without_target(summary)
    best = fastest_at(summary.front, summary.target)
    if best is None:
        return _nothing_reached(summary)
    if summary.winner is not None:
        return _won(summary, best)
    return _not_won(summary, best)


def caution(summary: FrontSummary) -> str:
    """How far a winner is to be trusted; empty where there is none."""
    if summary.winner is None:
        return ""
    line = f"Over the line between control runs the gain is {gain(summary.line_gain)}. "
    return (line if summary.line_gain is not None else "") + "One run each, not confirmed over seeds."


def counts(summary: FrontSummary) -> str:
    """How many trials finished, missed the target, were stopped and failed."""
    censored = "" if summary.target is None else f" ({summary.censored} censored: above the target)"
    return f"{summary.finished} finished{censored}, {summary.stopped} stopped, {summary.failed} failed"


def schedules_on_front(summary: FrontSummary) -> int:
    """How many members of the front are not full_update."""
    return int((summary.front["policy"] != CONTROL_POLICY).sum())


def _won(summary: FrontSummary, best: pd.Series) -> str:
    there = f"{_name(best)} reaches {_target(summary)} in {seconds(summary.front_seconds)}"
    if summary.gain is None:
        return f"{there}; {summary.no_gain}, so there is no gain to state."
    return f"{there}, training for less in {seconds(summary.control_seconds)}: a gain of {gain(summary.gain)}."


def _not_won(summary: FrontSummary, best: pd.Series) -> str:
    lead = f"Nothing beat training for less at {_target(summary)}"
    there = seconds(summary.front_seconds)
    if summary.gain is None:
        return f"{_name(best)} reaches {_target(summary)} in {there}; {summary.no_gain}."
    if best["policy"] == CONTROL_POLICY:
        return f"{lead}: {_name(best)} at horizon {best['horizon']:.3g} is first, in {there} (gain 1.00)."
    return (
        f"{lead}: {_name(best)} takes {there}, the next control run "
        f"{seconds(summary.control_seconds)} (gain {gain(summary.gain)}), but the line between control runs "
        f"passes at {gain(summary.line_gain)}."
    )


def _nothing_reached(summary: FrontSummary) -> str:
    lowest = summary.front.iloc[-1]
    least = loss(float(lowest["val_loss"]))
    return f"No finished trial reached {_target(summary)}: the lowest loss is {least}, of {_name(lowest)}."


def _without_target(summary: FrontSummary) -> str:
    schedules = schedules_on_front(summary)
    return f"No target was set; {schedules} of {len(summary.front)} members of the front are schedules."


def _name(row: pd.Series) -> str:
    return f"{row['policy']} #{int(row['number'])}"


def _target(summary: FrontSummary) -> str:
    return loss(summary.target)
