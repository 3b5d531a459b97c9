"""A comparison in the terminal: the table that reads like the research note's, with the control
beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tuning.findings import format as form
from tuning.findings.comparison import FULL, WORDS, AgainstControl, Row, verdict
from tuning.trial.metric import LOSS, Metric

LEFT = ("schedule", "levels")
LEGEND = (
    "Means over seeds; sd: of the {0}. ms: solo milliseconds a step; speed: full_update's over "
    "them. gap: {0} above full_update's at the same steps or in the same time. control: {0} of "
    "full_update trained for the schedule's own seconds; vs: the schedule's {0} above it. levels: "
    "blocks active in reduced steps; active: mean over all steps. early, tuned, tuned_v2: presets "
    "of dynamic_suffix, reconstructed from the results in the research note."
)

UNQUIET = (
    "But the clock was not calibrated alone, and everything except the losses at equal steps rests "
    "on it: compare "
    "again on a quiet machine"
)


@dataclass(frozen=True)
class Comparison:
    """The comparison that is shown.

    Attributes:
        summary: every schedule in each mode over its seeds.
        beside: every schedule beside the control of equal seconds.
        metric: what a loss is the value of.
    """

    summary: Sequence[Row]
    beside: Sequence[AgainstControl]
    metric: Metric = LOSS

    @cached_property
    def power(self) -> int | None:
        """The power of ten in whose steps losses are shown, so that those that differ look it."""
        return form.told_apart(row["val_loss"] for row in self.summary)

    @property
    def in_percent(self) -> bool:
        """Whether differences are shown in per cent, which takes a metric above zero."""
        shares = [row["gap_percent"] for row in self.summary if row["gap"] is not None]
        return None not in (*shares, *(c.percent for c in self.beside))

    def shown(self, loss: float | None) -> str:
        """A loss as it is shown to a reader."""
        return form.loss(loss, self.power, self.metric)


def print_comparison(found: Comparison, console: Console, disturbances: Sequence[str] = ()) -> None:
    """Write the tables, what their columns mean, what the control says, and what disturbed the
    clock to ``console``.
    """
    for mode in ("steps", "time"):
        console.print(comparison_table(mode, found))
        console.print()
    console.print(Text(LEGEND.format(found.metric.short), style="dim"))
    if note := unfrozen_note(found.summary):
        console.print(Text(note))
    console.print(Text(f"\n{verdict(found.beside, found.metric)}", style="bold"))
    if disturbances:
        console.print(Text(f"{UNQUIET} ({'; '.join(disturbances)})."))


def comparison_table(mode: str, found: Comparison) -> Table:
    """The schedules at equal steps or at equal time. The control is a column and not a row: at
    equal steps each schedule has one of its own.
    """
    rows = [row for row in found.summary if row["mode"] == mode]
    full = next(row for row in rows if row["schedule"] == FULL)
    own = {r["control_for"]: r["val_loss"] for r in found.summary if r["mode"] == "control"}
    beside = {c.schedule: c for c in found.beside if c.mode == mode}
    table = Table(
        title=Text(_title(mode, full)),
        box=box.SIMPLE_HEAD,
        padding=0,
        pad_edge=False,
        show_edge=False,
    )
    table.title_justify = "left"
    for heading in _headings(found):
        justify: Literal["left", "right"] = "left" if heading in LEFT else "right"
        table.add_column(Text(heading), justify=justify, no_wrap=True)
    for row in rows:
        control = own.get(row["schedule"]) if mode == "steps" else full["val_loss"]
        control = None if row is full else control
        table.add_row(*_cells(row, control, beside.get(row["schedule"]), found))
    return table


def _headings(found: Comparison) -> tuple[str, ...]:
    unit = " %" if found.in_percent else ""
    first = ("schedule", found.metric.short, "sd", "ms", "speed", f"gap{unit}")
    return (*first, "control", f"vs{unit}", "levels", "active", "probes")


def unfrozen_note(summary: Sequence[Row]) -> str:
    """Which schedules never froze a block and so are full_update under another name; empty where
    all froze some.
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


def _cells(
    row: Row, control: float | None, beside: AgainstControl | None, found: Comparison
) -> list[str]:
    return [
        row["schedule"],
        found.shown(row["val_loss"]),
        _number(row["val_loss_sd"], ".2g"),
        _number(row["ms_per_step"], ".3g"),
        _number(row["speedup"], ".2f"),
        _difference(row["gap_percent"], row["gap"], found),
        found.shown(control),
        _beside(beside, found),
        " ".join(map(str, row["levels"])) or form.NOTHING,
        _number(row["mean_active_blocks"], ".1f"),
        _number(row["probes"], ".0f"),
    ]


def _beside(beside: AgainstControl | None, found: Comparison) -> str:
    if beside is None:
        return form.NOTHING
    return _difference(beside.percent, found.metric.of(beside.above), found)


def _difference(percent: float | None, value: float | None, found: Comparison) -> str:
    """A difference between two values of the metric, in per cent where the whole table is."""
    return _number(percent, "+.1f") if found.in_percent else _number(value, "+.2g")


def _number(value: float | None, spec: str) -> str:
    return form.NOTHING if value is None else format(value, spec)
