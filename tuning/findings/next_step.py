"""What to do next: one command that fits what a search found."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from tuning.findings import format as form
from tuning.findings.front import numbers
from tuning.findings.summary import FrontSummary, fastest_at
from tuning.findings.win_words import confirmed_winner, leader
from tuning.layout import program
from tuning.trial.recipe import TUNED, recipe_of

ENOUGH_TRIALS = 40
"""A search of fewer that found nothing has tried little of its space."""
WIDEST, TUNE = "recipe", "tune"
"""The space of every lever, and that of the numbers of the workload's own optimizer."""


@dataclass(frozen=True)
class Next:
    """A command, and why it is the one."""

    why: str
    command: str


def next_step(summary: FrontSummary) -> Next | None:
    """What to do after this search; None where nothing has finished."""
    known, best = summary.background, leader(summary)
    run = shlex.quote(known.asked.run)
    if not summary.finished:
        return None
    if known.confirmed is not None and not unseen(summary):
        winner = confirmed_winner(summary)
        if winner is None:
            return _nothing_won(summary, run)
        command = f"{program('export')} {run} --trial {winner} -o recipe.toml"
        return Next("It is confirmed: take it into your own loop.", command)
    if best is None:
        return _nothing_won(summary, run)
    if recipe_of(best.row).control_kind == TUNED and known.asked.space != TUNE:
        return Next("Your own numbers gain most: tune them first.", _search(summary, TUNE))
    return Next("See whether it is real, on fresh seeds.", known.confirm_command)


def unseen(summary: FrontSummary) -> int | None:
    """Number of the search's best recipe, where a confirmation has not seen it."""
    confirmed, best = summary.background.confirmed, summary.bests.recipe
    if best is None or confirmed is None or best.number in {c.number for c in confirmed.candidates}:
        return None
    return best.number


def _nothing_won(summary: FrontSummary, run: str) -> Next:
    asked = summary.background.asked
    if summary.target is not None and summary.front_seconds is None:
        least = form.no_better(float(numbers(summary.front, "val_loss").min()), summary.metric)
        why = f"Read the front at {summary.metric.one} that a trial reached."
        return Next(why, f"{program('pareto')} {run} --target {least}")
    if asked.trials < ENOUGH_TRIALS:
        why = f"{asked.trials or 'So few'} trials try little of the space: go on."
        more = max(ENOUGH_TRIALS, 2 * asked.trials)
        return Next(why, f"{program('search')} --resume {run} --trials {more}")
    if asked.space != WIDEST:
        return Next("Another space has more that may win.", _search(summary, WIDEST))
    control = None if summary.target is None else fastest_at(summary.control, summary.target)
    command = f"{program('export')} {run} --trial best -o recipe.toml"
    if control is None:
        return Next("Take the best there is.", command)
    steps = "" if not control["steps"] > 0 else f", {int(control['steps'])} steps"
    why = f"Train plainly: your own recipe at horizon {control['horizon']:.3g}{steps}."
    return Next(why, command)


def _search(summary: FrontSummary, space: str) -> str:
    workload = shlex.quote(summary.background.asked.workload)
    return f"{program('search')} --workload {workload} --space {space}"
