"""What a confirmation found, as the page shows it: a table with the intervals drawn, and the
clock's check.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuning.findings import format as form
from tuning.findings.front import never_froze
from tuning.findings.summary import FrontSummary
from tuning.findings.verdict_words import p
from tuning.findings.win_words import unfrozen
from tuning.findings.words import NEVER_FROZE
from tuning.report.cells import AnyCell, Cell, IntervalCell, Note, Table

if TYPE_CHECKING:
    from tuning.findings.verdict import (
        Against,
        CandidateVerdict,
        ControlRun,
        Interval,
        Verdict,
    )

BEFORE = ("#", "Recipe", "Gain")
AFTER = ("Seconds", "95 % interval", "p, corrected", "Met target", "Seconds to it")
"""Headings on either side of the metric's: a narrow screen shows the first ones."""
LEFT = frozenset({"Recipe", "95 % interval"})


@dataclass(frozen=True)
class Axis:
    """The range of gains that the intervals of one table are drawn in."""

    low: float
    high: float

    @classmethod
    def around(cls, gains: Iterable[float]) -> Axis:
        """The axis that holds all ``gains`` and 1, with a margin."""
        every = [1.0, *gains]
        margin = 0.08 * (max(every) - min(every) or 1.0)
        return cls(min(every) - margin, max(every) + margin)

    def place(self, gain: float) -> float:
        """Where a gain lies on the axis, in per cent from the left."""
        return 100 * (gain - self.low) / (self.high - self.low)


def confirmed_table(summary: FrontSummary) -> Table | None:
    """The confirmed schedules and their control; None before a confirmation."""
    confirmed = summary.background.confirmed
    if confirmed is None:
        return None
    known = (c.gain for c in confirmed.candidates)
    ends = (end for c in confirmed.candidates for end in c.interval)
    axis = Axis.around(value for value in (*known, *ends) if value is not None)
    rows = [_candidate(c, confirmed, axis, summary) for c in confirmed.candidates]
    rows += [_control("", "control", run, confirmed) for run in confirmed.control.runs]
    for kind, rival in confirmed.rivals.items():
        name = f"{kind} (#{rival.number})"
        rows += [_control("", name, run, confirmed) for run in rival.runs]
    notes = [Note(text) for text in (_legend(confirmed), *remarks(confirmed))]
    verb = "Trained again" if confirmed.winner is None else "Confirmed"
    title = f"{verb} over {len(confirmed.seeds)} fresh seeds"
    over = (f"Over {kind}" for kind in confirmed.rivals)
    headings = (*BEFORE, confirmed.metric.heading, *AFTER, *over, "p/m")
    return Table(title, headings, rows, frozenset(headings) - LEFT, notes, kind="confirmed")


def remarks(confirmed: Verdict) -> list[str]:
    """The control's exchange rate, whether the machine was quiet, and what is to be said of single
    schedules.
    """
    from tuning.report.verdict_table import LOUD, exchange_rate, left_out, loud, over_own

    found = [over_own(kind, rival) for kind, rival in confirmed.rivals.items()]
    found += [left_out(kind, number) for kind, number in confirmed.behind.items()]
    found.append(exchange_rate(confirmed))
    spread = confirmed.control.time_spread or 0.0
    if confirmed.time == "measured" and spread > LOUD:
        found.append(loud(spread))
    return found + [f"#{c.number}: {c.note}." for c in confirmed.candidates if c.note]


def marks(summary: FrontSummary) -> dict[str, str]:
    """The legend's text for each mark that not every picture has, by the mark's name; empty for
    marks that this page's picture lacks.
    """
    known = summary.background
    shown = {
        "unfrozen": (never_froze(summary.front).any(), NEVER_FROZE),
        "noise": (known.noise, "within noise of the control"),
        "rungs": (known.asked.rung, "a short look at a recipe"),
        "whiskers": (known.confirmed, "confirmed seconds, 95 % interval"),
    }
    return {name: text if there else "" for name, (there, text) in shown.items()}


