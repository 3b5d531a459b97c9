"""The words of the picture: what it claims, and names beside what they name."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from tuning.findings import format as form
from tuning.findings.gains import Gained
from tuning.findings.paired import Bound
from tuning.findings.summary import FrontSummary
from tuning.findings.win_words import confirmed_winner, named
from tuning.findings.words import headline
from tuning.trial.recipe import OWN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

FRONT, CONTROL, OTHER, INK, QUIET, GRID = (
    "#0b5fd0",
    "#b04a00",
    "#8b95a1",
    "#1b1f24",
    "#5c6570",
    "#eceef1",
)
SMALL, PLAIN = 14.0, 17.0
"""Sizes of the verdict's letters in points: below a claim, and where it stands alone."""
WRAP = 118
"""The number of small letters in a line."""
INCH = 72.0
"""The number of points in an inch."""


def claim(summary: FrontSummary) -> str:
    """What is gained, in a few words to be read from afar; empty where nothing is."""
    found = _gain(summary)
    if found is None:
        return ""
    value, bound = found
    seed = "" if summary.background.confirmed is not None else ", on one seed"
    if Gained(value, bound).only_better:
        return f"{summary.metric.better.title()} {summary.metric.short} after the same time{seed}"
    times = f"{bound} {form.gain(value)}×".strip()
    return f"{times[0].upper()}{times[1:]} as fast to the same {summary.metric.short}{seed}"


def _gain(summary: FrontSummary) -> tuple[float, Bound] | None:
    """The confirmed winner's gain over the own control, else that of the trial that leads; None
    where there is no gain.
    """
    confirmed, winner = summary.background.confirmed, confirmed_winner(summary)
    if confirmed is not None:
        won = next((c for c in confirmed.candidates if c.number == winner), None)
        return None if won is None or won.gain is None else (won.gain, won.bound)
    best = named(summary)
    gain = None if best is None else best.gains.get(OWN)
    return None if gain is None or not gain.ahead else (gain.value, gain.bound)


def title(figure: Figure, summary: FrontSummary) -> None:
    """The claim in large letters, and below it the verdict word by word."""
    large, height = claim(summary), float(figure.get_figheight()) * INCH
    size, ink = (SMALL, QUIET) if large else (PLAIN, INK)
    lines = textwrap.wrap(headline(summary), int(WRAP * SMALL / size))
    below = 22.0
    if large:
        figure.text(0.012, 1 - below / height, large, fontsize=30, color=INK, **_STYLE)
        below += 48
    for line in lines:
        figure.text(0.012, 1 - below / height, line, fontsize=size, color=ink, **_PLAIN)
        below += 1.45 * size
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0.008, 0.008, 0.984, 1 - (below + 14) / height))  # type: ignore[call-arg]


_PLAIN: dict[str, Any] = {"ha": "left", "va": "top", "parse_math": False}
_STYLE: dict[str, Any] = {**_PLAIN, "fontweight": "bold"}


def name(
    axes: Axes, text: str, point: tuple[float, float], color: str, *, small: bool = False
) -> Annotation:
    """A name of a point, for ``placing`` to move, with a rim that keeps lines off."""
    from matplotlib.patheffects import withStroke

    return axes.annotate(
        text,
        point,
        xytext=(0, 0),
        textcoords="offset points",
        color=color,
        fontsize=12.5 if small else 15,
        zorder=9,
        parse_math=False,
        path_effects=[withStroke(linewidth=4, foreground="white")],
    )
