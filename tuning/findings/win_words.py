"""What wins in a search, in words: a recipe, tuning, or a smaller model, and over which control."""

from __future__ import annotations

import pandas as pd

from tuning.findings import format as form
from tuning.findings.called import CALLED, NOT_KNOWN, WINS
from tuning.findings.front import never_froze
from tuning.findings.gains import Best, Gained
from tuning.findings.summary import FrontSummary
from tuning.trial.recipe import OWN, TUNED, ControlKind, recipe_of


def what_won(summary: FrontSummary) -> str:
    """What gains most over the own control, in one or two sentences; empty where nothing does."""
    recipe, rival = summary.bests.recipe, _rival(summary)
    if rival is not None:
        ahead = summary.bests.rivals[rival]
        is_ = "may be" if _maybe_luck(summary, ahead) else "is"
        first = f"{WINS[rival]} {is_} what wins: {_told(summary, ahead)}."
        return first if recipe is None else f"{first} {_beyond(summary, recipe, rival)}"
    if recipe is None:
        return ""
    known = _listed([over(recipe, kind) for kind in WINS if kind in recipe.gains])
    unknown = "" if TUNED in recipe.gains else f" How much of that is tuning is {NOT_KNOWN}."
    return f"{_told(summary, recipe, known)}.{unknown}"


def _listed(parts: list[str]) -> str:
    """The further parts of a sentence, joined: `` and a``, ``, a and b``."""
    *before, last = parts or [""]
    return "".join(f", {part}" for part in before) + (f" and {last}" if last else "")


def leader(summary: FrontSummary) -> Best | None:
    """The trial that the sentence on the search is about; None where nothing gains."""
    rival = _rival(summary)
    return summary.bests.recipe if rival is None else summary.bests.rivals[rival]


def confirmed_winner(summary: FrontSummary) -> int | None:
    """Number of the trial that a confirmation found to win, unless its own record says that it
    never froze a block.
    """
    confirmed = summary.background.confirmed
    winner = None if confirmed is None else confirmed.winner
    return None if winner in unfrozen(summary) else winner


def unfrozen(summary: FrontSummary) -> list[int]:
    """Numbers of the finished schedules that never froze a block."""
    groups = (summary.front, summary.control, summary.others)
    return sorted(
        {int(n) for group in groups if len(group) for n in group["number"][never_froze(group)]}
    )


def named(summary: FrontSummary) -> Best | None:
    """The trial that headline, tiles, table and picture are about: the confirmed winner, else the
    one that leads the search; None where a confirmation, or the search, has no winner.
    """
    if summary.background.confirmed is None:
        return leader(summary)
    winner = confirmed_winner(summary)
    trials = pd.concat([summary.front, summary.control, summary.others])
    found = trials[trials["number"] == winner]
    if found.empty:
        return None
    row = found.iloc[0]
    return Best(row, summary.controls.gains(row["train_seconds"], row["val_loss"]))


def _rival(summary: FrontSummary) -> ControlKind | None:
    """The rival that leads: the one that the best recipe is not ahead of, or one that surely has
    the target where the recipe missed it; without a recipe, the best of those ahead.
    """
    recipe, rivals = summary.bests.recipe, summary.bests.rivals
    if recipe is not None and recipe.not_ahead_of in rivals:
        return recipe.not_ahead_of
    if recipe is not None:
        missed = not _reached(summary, recipe)
        rivals = {
            kind: each
            for kind, each in rivals.items()
            if missed and _reached(summary, each) and not _maybe_luck(summary, each)
        }
    return max(rivals, key=lambda kind: rivals[kind].gains[OWN].value, default=None)


def _reached(summary: FrontSummary, best: Best) -> bool:
    """Whether the trial's loss is at or below the target."""
    return summary.target is not None and bool(best.row["val_loss"] <= summary.target)


def _told(summary: FrontSummary, best: Best, known: str = "") -> str:
    doubt = ", unconfirmed" if summary.background.confirmed is None else ""
    doubt = f" and within noise{doubt}" if _maybe_luck(summary, best) else doubt
    return f"{reaches(summary, best)}{known}; on one seed{doubt}"


def _maybe_luck(summary: FrontSummary, best: Best) -> bool:
    """Whether another seed could reverse the trial's lead over the control."""
    return bool(summary.within_noise(best.row["train_seconds"], best.row["val_loss"]))


def _beyond(summary: FrontSummary, recipe: Best, rival: ControlKind) -> str:
    if recipe.not_ahead_of != rival:
        return f"The best recipe, {name(recipe)}, missed the target: {over(recipe, OWN)}."
    both = f"{over(recipe, OWN)} and {over(recipe, rival)}"
    return f"Beyond that the best is {name(recipe)}, {both}."


def reaches(summary: FrontSummary, best: Best) -> str:
    """Which loss the trial has after how long, and its gain over the own control."""
    loss, taken = float(best.row["val_loss"]), float(best.row["train_seconds"])
    there = summary.line.seconds_at(loss)
    own = " (which never got there)" if there is None else f" ({form.seconds(there)})"
    if best.gains[OWN].only_better:
        own = f" ({summary.shown(summary.line.loss_at(taken))})"
    metric = "" if summary.metric.is_default else f"{summary.metric.short} "
    aim = _aim(summary, loss)
    first = f"{name(best)} reaches {metric}{summary.shown(loss)}{aim} in {form.seconds(taken)}"
    return f"{first}, {over(best, OWN)}{own}"


def _aim(summary: FrontSummary, loss: float) -> str:
    if summary.target is None:
        return ""
    missed = ", missed" if loss > summary.target else ""
    return f" (target {summary.shown(summary.target)}{missed})"


def over(best: Best, kind: ControlKind) -> str:
    """The gain over a control in words: ``1.38 times as fast as your own recipe``, or ``better than
    your own recipe after as long`` where no more is known.
    """
    if best.never_near(kind):
        return f"better than {CALLED[kind]} ever was"
    if best.gains[kind].only_better:
        return f"better than {CALLED[kind]} after as long"
    return f"{times(best.gains[kind])} as fast as {CALLED[kind]}"


def times(gain: Gained) -> str:
    """A gain in words, with its bound: ``at least 1.38 times``."""
    return f"{gain.said + ' ' if gain.said else ''}{form.gain(gain.value)} times"


def name(best: Best) -> str:
    """The recipe's name with its trial's number."""
    return f"{recipe_of(best.row).name} #{best.number}"
