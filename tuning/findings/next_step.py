"""What to do next: one command that fits what a search found."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from tuning.findings import format as form
from tuning.findings.context import Asked, Noise
from tuning.findings.front import numbers
from tuning.findings.paired import signs_needed
from tuning.findings.summary import FrontSummary, fastest_at
from tuning.findings.untuned import plateau_of, why_tune_first
from tuning.findings.win_words import confirmed_winner, leader
from tuning.layout import program
from tuning.trial.recipe import SMALLER, TUNED, recipe_of

if TYPE_CHECKING:
    from tuning.findings.verdict import Verdict
    from tuning.store.store import Store
    from tuning.trial.trial import TrialRecord

ENOUGH_TRIALS = 32
"""Trials of a search: one of fewer that found nothing has tried little of its space."""
FACTOR = 2
"""How much longer the next search's horizons are."""
LAST_THIRD = 2 / 3
USUAL_SEEDS = 5
"""The number of seeds of a confirmation where none is asked for."""
STILL = "your own recipe's loss still falls at its longest run"
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
        smaller = smaller_instead(known.confirmed, winner)
        if winner is None and smaller is None:
            return _more_seeds(known.confirmed, _confirm(summary)) or _nothing_won(summary, run)
        why = "It is confirmed: take it into your own loop."
        if smaller is not None:
            how = "is what wins" if winner is None else "has it as soon"
            why = f"A smaller model {how}: take that."
        taken = winner if smaller is None else smaller
        return Next(why, f"{program('export')} {run} --trial {taken} -o recipe.toml")
    if known.asked.space != TUNE and (why := why_tune_first(summary)):
        return Next(why, tune_first(known.asked.workload))
    if best is None:
        return _nothing_won(summary, run)
    if recipe_of(best.row).control_kind == TUNED and known.asked.space != TUNE:
        command = tune_first(known.asked.workload)
        return Next("Your own numbers gain most: tune them first.", command)
    return Next("See whether it is real, on fresh seeds.", _confirm(summary))


def smaller_instead(confirmed: Verdict, winner: int | None) -> int | None:
    """The number of the smaller control, where it wins over the own one and the winner, if there is
    one, gains nothing over it; else None.
    """
    rival = confirmed.rivals.get(SMALLER)
    if rival is None or not rival.over_own.wins:
        return None
    if winner is None:
        return rival.number
    over = next((c.over.get(SMALLER) for c in confirmed.candidates if c.number == winner), None)
    if over is None or over.gain is None:
        return None
    return rival.number if over.gain <= 1 and over.bound != "at least" else None


def _confirm(summary: FrontSummary) -> str:
    """The command that confirms; where no trial reached the search's own target, with a target that
    one did reach.
    """
    command = summary.background.confirm_command
    if summary.target is None or summary.front_seconds is not None:
        return command
    return f"{command} --target {_reached(summary)}"


def _reached(summary: FrontSummary) -> str:
    """A value of the metric that a trial reached, as the command line takes it."""
    return form.no_better(float(numbers(summary.front, "val_loss").min()), summary.metric)


def unseen(summary: FrontSummary) -> int | None:
    """The number of the search's best recipe where a confirmation has not seen it; else None."""
    confirmed, best = summary.background.confirmed, summary.bests.recipe
    if best is None or confirmed is None or best.number in {c.number for c in confirmed.candidates}:
        return None
    return best.number


def _more_seeds(confirmed: Verdict, command: str) -> Next | None:
    """The advice to confirm over the usual number of seeds where one over fewer saw a gain, or over
    more where only the sign of each seed's difference counts; None where the seeds are enough.
    """
    seeds, enough = len(confirmed.seeds), USUAL_SEEDS
    gained = [c for c in confirmed.candidates if (c.gain or 0.0) > 1 and c.bound != "at most"]
    # To the bit: ``sign_p`` gives a power of two, which Student's p hardly ever is.
    if any(c.p == 0.5**seeds for c in gained):
        enough = max(enough, signs_needed(confirmed.alpha / confirmed.tested))
    if seeds >= enough or not gained:
        return None
    why = f"{seeds} seeds can hardly tell a gain from luck: confirm it over {enough}."
    return Next(why, f"{command} --top {len(confirmed.candidates)} --seeds {enough}")


def _nothing_won(summary: FrontSummary, run: str) -> Next:
    asked = summary.background.asked
    if summary.target is not None and summary.front_seconds is None:
        if trains_on(summary.control, summary.background.noise):
            aim = f" --target {summary.metric.of(summary.target)!r}"
            return Next(f"No trial reached it, and {STILL}.", _longer(summary) + aim)
        why = f"Read the front at {summary.metric.one} that a trial reached."
        return Next(why, f"{program('pareto')} {run} --target {_reached(summary)}")
    if asked.trials < ENOUGH_TRIALS:
        tried = "One trial tries" if asked.trials == 1 else f"{asked.trials or 'So few'} trials try"
        why = f"{tried} little of the space: go on."
        more = max(ENOUGH_TRIALS, 2 * asked.trials)
        return Next(why, f"{program('search')} --resume {run} --trials {more}")
    if asked.space != WIDEST:
        return Next("Another space has more that may win.", _search(summary, WIDEST))
    if trains_on(summary.control, summary.background.noise):
        return Next(f"Recipes may win where runs are longer: {STILL}.", _longer(summary))
    control = None if summary.target is None else fastest_at(summary.control, summary.target)
    command = f"{program('export')} {run} --trial best -o recipe.toml"
    if control is None:
        return Next("Take the best there is.", command)
    # ``not … >`` in place of <=, as steps that are null are NaN here.
    steps = "" if not control["steps"] > 0 else f", {int(control['steps'])} steps"
    why = f"Train plainly: your own recipe at horizon {control['horizon']:.3g}{steps}."
    return Next(why, command)


def trains_on(control: pd.DataFrame, noise: Noise | None) -> bool:
    """Whether the own control's loss still falls steeply at the longest of its ``control`` runs:
    from a run at most two thirds as long to that one it falls by more than another seed may change
    it.
    """
    if noise is None or not len(control):
        return False
    runs = control.sort_values("horizon")
    horizons, losses = numbers(runs, "horizon"), numbers(runs, "val_loss")
    before = losses[horizons <= LAST_THIRD * horizons[-1]]
    return bool(len(before)) and float(before[-1] - losses[-1]) > noise.limit


def advice_before(store: Store, own: Iterable[TrialRecord]) -> str:
    """What to do before any trial is trained, given the own recipe's runs over seeds; empty where
    their loss still falls, and where the search is what tunes them.
    """
    plateau, asked = plateau_of(own), Asked.of(store)
    if plateau is None or asked.space == TUNE:
        return ""
    return f"{plateau.told(store.info.metric)} Tune it first: {tune_first(asked.workload)}"


def tune_first(workload: str) -> str:
    """The command that tunes the own recipe of a workload."""
    return f"{program('search')} --workload {shlex.quote(workload)} --space {TUNE}"


def _longer(summary: FrontSummary) -> str:
    asked = summary.background.asked
    space = shlex.quote(asked.space)
    return f"{_search(summary, space)} --longer {FACTOR * asked.longer:g}"


def _search(summary: FrontSummary, space: str) -> str:
    workload = shlex.quote(summary.background.asked.workload)
    return f"{program('search')} --workload {workload} --space {space}"
