"""A search space for a reader: the table that ``--help-space`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_spaces.base import SearchSpace
from search_spaces.knobs import Choice, Fixed, Knob, text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_space(space: SearchSpace, console: Console | None = None) -> None:
    """Print the knobs of ``space``: range, scale, unit, condition and meaning, one row each."""
    from rich.console import Console

    (console or Console(markup=False, emoji=False)).print(space_table(space))


def space_table(space: SearchSpace) -> Table:
    """The knobs of ``space`` in the order in which they are decided."""
    from rich import box
    from rich.table import Table

    about = f"policy {space.policy}" if space.policy else "the knob policy chooses the policy"
    table = Table(
        title=f"{space.name}: {space.title}",
        caption=f"{about}; {len(space.searched)} knobs are searched",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("knob", no_wrap=True)
    table.add_column("range, scale, unit")
    table.add_column("meaning, and where it applies")
    for knob in space.knobs:
        table.add_row(knob.name, _range(knob), _meaning(knob))
    return table


def _range(knob: Knob) -> str:
    unit = f"; {knob.unit}" if knob.unit else ""
    scale = f" ({_scale(knob)})" if _scale(knob) else ""
    return f"{knob.span()}{scale}{unit}"


def _meaning(knob: Knob) -> str:
    condition = f" [where {_condition(knob)}]" if knob.when else ""
    return f"{knob.meaning}{condition}"


def _scale(knob: Knob) -> str:
    if isinstance(knob, Fixed):
        return ""
    if isinstance(knob, Choice):
        return "choice"
    return "log" if getattr(knob, "log", False) else "linear"


def _condition(knob: Knob) -> str:
    return ", ".join(
        f"{name} = {' or '.join(map(text, values))}" for name, values in knob.when.items()
    )
