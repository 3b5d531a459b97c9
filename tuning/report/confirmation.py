"""What a confirmation found, as the page shows it.

A table with the intervals drawn, and the clock's check.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from tuning.findings import format as form
from tuning.findings.front import never_froze
from tuning.findings.summary import FrontSummary
from tuning.findings.words import NEVER_FROZE, unfrozen
from tuning.report.grid import table

if TYPE_CHECKING:
    from tuning.findings.verdict import CandidateVerdict, Interval, Verdict

HEADINGS = (
    "#",
    "Schedule",
    "Gain",
    "95 % interval",
    "p, corrected",
    "Met target",
    "Seconds to it",
    "Seconds",
    "Loss",
    "Predicted / measured",
)
FIGURES = frozenset(HEADINGS) - {"Schedule", "95 % interval"}
BOUNDS = {"": "", "at least": "≥ ", "at most": "≤ "}


@dataclass(frozen=True)
class Axis:
    """The gains that a drawn interval spans, the same for all of a table."""

    low: float
    high: float

    @classmethod
    def around(cls, gains: Iterable[float]) -> Axis:
        """All ``gains`` and 1, with a margin."""
        every = [1.0, *gains]
        margin = 0.08 * (max(every) - min(every) or 1.0)
        return cls(min(every) - margin, max(every) + margin)

    def place(self, gain: float) -> float:
        """Per cent from the left."""
        return 100 * (gain - self.low) / (self.high - self.low)


def confirmed_section(summary: FrontSummary) -> str:
    """The confirmed schedules and their control; nothing before a confirmation."""
    confirmed = summary.background.confirmed
    if confirmed is None:
        return ""
    known = (c.gain for c in confirmed.candidates)
    ends = (end for c in confirmed.candidates for end in c.interval)
    axis = Axis.around(value for value in (*known, *ends) if value is not None)
    rows = [_candidate(c, confirmed, axis, summary) for c in confirmed.candidates]
    rows += [_control(confirmed, at) for at in range(len(confirmed.control.runs))]
    notes = [_legend(confirmed), *remarks(confirmed)]
    after = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    title = f"Confirmed over {len(confirmed.seeds)} fresh seeds"
    return table(title, HEADINGS, rows, figures=FIGURES, after=after, kind="confirmed")


def remarks(confirmed: Verdict) -> list[str]:
    """The control's exchange rate, whether the machine was quiet, and what is to be said of single
    schedules.
    """
    from tuning.report.verdict_table import LOUD, exchange_rate, loud

    found = [exchange_rate(confirmed.control)]
    spread = confirmed.control.time_spread or 0.0
    if confirmed.time == "measured" and spread > LOUD:
        found.append(loud(spread))
    return found + [f"#{c.number}: {c.note}." for c in confirmed.candidates if c.note]


def marks(summary: FrontSummary) -> str:
    """What stands in the picture's legend beside the marks that every page has."""
    known = summary.background
    marks = (
        (
            never_froze(summary.front).any(),
            '<circle class="front unfrozen" cx="6" cy="6" r="4.5"/>',
            NEVER_FROZE,
        ),
        (known.noise, '<rect class="band" width="12" height="12"/>', "within noise of the control"),
        (
            known.confirmed,
            '<path class="whisker" d="M1 6h10M1 3v6M11 3v6"/>',
            "confirmed seconds, 95 % interval",
        ),
    )
    return "".join(
        f'<span><svg viewBox="0 0 12 12">{mark}</svg>{text}</span>'
        for shown, mark, text in marks
        if shown
    )


def _legend(confirmed: Verdict) -> str:
    time = (
        "measured alone"
        if confirmed.time == "measured"
        else "the clock's, because not every run was measured"
    )
    corrected = (
        f"corrected for {confirmed.tested} schedules" if confirmed.tested > 1 else "one-sided"
    )
    return (
        f"Medians over {len(confirmed.seeds)} fresh seeds, losses are means; seconds are {time}. "
        "Gain: the control's "
        "seconds at the same loss over the schedule's, with Student's interval, drawn beside "
        f"1.00. p: {corrected}; "
        f"a gain in bold wins, at {confirmed.alpha:g}. Target: {form.loss(confirmed.target_loss)}."
    )


def clock_check(summary: FrontSummary) -> str:
    """Predicted over measured seconds in words; how to have them where nothing was confirmed."""
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
        f"Predicted over measured seconds: {span} in {len(ratios)} confirmed schedules, median "
        "over seeds of each."
    )


def _candidate(
    c: CandidateVerdict, confirmed: Verdict, axis: Axis, summary: FrontSummary
) -> list[str]:
    tag = f' <i class="tag">{NEVER_FROZE}</i>' if c.number in unfrozen(summary) else ""
    gain = BOUNDS[c.bound] + form.gain(c.gain)
    return [
        f'<button type="button" class="pick" data-trial="{c.number}">{c.number}</button>',
        f"{escape(c.recipe.name)}{tag}",
        f"<b>{gain}</b>" if c.wins else gain,
        _drawn(c.gain, c.interval, axis) + _written(c.interval),
        escape("< 0.0001" if c.p_corrected < 0.0001 else f"{c.p_corrected:.2g}"),
        f"{c.reached} of {len(confirmed.seeds)}",
        *(
            escape(text)
            for text in _shared(c.seconds_to_target, c.seconds, c.loss, c.predicted_over_measured)
        ),
    ]


def _control(confirmed: Verdict, at: int) -> list[str]:
    run = confirmed.control.runs[at]
    rest = _shared(None, run.seconds, run.loss, run.predicted_over_measured)
    return [
        "",
        f"control, horizon {run.horizon:.3g}",
        "",
        "",
        "",
        f"{run.reached} of {run.seeds}",
        "",
        *rest[1:],
    ]


def _shared(
    to_target: float | None, seconds: float | None, loss: float | None, ratio: float | None
) -> list[str]:
    return [
        form.seconds(to_target),
        form.seconds(seconds),
        form.loss(loss),
        form.NOTHING if not ratio else f"{ratio:.3f}",
    ]


def _drawn(gain: float | None, interval: Interval, axis: Axis) -> str:
    """The interval as a bar across a rule at 1; an end that is open runs to the edge."""
    if gain is None:
        return ""
    low, high = interval
    left, right = (
        (0.0 if low is None else axis.place(low)),
        (100.0 if high is None else axis.place(high)),
    )
    bar = (
        f'<i style="left:{left:.1f}%;right:{100 - right:.1f}%"></i>'
        if (low, high) != (None, None)
        else ""
    )
    return (
        f'<span class="interval" aria-hidden="true"><u style="left:{axis.place(1):.1f}%"></u>{bar}'
        f'<b style="left:{axis.place(gain):.1f}%"></b></span>'
    )


def _written(interval: Interval) -> str:
    low, high = (form.NOTHING if end is None else f"{end:.2f}" for end in interval)
    return f"<span>{low} to {high}</span>" if interval != (None, None) else form.NOTHING
