"""A search space for a reader: the table that ``--help-space`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from search_spaces.base import SearchSpace
    from search_spaces.knobs import Knob

COLUMNS = ("knob", "range", "scale", "unit", "applies where", "meaning")


def print_space(space: SearchSpace, console: Console | None = None) -> None:
    """Print the knobs of ``space``: range, scale, unit, condition and meaning, one row each."""
    from rich.console import Console

    (console or Console()).print(space_table(space))


def space_table(space: SearchSpace) -> Table:
    """The knobs of ``space`` in the order in which they are decided."""
    from rich.table import Table

    about = f"policy {space.policy}" if space.policy else "the knob policy chooses the policy"
    table = Table(title=f"{space.name}: {space.title}", caption=f"{about}; {len(space.searched)} knobs are searched")
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for knob in space.knobs:
        table.add_row(knob.name, knob.span(), _scale(knob), knob.unit, _condition(knob), knob.meaning)
    return table


def _scale(knob: Knob) -> str:
    from search_spaces.knobs import Choice, Fixed

    if isinstance(knob, Fixed):
        return ""
    if isinstance(knob, Choice):
        return "choice"
    return "log" if getattr(knob, "log", False) else "linear"


def _condition(knob: Knob) -> str:
    from search_spaces.knobs import text

    return ", ".join(f"{name} = {' or '.join(map(text, values))}" for name, values in knob.when.items())
