"""What each piece of a recipe brings: a table with bars, in the terminal and on the page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from tuning.findings import format as form
from tuning.findings.apart import Apart, Brought, Measured
from tuning.findings.apart_words import brings, shown
from tuning.findings.called import CALLED
from tuning.findings.summary import FrontSummary
from tuning.findings.win_words import leader
from tuning.report.cells import AnyCell, BarCell, Cell, Note, Table
from tuning.trial.recipe import OWN

BLOCKS = 14
"""Columns of the terminal's longest bar."""
LEVER, BRINGS, SECONDS, WITHOUT, ALONE = "Lever", "Brings", "Seconds", "Gain without", "Alone"
ALL = "nothing off"


def print_apart(apart: Apart, console: Console) -> None:
    """Write the sentence, the table with its bars and what the columns mean to ``console``."""
    if apart.pieces:
        console.print(terminal_table(apart))
        console.print(Text(legend(apart), style="dim"))
        console.print(Text())
    console.print(Text(apart.sentence, style="bold"))
    for text in filter(None, (apart.interaction, failures(apart))):
        console.print(Text(text))


def terminal_table(apart: Apart) -> Grid:
    """A row for the whole recipe, then one for each piece, the one that brings most first."""
    table = Grid(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column(Text("lever off"))
    for heading in ("seconds", apart.metric.short, "gain", "brings", "alone"):
        table.add_column(Text(heading), justify="right", no_wrap=True)
    table.add_column(Text(""), no_wrap=True)
    table.add_row("none", *_figures(apart.whole, apart), "", "", "", style="bold")
    for piece, share in zip(apart.pieces, shares(apart.pieces), strict=True):
        figures = _figures(piece.without, apart)
        table.add_row(Text(piece.name), *figures, brings(piece), _alone(piece), _drawn(share))
    return table


def _figures(measured: Measured | None, apart: Apart) -> tuple[str, str, str]:
    """Seconds, loss and gain as they are shown."""
    if measured is None:
        return form.NOTHING, form.NOTHING, form.NOTHING
    return form.seconds(measured.seconds), apart.shown(measured.loss), shown(measured.gain)


def _alone(piece: Brought) -> str:
    return shown(piece.alone.gain if piece.alone else None)


def _drawn(share: float) -> str:
    """A bar of characters: filled for a piece that gains, light for one that loses."""
    return ("█" if share > 0 else "░") * round(BLOCKS * abs(share))


def shares(pieces: Sequence[Brought]) -> list[float]:
    """The length of each piece's bar, from -1 to 1: the logarithm of what it brings over the
    largest such logarithm, because gains multiply.
    """
    logs = [math.log(piece.brings.value) if piece.brings else 0.0 for piece in pieces]
    longest = max(map(abs, logs), default=0.0)
    return [log / longest if longest else 0.0 for log in logs]


def legend(apart: Apart) -> str:
    """What the columns mean."""
    noise = " ≈: another seed could turn it round." if any(p.in_noise for p in apart.pieces) else ""
    return (
        f"gain: seconds of {CALLED[OWN]} at the same {apart.metric.short} / seconds, with the "
        "lever off. brings: the gain of all together over that. alone: the gain with nothing but "
        f"the lever. A bar is the logarithm of what it brings, light where it loses.{noise}"
    )


def failures(apart: Apart) -> str:
    """How many of the runs failed; empty where none did."""
    if not apart.failed:
        return ""
    runs = "1 run" if apart.failed == 1 else f"{apart.failed} runs"
    return f"{runs} did not finish; what is missing is –."


def apart_table(summary: FrontSummary) -> Table | None:
    """The page's table; None before a recipe was taken apart, or where there was nothing to."""
    apart = summary.background.apart
    if apart is None or not apart.pieces:
        return None
    loss = apart.metric.heading
    headings = (LEVER, BRINGS, "", WITHOUT, ALONE, SECONDS, loss)
    whole = _figures(apart.whole, apart)
    rows: list[list[AnyCell]] = [
        _row(piece, share, apart)
        for piece, share in zip(apart.pieces, shares(apart.pieces), strict=True)
    ]
    rows.append([ALL, "", "", Cell(whole[2], strong=True), "", whole[0], whole[1]])
    notes = (apart.sentence, apart.interaction, legend(apart), failures(apart), _since(summary))
    return Table(
        f"What each lever of trial {apart.number} brings",
        headings,
        rows,
        frozenset(headings) - {LEVER, ""},
        [Note(text) for text in notes if text],
    )


def _row(piece: Brought, share: float, apart: Apart) -> list[AnyCell]:
    seconds, loss, gain = _figures(piece.without, apart)
    name = Cell(piece.name, below=form.knobs(piece.knobs))
    bold = Cell(brings(piece), strong=not piece.in_noise, quiet=bool(piece.in_noise))
    return [name, bold, BarCell(100 * abs(share), share < 0), gain, _alone(piece), seconds, loss]


def _since(summary: FrontSummary) -> str:
    """A sentence on the trial that leads by now, where it is another; else empty."""
    apart, best = summary.background.apart, leader(summary)
    if apart is None or best is None or best.number == apart.number:
        return ""
    return f"The search's best is trial {best.number}."
