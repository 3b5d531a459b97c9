"""The verdict in a terminal, readable at 80 columns and in a log."""

from __future__ import annotations

from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tuning.findings import format as form
from tuning.findings.called import CALLED
from tuning.findings.verdict import (
    Against,
    CandidateVerdict,
    ControlRun,
    Interval,
    RivalVerdict,
    Verdict,
)
from tuning.findings.verdict_words import p
from tuning.trial.metric import Metric
from tuning.trial.recipe import OWN, ControlKind

LOUD = 0.05
"""A spread of measured seconds above which time is the larger part of the noise."""
BEFORE, AFTER = ("", "#", "recipe", "seconds"), ("gain", "95 %", "p", "met", "target", "p/m")
"""Headings on either side of the metric's."""


def print_verdict(verdict: Verdict, console: Console, remark: str = "") -> None:
    """Write the table of schedules and control, the exchange rate and the sentence to
    ``console``.
    """
    console.print(verdict_table(verdict))
    console.print(Text(legend(verdict), style="dim"))
    for candidate in verdict.candidates:
        levers = candidate.recipe.name if candidate.recipe.pulled else ""
        told = [over_rival(kind, over) for kind, over in candidate.over.items()]
        remarks = (
            levers,
            *told,
            _by_clock(candidate, verdict),
            _bootstrap(candidate),
            candidate.note,
        )
        details = "; ".join(filter(None, remarks))
        if details:
            console.print(Text(f"#{candidate.number}: {details}"))
    for kind, rival in verdict.rivals.items():
        console.print(Text(over_own(kind, rival)))
    for kind, number in verdict.behind.items():
        console.print(Text(left_out(kind, number)))
    if remark:
        console.print(Text(f"{remark[0].upper()}{remark[1:]}."))
    console.print(Text(exchange_rate(verdict)))
    if verdict.time == "measured" and (verdict.control.time_spread or 0.0) > LOUD:
        console.print(Text(loud(verdict.control.time_spread or 0.0)))
    console.print(Text(f"\n{verdict.sentence}", style="bold"))


def verdict_table(verdict: Verdict) -> Table:
    """The schedules, then the control by horizon."""
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    for heading in (*BEFORE, verdict.metric.short, *AFTER):
        justify: Literal["left", "right"] = "left" if heading in ("", "recipe") else "right"
        table.add_column(Text(heading), justify=justify, no_wrap=True)
    for c in verdict.candidates:
        table.add_row(*_cells(c, verdict), style="bold" if c.wins else "")
    table.add_section()
    for run in verdict.control.runs:
        table.add_row(*_control("", "control", run, verdict), style="dim")
    for kind, rival in verdict.rivals.items():
        for run in rival.runs:
            table.add_row(*_control(str(rival.number), kind, run, verdict), style="dim")
    return table


def _control(number: str, name: str, run: ControlRun, verdict: Verdict) -> list[str]:
    figures = [_number(run.seconds), verdict.shown(run.loss), "", "", ""]
    reached, ratio = f"{run.reached}/{run.seeds}", form.gain(run.predicted_over_measured)
    return ["", number, f"{name} {run.horizon:.3g}", *figures, reached, "", ratio]


def _cells(c: CandidateVerdict, verdict: Verdict) -> list[str | Text]:
    return [
        "*" if c.wins else "",
        str(c.number),
        Text(c.recipe.short_name),
        _number(c.seconds),
        verdict.shown(c.loss),
        form.gain(c.gain, c.bound),
        interval(c.interval),
        "<0.001" if c.p_corrected < 0.001 else f"{c.p_corrected:.2g}",
        f"{c.reached}/{len(verdict.seeds)}",
        _number(c.seconds_to_target),
        form.gain(c.predicted_over_measured),
    ]


def _number(seconds: float | None) -> str:
    return form.seconds(seconds).removesuffix(" s")


