"""The report in a terminal: the front against the control, readable at 80 columns and in a log."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import pandas as pd
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tuning.findings import format as form
from tuning.findings.called import CALLED
from tuning.findings.next_step import next_step
from tuning.findings.rows import Row, changed_knobs, gain_texts, member, never_froze, rows_of
from tuning.findings.summary import FrontSummary, fastest_at
from tuning.findings.win_words import named
from tuning.findings.words import (
    NEVER_FROZE,
    caution,
    counts,
    headline,
    noise_note,
    seeds_note,
    stopping_note,
    unfrozen_note,
)
from tuning.layout import program
from tuning.report.apart import print_apart
from tuning.report.confirmation import remarks
from tuning.trial.recipe import OWN, SMALLER, TUNED, recipe_of

BEFORE, AFTER = ("", "#", "policy", "horizon", "seconds"), ("FLOP", "FLOP/s", "overhead")
"""Headings on either side of the metric's and of the gains'."""
GAINS = {OWN: "gain", TUNED: "tuned", SMALLER: "fewer"}
"""Headings of the gains, by the control that they are over."""
FIGURES_FROM = 3
MOST_KNOBS = 5
"""The number of members of the front whose knobs are printed. A front may have dozens, and their
knobs would fill pages.
"""
LEAST = len(BEFORE) + 1
"""The number of columns that are never left out: those up to the loss."""
BOUNDLESS = 10_000
HARDLY = 0.1
"""A column that varies by less than this fraction of its least figure says nothing about its
rows.
"""
FIGURE = re.compile(r"([\d.]+)(\w*)")
LEGEND = (
    "Front: what no other run beats in both. horizon: length, as a share of your own recipe's. "
    "gain: seconds of the own control's line at the same {} / seconds{}. "
    "seconds = FLOP / (FLOP/s) + overhead; all solo seconds."
)


def print_report(summary: FrontSummary, console: Console) -> None:
    """Write to ``console`` the verdict, what to do next, what was confirmed, the front, the knobs
    of its best and the counts.
    """
    console.print(Text(headline(summary), style="bold"))
    _print_next(summary, console)
    _print_confirmed(summary, console)
    table, even = without_even(front_table(summary))
    console.print(fitted(table, console))
    console.print(Text(legend(summary, even), style="dim"))
    _print_knobs(summary, console)
    for note in filter(None, (seeds_note(summary), unfrozen_note(summary), stopping_note(summary))):
        console.print(Text(f"\n{note}"))
    console.print(Text(f"\n{counts(summary)[0].upper()}{counts(summary)[1:]}."))
    if summary.background.sampler:
        console.print(Text(f"Sampler: {summary.background.sampler}."))
    if told := caution(summary):
        console.print(Text(told))
    if summary.background.apart is not None:
        console.print(Text(f"\nTrial {summary.background.apart.number} taken apart:"))
        print_apart(summary.background.apart, console)


def _print_next(summary: FrontSummary, console: Console) -> None:
    """Print the next command on a line of its own and unbroken, so that it can be copied."""
    step = next_step(summary)
    if step is not None:
        console.print(Text(f"Next: {step.why}"))
        console.print(Text(f"  {step.command}"), soft_wrap=True)
    console.print()


def _print_confirmed(summary: FrontSummary, console: Console) -> None:
    confirmed = summary.background.confirmed
    if confirmed is None:
        return
    from tuning.report import verdict_table as confirm_table

    console.print(confirm_table.verdict_table(confirmed))
    console.print(Text(confirm_table.legend(confirmed), style="dim"))
    for remark in remarks(confirmed):
        console.print(Text(remark))
    console.print(Text("\nThe front of the search, on one seed:"))


def _print_knobs(summary: FrontSummary, console: Console) -> None:
    rows = rows_of(summary.front)
    every = [row for row in rows if not recipe_of(row).is_control]
    chosen = [row for row in rows if row["number"] in told_in_full(summary)]
    if chosen:
        console.print("\nKnobs that differ from their defaults:", highlight=False)
    for row in chosen:
        console.print(_knobs(row))
    if rest := len(every) - len(chosen):
        others = f"{rest} more members of the front" if rest > 1 else "one more member of the front"
        where = f"Those of {others}: report.html, or {program('pareto')} with --csv FILE."
        console.print(Padding(Text(where), (0, 0, 0, 2)))


def told_in_full(summary: FrontSummary) -> set[int]:
    """Numbers of the schedules whose knobs are printed: all of them if they are few, else those
    that a reader asks for first.

    Those are the ones nearest to the target on either side, then the ones that beat the control by
    more than noise, the largest lead first.
    """
    facts = [
        member(row, summary) for row in rows_of(summary.front) if not recipe_of(row).is_control
    ]
    if len(facts) <= MOST_KNOBS:
        return {fact["number"] for fact in facts}
    leads = {fact["number"]: _lead(fact, summary) for fact in facts}
    ahead = sorted((n for n, lead in leads.items() if lead > 0), key=lambda n: -leads[n])
    at, target = [fact["number"] for fact in facts if fact["reached"]][:1], summary.target
    before = (
        [] if target is None else [fact["number"] for fact in facts if not fact["reached"]][-1:]
    )
    return set(list(dict.fromkeys(at + before + ahead))[:MOST_KNOBS]) or {facts[0]["number"]}


def _lead(fact: Row, summary: FrontSummary) -> float:
    """By how much more than noise a schedule's loss lies below the control's at its seconds; 0 for
    a schedule that never froze a block and where the control's line does not say.
    """
    there, noise = summary.line.loss_at(fact["train_seconds"]), summary.background.noise
    if there is None or fact["never_froze"]:
        return 0.0
    return there - float(fact["val_loss"]) - (0.0 if noise is None else noise.limit)


def front_table(summary: FrontSummary) -> Table:
    """Members of the front by seconds, then the control runs that are not on it."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    gains = [GAINS[kind] for kind in summary.controls.lines]
    for index, heading in enumerate((*BEFORE, summary.metric.short, *gains, *AFTER)):
        figure = index >= FIGURES_FROM or heading == "#"
        table.add_column(Text(heading), justify="right" if figure else "left", no_wrap=True)
    marked = marked_number(summary)
    for row in rows_of(summary.front):
        chosen = row["number"] == marked
        table.add_row(
            *_cells(row, summary, mark="*" if chosen else ""), style="bold" if chosen else ""
        )
    beside = _off_front(summary)
    if len(beside):
        table.add_section()
    for row in rows_of(beside):
        chosen = row["number"] == marked
        mark, style = ("*", "bold") if chosen else ("", "dim")
        table.add_row(*_cells(row, summary, mark=mark), style=style)
    return table


