"""The report in a terminal: the front against the control, readable at 80 columns and in a log."""

from __future__ import annotations

import pandas as pd
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tuning import report_format as form
from tuning.pareto_front import CONTROL_POLICY, FrontSummary, fastest_at
from tuning.report_rows import Row, changed_knobs, member, rows_of
from tuning.report_words import caution, counts, verdict

HEADINGS = ("", "#", "policy", "horizon", "seconds", "loss", "gain", "FLOP", "FLOP/s", "overhead")
FIGURES_FROM = 3
LEGEND = (
    "gain: seconds of the control's line at the same loss / seconds. "
    "seconds = FLOP / (FLOP/s) + overhead; all solo seconds."
)


def print_report(summary: FrontSummary, console: Console) -> None:
    """Write the table, the knobs of its schedules, the counts and the verdict to ``console``."""
    rows = rows_of(summary.front)
    console.print(front_table(summary))
    console.print(Text(legend(summary), style="dim"))
    schedules = [row for row in rows if row["policy"] != CONTROL_POLICY]
    if schedules:
        console.print("\nKnobs that differ from their defaults:", highlight=False)
    for row in schedules:
        console.print(_knobs(row))
    console.print(Text(f"\n{counts(summary)[0].upper()}{counts(summary)[1:]}."))
    console.print(Text(verdict(summary), style="bold"))
    if caution(summary):
        console.print(Text(caution(summary)))


def front_table(summary: FrontSummary) -> Table:
    """Members of the front by seconds, then the control runs that are not on it."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for index, heading in enumerate(HEADINGS):
        figure = index >= FIGURES_FROM or heading == "#"
        table.add_column(heading, justify="right" if figure else "left", no_wrap=True)
    first = None if summary.target is None else fastest_at(summary.front, summary.target)
    for row in rows_of(summary.front):
        chosen = first is not None and row["number"] == first["number"]
        table.add_row(*_cells(row, summary, mark="*" if chosen else ""), style="bold" if chosen else "")
    beside = _off_front(summary)
    if len(beside):
        table.add_section()
    for row in rows_of(beside):
        table.add_row(*_cells(row, summary, mark=""), style="dim")
    return table


def _off_front(summary: FrontSummary) -> pd.DataFrame:
    return summary.control[~summary.control["number"].isin(summary.front["number"])]


def legend(summary: FrontSummary) -> str:
    """What the marks and the columns of ``front_table`` mean."""
    parts = [LEGEND]
    if summary.front_seconds is not None:
        parts.insert(0, f"*: first at or below the target {form.loss(summary.target)}.")
    if len(_off_front(summary)):
        parts.append("Below the rule: control runs off the front.")
    return " ".join(parts)


def _cells(row: Row, summary: FrontSummary, mark: str) -> list[str]:
    facts = member(row, summary)
    return [
        mark,
        str(row["number"]),
        str(row["policy"]),
        f"{row['horizon']:.3g}",
        form.seconds(row["train_seconds"]).removesuffix(" s"),
        form.loss(row["val_loss"]),
        form.gain(facts["gain"]),
        form.amount(row.get("required_flops")),
        form.amount(row.get("effective_flops_per_second")),
        form.seconds(row.get("pipeline_overhead_seconds")),
    ]


def _knobs(row: Row) -> Padding:
    changed = form.knobs(changed_knobs(row)) or "none"
    return Padding(Text(f"#{row['number']} {row['policy']}: {changed}"), (0, 0, 0, 2))