def interval(ends: Interval) -> str:
    """Both ends to two decimals, with nothing for an open end: ``1.02–1.08``, ``1.02–``."""
    low, high = ("" if end is None else f"{end:.2f}" for end in ends)
    return f"{low}–{high}"


def over_rival(kind: ControlKind, over: Against) -> str:
    """The gain over a rival in one line: ``gain over tuned 1.28 (1.21–1.35), p = 0.001``."""
    if over.gain is None:
        return f"no gain over {kind}: {over.note}"
    return (
        f"gain over {kind} {form.gain(over.gain, over.bound)} ({interval(over.interval)}), "
        f"{p(over.p_corrected)}"
    )


def over_own(kind: ControlKind, rival: RivalVerdict) -> str:
    """Which trial a rival is, and what it gains over the own control itself."""
    own = over_rival(OWN, rival.over_own)
    return f"{kind}: {CALLED[kind]}, {rival.recipe.name} #{rival.number}; {own}."


def left_out(kind: ControlKind, number: int) -> str:
    """Why a rival was not trained again."""
    return f"{kind}: {CALLED[kind]} gained nothing in the search (#{number}): not trained again."


def _by_clock(candidate: CandidateVerdict, verdict: Verdict) -> str:
    if candidate.solo_gain is None or verdict.time == "solo":
        return ""
    return (
        f"gain by the clock's solo seconds {form.gain(candidate.solo_gain)} "
        f"({interval(candidate.solo_interval)})"
    )


def loud(spread: float) -> str:
    """The sentence that the machine was not quiet, and what to do about it."""
    return (
        f"The control's measured seconds stray by {100 * spread:.0f} % from what its steps should "
        "take, which widens "
        "every interval: something else ran, or the machine's speed drifted. Confirm on a quiet "
        "machine, or with more "
        "--seeds."
    )


def _bootstrap(candidate: CandidateVerdict) -> str:
    ends = candidate.bootstrap_interval
    return "" if ends == (None, None) else f"bootstrap interval of the gain {interval(ends)}"


def legend(verdict: Verdict) -> str:
    """What the columns mean."""
    time = "measured alone" if verdict.time == "measured" else "the clock's solo ones"
    corrected = f"corrected for {verdict.tested}" if verdict.tested > 1 else "one-sided"
    metric = verdict.metric
    plural = "losses" if metric.is_default else f"values of {metric.short}"
    return (
        f"*: wins. Medians over {len(verdict.seeds)} fresh seeds, {plural} are means; seconds are "
        f"{time}. gain: control's seconds at the same {metric.short} / seconds, with Student's "
        f"interval. p: {corrected}, a win at {verdict.alpha:g}. met: seeds that met the target "
        f"{verdict.shown(verdict.target_loss)}; target: seconds to it, – where half of the seeds "
        "missed it. p/m: the clock's seconds over the measured ones."
    )


def exchange_rate(verdict: Verdict) -> str:
    """What one per cent more time changes in the control's loss, in words."""
    control, metric = verdict.control, verdict.metric
    if control.loss_per_percent is None:
        return "The control has no exchange rate: on no seed did it finish at two horizons."
    rate, (low, high) = control.loss_per_percent, control.loss_per_percent_interval
    unsure = low is not None and high is not None and low < 0 < high
    verb = metric.improves if rate > 0 else metric.worsens
    told = f"{verb} the control's {metric.short} by {form.strays(abs(rate))}"
    if unsure or rate == 0:
        told = f"does not surely change the control's {metric.short}"
    sure = "" if low is None or high is None or low == high else _either_way(low, high, metric)
    return f"One per cent more time {told}{sure}."


def _either_way(low: float, high: float, metric: Metric) -> str:
    """The interval of a difference in words, each end as better or worse."""
    ends = [
        f"{form.strays(abs(by))} {metric.better if by > 0 else metric.worse}" for by in (low, high)
    ]
    return f" (95 % interval {ends[0]} to {ends[1]})"
