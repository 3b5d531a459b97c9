"""What the page's tables are made of: plain values, which the templates write as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

Facts = list[tuple[str, "str | Facts"]]
"""Names and values; those of a mapping are nested."""


@dataclass(frozen=True)
class Cell:
    """A text and what stands beside it.

    Attributes:
        text: what it says.
        trial: number of the trial that the text, then a button, shows.
        strong: set in bold.
        quiet: set in grey, as what may be noise is.
        tag: small words after the text.
        below: small words on a line of their own.
    """

    text: str
    trial: int | None = None
    strong: bool = False
    quiet: bool = False
    tag: str = ""
    below: str = ""
    kind: ClassVar = "text"


@dataclass(frozen=True)
class KnobsCell:
    """A trial's knobs: those that are ``changed`` from their defaults, by name and value, and how
    many are not, ``rest``.
    """

    changed: tuple[tuple[str, str], ...]
    rest: int
    kind: ClassVar = "knobs"


@dataclass(frozen=True)
class LongCell:
    """A ``text`` too long for a row, behind a click on its ``beginning``."""

    beginning: str
    text: str
    kind: ClassVar = "long"


@dataclass(frozen=True)
class IntervalCell:
    """An interval drawn beside its ``words``.

    Attributes:
        words: both ends; empty where neither is known.
        rule: where a gain of 1 lies, in per cent from the left.
        middle: where the gain lies; None where nothing is to be drawn.
        bar: (left, right) of the interval, in per cent from the left and from the right; None where
            both ends are open.
    """

    words: str
    rule: float = 0.0
    middle: float | None = None
    bar: tuple[float, float] | None = None
    kind: ClassVar = "interval"


@dataclass(frozen=True)
class BarCell:
    """A bar from the left.

    Attributes:
        width: in per cent of the cell's.
        light: whether it stands for a loss.
    """

    width: float
    light: bool = False
    kind: ClassVar = "bar"


AnyCell = str | Cell | KnobsCell | LongCell | IntervalCell | BarCell


@dataclass(frozen=True)
class Note:
    """A remark: its text, then ``strong`` words with what follows them."""

    text: str
    strong: str = ""
    rest: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        title: above it.
        headings: of its columns, n.
        rows: of n cells each.
        figures: headings whose columns are set to the right.
        notes, facts: what stands below it.
        kind: its class in the style sheet.
        count: how many rows it has, in words, where it opens on a click.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[AnyCell]]
    figures: frozenset[str] = frozenset()
    notes: Sequence[Note] = ()
    facts: Facts | None = None
    kind: str = "wide"
    count: str = ""

    @property
    def classes(self) -> list[str]:
        """The class of each column's cells."""
        return ["figure" if heading in self.figures else "text" for heading in self.headings]