def _legend(confirmed: Verdict) -> str:
    time = "measured alone" if confirmed.time == "measured" else "the clock's solo ones"
    corrected = f"corrected for {confirmed.tested} recipes" if confirmed.tested > 1 else "one-sided"
    plural = "losses" if confirmed.metric.is_default else f"values of {confirmed.metric.short}"
    return (
        f"Medians over {len(confirmed.seeds)} fresh seeds, {plural} are means; seconds are {time}. "
        f"Gain: the control's seconds at the same {confirmed.metric.short} over the recipe's, "
        f"with Student's interval, drawn beside 1.00. p: {corrected}; a gain in bold wins, at "
        f"{confirmed.alpha:g}. Target: {confirmed.shown(confirmed.target_loss)}. p/m: the clock's "
        "seconds over the measured ones."
    )


def clock_check(summary: FrontSummary) -> str:
    """Predicted over measured seconds in words, or how to get them where nothing was confirmed."""
    confirmed = summary.background.confirmed
    if confirmed is None:
        return (
            f"Not checked yet: {summary.background.confirm_command} compares predicted seconds "
            "with measured ones."
        )
    every = [c.predicted_over_measured for c in confirmed.candidates]
    every += [run.predicted_over_measured for run in confirmed.control.runs]
    ratios = [ratio for ratio in every if ratio is not None]
    if not ratios:
        return "Not checked: the confirmation measured no seconds."
    lowest, highest = min(ratios), max(ratios)
    span = f"{lowest:.3f}" if lowest == highest else f"{lowest:.3f} to {highest:.3f}"
    return (
        f"Predicted over measured seconds: {span} in {len(ratios)} confirmed recipes, median "
        "over seeds of each."
    )


def _candidate(
    c: CandidateVerdict, confirmed: Verdict, axis: Axis, summary: FrontSummary
) -> list[AnyCell]:
    unsure = "< 0.0001" if c.p_corrected < 0.0001 else f"{c.p_corrected:.2g}"
    return [
        Cell(str(c.number), trial=c.number),
        Cell(c.recipe.name, tag=NEVER_FROZE if c.number in unfrozen(summary) else ""),
        Cell(form.gain(c.gain, c.bound), strong=c.wins),
        confirmed.shown(c.loss),
        form.seconds(c.seconds),
        _interval(c.gain, c.interval, axis),
        unsure,
        f"{c.reached} of {len(confirmed.seeds)}",
        form.seconds(c.seconds_to_target),
        *(_over(c.over[kind]) for kind in confirmed.rivals),
        _ratio(c.predicted_over_measured),
    ]


def _control(number: str, name: str, run: ControlRun, confirmed: Verdict) -> list[AnyCell]:
    name, reached = f"{name}, horizon {run.horizon:.3g}", f"{run.reached} of {run.seeds}"
    own = [confirmed.shown(run.loss), form.seconds(run.seconds)]
    over = [""] * len(confirmed.rivals)
    ratio = _ratio(run.predicted_over_measured)
    return [number, name, "", *own, "", "", reached, "", *over, ratio]


def _over(over: Against) -> AnyCell:
    """The gain over a rival, in bold where it wins, with its interval and p below."""
    if over.gain is None:
        return form.NOTHING
    below = f"{_written(over.interval)}, {p(over.p_corrected)}".removeprefix(", ")
    return Cell(form.gain(over.gain, over.bound), strong=over.wins, below=below)


def _ratio(ratio: float | None) -> str:
    return form.NOTHING if not ratio else f"{ratio:.3f}"


def _interval(gain: float | None, ends: Interval, axis: Axis) -> IntervalCell:
    """The interval as a bar across a rule at 1; an end that is open runs to the edge."""
    if gain is None:
        return IntervalCell(_written(ends))
    low, high = ends
    left, right = (
        (0.0 if low is None else axis.place(low)),
        (100.0 if high is None else axis.place(high)),
    )
    bar = None if ends == (None, None) else (left, 100 - right)
    return IntervalCell(_written(ends), axis.place(1), axis.place(gain), bar)


def _written(ends: Interval) -> str:
    low, high = (form.NOTHING if end is None else f"{end:.2f}" for end in ends)
    return "" if ends == (None, None) else f"{low} to {high}"
