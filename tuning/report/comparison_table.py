"""A comparison in the terminal.

The table that reads like the research note's, with the control beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tuning.findings import format as form
from tuning.findings.comparison import FULL, WORDS, AgainstControl, Row, verdict

HEADINGS = (
    "schedule",
    "loss",
    "sd",
    "ms",
    "speed",
    "gap %",
    "control",
    "vs %",
    "levels",
    "active",
    "probes",
)
LEFT = ("schedule", "levels")
LEGEND = (
    "Means over seeds; sd: of the loss. ms: solo milliseconds a step; speed: full_update's over "
    "them. gap: loss above "
    "full_update's at the same steps or in the same time. control: loss of full_update trained for "
    "the schedule's own "
    "seconds; vs: the schedule's loss above it. levels: blocks active in reduced steps; active: "
    "mean over all steps. "
    "early, tuned, tuned_v2: presets of dynamic_suffix, reconstructed from the results in the "
    "research note."
)

UNQUIET = (
    "But the clock was not calibrated alone, and everything except the losses at equal steps rests "
    "on it: compare "
    "again on a quiet machine"
)


def print_comparison(
    summary: Sequence[Row],
    comparisons: Sequence[AgainstControl],
    console: Console,
    disturbances: Sequence[str] = (),
) -> None:
    """Write the tables, what their columns mean, what the control says, and what disturbed the
    clock to ``console``.
    """
    for mode in ("steps", "time"):
        console.print(comparison_table(mode, summary, comparisons))
        console.print()
    console.print(Text(LEGEND, style="dim"))
    if note := unfrozen_note(summary):
        console.print(Text(note))
    console.print(Text(f"\n{verdict(comparisons)}", style="bold"))
    if disturbances:
        console.print(Text(f"{UNQUIET} ({'; '.join(disturbances)})."))


def comparison_table(
    mode: str, summary: Sequence[Row], comparisons: Sequence[AgainstControl]
) -> Table:
    """The schedules at equal steps or at equal time.

    The control is a column, for it belongs to a schedule.
    """
    rows = [row for row in summary if row["mode"] == mode]
    full = next(row for row in rows if row["schedule"] == FULL)
    beside = {row["control_for"]: row["val_loss"] for row in summary if row["mode"] == "control"}
    above = {c.schedule: c.percent for c in comparisons if c.mode == mode}
    table = Table(
        title=_title(mode, full), box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False
    )
    table.title_justify = "left"
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in LEFT else "right", no_wrap=True)
    for row in rows:
        control = beside.get(row["schedule"]) if mode == "steps" else full["val_loss"]
        table.add_row(*_cells(row, None if row is full else control, above.get(row["schedule"])))
    return table


def unfrozen_note(summary: Sequence[Row]) -> str:
    """Which schedules never froze a block and so are full_update under another name.

    Empty where all did.
    """
    names = dict.fromkeys(
        f"{row['schedule']} at {WORDS[row['mode']]}"
        for row in summary
        if row["schedule"] != FULL and row["mode"] in WORDS and not row["levels"]
    )
    return f"Never froze a block: {', '.join(names)}." if names else ""


def _title(mode: str, full: Row) -> str:
    what = (
        f"{full['steps']:.0f} steps" if mode == "steps" else f"{form.seconds(full['seconds'])} solo"
    )
    return (
        f"{WORDS[mode].capitalize()}: {what} each, {full['n']} "
        f"{'seeds' if full['n'] > 1 else 'seed'}"
    )


def _cells(row: Row, control: float | None, above: float | None) -> list[str]:
    return [
        row["schedule"],
        form.loss(row["val_loss"]),
        _number(row["val_loss_sd"], ".2g"),
        _number(row["ms_per_step"], ".3g"),
        _number(row["speedup"], ".2f"),
        _number(row["gap_percent"], "+.1f"),
        form.loss(control),
        _number(above, "+.1f"),
        " ".join(map(str, row["levels"])) or form.NOTHING,
        _number(row["mean_active_blocks"], ".1f"),
        _number(row["probes"], ".0f"),
    ]


def _number(value: float | None, spec: str) -> str:
    return form.NOTHING if value is None else format(value, spec)
