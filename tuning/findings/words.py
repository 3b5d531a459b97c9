"""What the front says at the target, in one sentence, and the counts and cautions that stand beside
it.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from tuning.findings.format import gain, over_seeds, seconds
from tuning.findings.front import controls, never_froze
from tuning.findings.next_step import unseen
from tuning.findings.rows import member, rows_of
from tuning.findings.summary import FrontSummary, fastest_at
from tuning.findings.win_words import unfrozen, what_won
from tuning.trial.recipe import recipe_of

NEVER_FROZE = "never froze a block"


def headline(summary: FrontSummary) -> str:
    """The confirmed finding where there is one, else ``verdict``."""
    confirmed = summary.background.confirmed
    if confirmed is None:
        return verdict(summary)
    if confirmed.winner in unfrozen(summary):
        return (
            f"No recipe is confirmed: trial {confirmed.winner}, ahead over "
            f"{len(confirmed.seeds)} fresh seeds, "
            f"{NEVER_FROZE}; it is training for less under another name."
        )
    return confirmed.sentence


def verdict(summary: FrontSummary) -> str:
    """The finding of the search in one sentence: what one run of each trial shows."""
    if not summary.finished:
        return "No trial has finished yet."
    if won := what_won(summary):
        return won
    if summary.target is None:
        return _without_target(summary)
    best = fastest_at(summary.front, summary.target)
    if best is None:
        return _nothing_reached(summary)
    return _not_won(summary, best)


def caution(summary: FrontSummary) -> str:
    """How far the headline is to be trusted; empty where there is nothing to add.
    ``tuning.findings.next_step`` says what would settle it.
    """
    known = summary.background
    parts = [f"{known.remark}."] if known.remark else []
    if known.confirmed is not None:
        return " ".join(
            [*parts, *_since_confirmed(summary), f"The search itself: {verdict(summary)}"]
        )
    return " ".join(parts)


def noise_note(summary: FrontSummary) -> str:
    """Which differences in loss another seed could reverse; empty where the noise is not known."""
    noise = summary.background.noise
    if noise is None:
        return ""
    low, high = sorted(noise.span or (), key=summary.metric.of) or (None, None)
    span = "" if low is None else f", {summary.shown(low)} to {summary.shown(high)}"
    return (
        f"≈: within noise of the control, whose {summary.metric.short} strays by "
        f"{summary.strays(noise.deviation)} (standard deviation over {noise.seeds} seeds{span}): a "
        f"difference of up to {summary.strays(noise.limit)} may be luck."
    )


def seeds_note(summary: FrontSummary) -> str:
    """The loss over seeds of the front's members that were replicated; empty where none was."""
    facts = [member(row, summary) for row in rows_of(summary.front)]
    found = [
        f"#{fact['number']} "
        f"{over_seeds(fact['val_loss_over_seeds'], summary.power, summary.metric)}"
        for fact in facts
        if fact["replicates"]
    ]
    return (
        f"{summary.metric.heading} over seeds (mean ± standard deviation, its own seed included): "
        f"{', '.join(found)}."
        if found
        else ""
    )


def unfrozen_note(summary: FrontSummary) -> str:
    """Which members of the front never froze a block; empty where all did."""
    names = summary.front["number"][never_froze(summary.front)]
    if not len(names):
        return ""
    return (
        f"{NEVER_FROZE.capitalize()}, so are training for less under another name: "
        f"{_listed(names)}."
    )


def stopping_note(summary: FrontSummary) -> str:
    """How many trials were stopped early, and what became of those that were let run on; empty
    where none was stopped.
    """
    if not summary.stopped and not summary.checked:
        return ""
    stopped = f"{summary.stopped or 'No'} trial{'s' if summary.stopped != 1 else ''} stopped early"
    if not summary.checked:
        return f"{stopped}; none let run on yet to check."
    return (
        f"{stopped}; of {summary.checked} let run on to check, "
        f"{summary.checked_on_front or 'none'} reached the front."
    )


def counts(summary: FrontSummary) -> str:
    """How many trials finished, missed the target, were stopped and failed, and how many were
    re-runs.
    """
    censored = (
        ""
        if summary.target is None
        else (f" ({summary.censored} censored: {summary.metric.short_of} the target)")
    )
    runs = "replicate on another seed" if summary.replicates == 1 else "replicates on other seeds"
    again = f"; {summary.replicates} {runs}" if summary.replicates else ""
    looks = f"; {summary.looked} looked at for a short time" if summary.looked else ""
    return (
        f"{summary.finished} finished{censored}, {summary.stopped} stopped, {summary.failed} "
        f"failed{looks}{again}"
    )


def schedules_on_front(summary: FrontSummary) -> int:
    """How many members of the front are not full_update."""
    return int((~controls(summary.front)).sum())


def _since_confirmed(summary: FrontSummary) -> list[str]:
    """A sentence on the search's best recipe, where the confirmation has not seen it; else none."""
    number = unseen(summary)
    return [] if number is None else [f"Trial {number} was not among those confirmed."]


def _not_won(summary: FrontSummary, best: pd.Series) -> str:
    lead = f"Nothing beat training for less at {_target(summary)}"
    there = seconds(summary.front_seconds)
    if never_froze(best.to_frame().T)[0]:
        return (
            f"{lead}: {_name(best)} is first, in {there}, but it {NEVER_FROZE}: that is training "
            "for less as well."
        )
    if summary.gain is None:
        return f"{_name(best)} reaches {_target(summary)} in {there}; {summary.no_gain}."
    if recipe_of(best).is_control:
        return (
            f"{lead}: {_name(best)} at horizon {best['horizon']:.3g} is first, in {there} (gain "
            "1.00)."
        )
    if summary.target is not None and summary.line.seconds_at(summary.target) is None:
        return (
            f"{lead}: {_name(best)} takes {there} (gain at most {gain(summary.gain)}), but the "
            f"shortest control run, of {seconds(summary.control_seconds)}, ends beyond it: one as "
            "short may do as well."
        )
    return (
        f"{lead}: {_name(best)} takes {there}, the next control run "
        f"{seconds(summary.control_seconds)} (gain {gain(summary.gain)}), but the line between "
        "control runs "
        f"passes at {gain(summary.line_gain)}."
    )


def _nothing_reached(summary: FrontSummary) -> str:
    lowest = summary.front.iloc[-1]
    metric = summary.metric
    return (
        f"No finished trial reached {_target(summary)}: the {metric.best} {metric.short} is "
        f"{summary.shown(float(lowest['val_loss']))}, of {_name(lowest)}."
    )


def _without_target(summary: FrontSummary) -> str:
    schedules = schedules_on_front(summary)
    return (
        f"No target was set; {schedules} of {len(summary.front)} members of the front are "
        "recipes beside the control."
    )


def _name(row: pd.Series) -> str:
    return f"{recipe_of(row).name} #{int(row['number'])}"


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(f"#{int(number)}" for number in numbers)


def _target(summary: FrontSummary) -> str:
    """The target, by the metric's name where it was given one."""
    name = "" if summary.metric.is_default else f"{summary.metric.short} "
    return f"{name}{summary.shown(summary.target)}"