def marked_number(summary: FrontSummary) -> int | None:
    """The trial that the verdict names; where it names none, the first at the target."""
    best = named(summary)
    if best is not None:
        return best.number
    first = None if summary.target is None else fastest_at(summary.front, summary.target)
    return None if first is None else int(first["number"])


def without_even(table: Table) -> tuple[Table, dict[str, str]]:
    """The table without those of its last columns that hardly vary, and what each holds."""
    even: dict[str, str] = {}
    for heading in AFTER:
        column = next(c for c in table.columns if str(c.header) == heading)
        cells = [str(cell) for cell in column.cells]
        if len(cells) > 1 and _spread(cells) < HARDLY:
            if (usual := cells[len(cells) // 2]) != form.NOTHING:
                even[heading] = usual
            table.columns.remove(column)
    return table, even


def _spread(cells: Sequence[str]) -> float:
    """By how much the largest of some figures exceeds the smallest, as a fraction; 0 where they
    read the same, infinity where they are no figures of one unit.
    """
    if len(set(cells)) == 1:
        return 0.0
    figures = [FIGURE.fullmatch(cell) for cell in cells]
    known = [(float(found[1]), found[2]) for found in figures if found]
    if len(known) < len(cells) or len({unit for _, unit in known}) > 1:
        return math.inf
    least, most = (pick(value for value, _ in known) for pick in (min, max))
    return math.inf if least <= 0 else most / least - 1


def fitted(table: Table, console: Console) -> Table:
    """The table with narrow gaps, then without its last columns, and then without the horizon,
    where it is too wide for ``console``: half a number tells less than none.
    """
    boundless = console.options.update(max_width=BOUNDLESS)

    def too_wide() -> bool:
        return console.measure(table, options=boundless).maximum > console.width

    if too_wide():
        table.padding = 0
    while too_wide() and len(table.columns) > LEAST:
        table.columns.pop()
    if too_wide():
        del table.columns[BEFORE.index("horizon")]
    return table


def _off_front(summary: FrontSummary) -> pd.DataFrame:
    """Control runs off the front, and the trial that the verdict names where it is off it too."""
    beside = summary.control[~summary.control["number"].isin(summary.front["number"])]
    named_too = summary.others[summary.others["number"] == marked_number(summary)]
    return pd.concat([beside, named_too]) if len(named_too) else beside


def legend(summary: FrontSummary, even: Mapping[str, str] | None = None) -> str:
    """What the marks and the columns of ``front_table`` mean; ``even`` has what the columns that
    were left out hold.
    """
    metric = summary.metric
    parts = [LEGEND.format(metric.short, _rivals(summary))]
    parts += [f"{heading}: {value} in all." for heading, value in (even or {}).items()]
    if named(summary) is not None:
        parts.insert(0, "*: the trial that the first line names.")
    elif summary.front_seconds is not None:
        where = f"at or {metric.beyond} the target {summary.shown(summary.target)}"
        parts.insert(0, f"*: first {where}.")
    shown = pd.concat([summary.front, _off_front(summary)])
    if any(recipe_of(row).pulled for row in rows_of(shown)):
        parts.append("+: with levers, which the knobs below name.")
    if len(_off_front(summary)):
        parts.append("Below the rule: control runs off the front.")
    if note := noise_note(summary):
        parts.append(note)
    return " ".join(parts)


def _rivals(summary: FrontSummary) -> str:
    """What the further columns of gains are over."""
    known = [f"{GAINS[kind]}: over {CALLED[kind]}" for kind in summary.controls.lines]
    return "".join(f"; {words}" for words in known[1:])


def _cells(row: Row, summary: FrontSummary, mark: str) -> list[str | Text]:
    facts = member(row, summary)
    own, *rivals = gain_texts(row, summary)
    return [
        mark,
        str(row["number"]),
        Text(recipe_of(row).short_name),
        f"{row['horizon']:.3g}",
        form.seconds(row["train_seconds"]).removesuffix(" s"),
        summary.shown(row["val_loss"]),
        ("≈" if facts["within_noise"] else "") + own,
        *rivals,
        form.amount(row.get("required_flops")).replace(" ", ""),
        form.amount(row.get("effective_flops_per_second")).replace(" ", ""),
        form.seconds(row.get("pipeline_overhead_seconds")).removesuffix(" s"),
    ]


def _knobs(row: Row) -> Padding:
    changed = form.knobs(changed_knobs(row)) or "none"
    name = (
        f"#{row['number']} {recipe_of(row).name}{f' ({NEVER_FROZE})' if never_froze(row) else ''}"
    )
    return Padding(Text(f"{name}: {changed}"), (0, 0, 0, 2))
