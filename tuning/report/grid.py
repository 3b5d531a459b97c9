"""Tables of the page as HTML. Cells come escaped; headings and titles are escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def table(
    title: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    figures: frozenset[str],
    after: str = "",
    kind: str = "wide",
) -> str:
    """A section with a heading, the table and what stands ``after`` it.

    ``figures`` are set to the right.
    """
    inner = grid(title, headings, rows, figures, kind=kind)
    return f"<section><h2>{escape(title)}</h2>{inner}{after}</section>"


def folded(title: str, count: str, inner: str) -> str:
    """A table that opens on a click, with how many rows it has."""
    return (
        f"<details><summary>{escape(title)} <span>{escape(count)}</span></summary>{inner}</details>"
    )


def grid(
    title: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    figures: frozenset[str],
    *,
    kind: str = "wide",
) -> str:
    """A table that scrolls sideways inside its own box."""
    kinds = ["figure" if heading in figures else "text" for heading in headings]
    head = _cells("th", map(escape, headings), kinds)
    body = "".join(f"<tr>{_cells('td', row, kinds)}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}">'
        f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _cells(tag: str, texts: Iterable[str], kinds: Sequence[str]) -> str:
    scope = ' scope="col"' if tag == "th" else ""
    return "".join(
        f'<{tag} class="{kind}"{scope}>{text}</{tag}>'
        for text, kind in zip(texts, kinds, strict=True)
    )
