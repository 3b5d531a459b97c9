"""The front as a picture to show to others: what the page shows, with what is claimed on top. It is
drawn without pyplot, so that no state outlives a call.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tuning.findings import format as form
from tuning.findings.front import AXES, never_froze, numbers
from tuning.findings.summary import FrontSummary
from tuning.findings.win_words import named
from tuning.report.picture.heights import Heights
from tuning.report.picture.placing import Placing, around
from tuning.report.picture.words import CONTROL, FRONT, GRID, INK, OTHER, QUIET, name, title
from tuning.report.points import gain_mark, whiskers
from tuning.trial.dominance import Floats, nondominated

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES = (12.0, 6.75)
DPI = 150
FOOTER = 105
"""The number of characters in a line below the axes."""
LONGEST = 40
"""The number of characters of a workload's name in that line."""
OWN_NAME = "your own recipe, for less time and for more"


def png_bytes(summary: FrontSummary) -> bytes:
    """The picture as a PNG, 1800 by 1012 pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure, summary)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def draw(figure: Figure, summary: FrontSummary) -> None:
    """Draw the claim, the front, the control's line, the other trials and the target on
    ``figure``.
    """
    axes = figure.add_subplot()
    heights = Heights.of(summary)
    _style(axes, heights)
    title(figure, summary)
    _others(axes, summary, heights)
    _lines(axes, summary, heights)
    _limits(axes, summary, heights)
    _whiskers(axes, summary, heights)
    _footer(axes, summary, heights)
    figure.draw_without_rendering()  # names are placed in pixels, which the layout decides
    placing = _obstacles(axes, summary, heights)
    _target(axes, summary, heights, placing)
    _winner(axes, summary, heights, placing)
    _names(axes, summary, heights, placing)


def _obstacles(axes: Axes, summary: FrontSummary, heights: Heights) -> Placing:
    """What names are kept off: the two lines and, where possible, the other trials."""
    placing = Placing(axes)
    for group, every in ((summary.front, True), (summary.control, True), (summary.others, False)):
        x, y = numbers(group, AXES[0]), heights.all(numbers(group, AXES[1]))
        if every:
            placing.line(x, y)
        placing.points(np.column_stack([x, y]), 6.0 if every else 2.0)
    for mark in whiskers(summary):
        placing.line(_ends(axes, mark), np.full(2, heights.at(mark["loss"])), 2.0)
    return placing


def _style(axes: Axes, heights: Heights) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(OTHER)
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, length=0, labelsize=13, pad=7)
    axes.set_xlabel("training time in solo seconds", color=INK, loc="right", fontsize=14)
    place: dict[str, Any] = {"rotation": 0, "ha": "left", "va": "bottom"}
    axes.set_ylabel(heights.metric.name, color=INK, fontsize=14, parse_math=False, **place)
    axes.yaxis.set_label_coords(0, 1.02)
    names = FuncFormatter(lambda tick, _: heights.text(tick, axes.yaxis.get_majorticklocs()))
    axes.yaxis.set_major_formatter(names)


def _others(axes: Axes, summary: FrontSummary, heights: Heights) -> None:
    """Draw the trials on neither line, faintly."""
    seconds, losses = numbers(summary.others, "train_seconds"), numbers(summary.others, "val_loss")
    axes.scatter(seconds, heights.all(losses), s=34, c=OTHER, alpha=0.45, linewidths=0, zorder=2)


def _lines(axes: Axes, summary: FrontSummary, heights: Heights) -> None:
    """Draw the control's line with squares, and over it the front's line with dots, hollow for
    trials that never froze a block.
    """
    front, control = summary.front, summary.control
    if len(front):
        x, y = numbers(front, AXES[0]), heights.all(numbers(front, AXES[1]))
        axes.plot(x, y, color=FRONT, linewidth=2.4, zorder=3)
        fill = np.where(never_froze(front), "white", FRONT)
        axes.scatter(x, y, s=62, c=fill, edgecolors=FRONT, linewidths=1.6, zorder=4)
    if len(control):
        x, losses = (numbers(control, axis) for axis in AXES)
        line, y = nondominated(x, losses), heights.all(losses)
        _band(axes, x[line], y[line], summary, heights)
        filled = [CONTROL if n in set(front["number"]) else "white" for n in control["number"]]
        axes.scatter(x, y, s=54, marker="s", c=filled, edgecolors=CONTROL, linewidths=1.8, zorder=5)


def _band(axes: Axes, x: Floats, y: Floats, summary: FrontSummary, heights: Heights) -> None:
    """Draw the control's line with the band of losses within noise of it, or a broad line where the
    noise is not known.
    """
    noise = summary.background.noise
    if noise is None:
        axes.plot(x, y, color=CONTROL, alpha=0.3, linewidth=8, solid_capstyle="round", zorder=2)
        return
    axes.plot(x, y, color=CONTROL, linewidth=2, zorder=2)
    limit = noise.limit / heights.unit
    axes.fill_between(x, y - limit, y + limit, color=CONTROL, alpha=0.1, linewidth=0, zorder=1)


def _whiskers(axes: Axes, summary: FrontSummary, heights: Heights) -> None:
    """Draw the confirmed gains as 95 % intervals of seconds; an open end runs out of the
    picture.
    """
    limits = axes.get_xlim()
    for mark in whiskers(summary):
        y = heights.at(mark["loss"])
        axes.plot(_ends(axes, mark), [y] * 2, color=FRONT, alpha=0.3, linewidth=9, zorder=5)
        axes.plot([mark["at"]], [y], color=FRONT, marker="D", markersize=8, mfc="white", zorder=7)
        axes.set_xlim(limits)


def _ends(axes: Axes, mark: Mapping[str, Any]) -> Floats:
    """Seconds at which the confirmed interval of ``mark`` begins and ends; an open end is the
    picture's edge.
    """
    left, right = axes.get_xlim()
    low, high = mark["low"], mark["high"]
    return np.array([left if low is None else low, right if high is None else high])


def _winner(axes: Axes, summary: FrontSummary, heights: Heights, placing: Placing) -> None:
    """Draw the trial that the claim is about, and the way to it from the control's line at its
    loss.
    """
    best = named(summary)
    if best is None:
        return
    loss, seconds = float(best.row["val_loss"]), float(best.row["train_seconds"])
    y, mark = heights.at(loss), gain_mark(best)
    axes.scatter([seconds], [y], s=190, c=FRONT, edgecolors="white", linewidths=2, zorder=8)
    text, middle = f"#{best.number}", seconds
    if mark is not None:
        own = mark["control"]
        arrow = {"arrowstyle": "-|>", "color": FRONT, "lw": 2, "shrinkA": 0, "shrinkB": 9}
        axes.annotate("", (seconds, y), (own, y), arrowprops=arrow, zorder=6)
        placing.line(np.array([seconds, own]), np.array([y, y]), 3.0)
        text += f": {form.seconds(seconds)} instead of {form.seconds(own)}"
        middle = (seconds + own) / 2
    placing.put(name(axes, text, (middle, y), FRONT), around(12, 26, -heights.up))


def _names(axes: Axes, summary: FrontSummary, heights: Heights, placing: Placing) -> None:
    """Name the two lines: the control's on its worse side, the front's on its better."""
    control, front = summary.control, summary.front
    if len(control):
        first = (float(control["train_seconds"].iloc[0]), heights.at(control["val_loss"].iloc[0]))
        placing.put(name(axes, OWN_NAME, first, CONTROL), around(10, 24, heights.up))
    found = front[~front["number"].isin(set(control["number"]))]
    if not len(found):
        return
    row = found.iloc[(len(found) - 1) // 3]
    at = (float(row["train_seconds"]), heights.at(float(row["val_loss"])))
    hollow = "; hollow: never froze a block" if never_froze(front).any() else ""
    placing.put(name(axes, f"the front{hollow}", at, FRONT), around(12, 26, -heights.up))


def _target(axes: Axes, summary: FrontSummary, heights: Heights, placing: Placing) -> None:
    low, high = axes.get_ylim()
    if summary.target is None or not low <= heights.at(summary.target) <= high:
        return
    (left, right), y = axes.get_xlim(), heights.at(summary.target)
    axes.axhline(y, color=INK, linewidth=1.1, linestyle=(0, (1, 3)), zorder=1)
    text = name(axes, f"target {summary.shown(summary.target)}", (right, y), QUIET, small=True)
    placing.put(text, [(0, 6, "right"), (0, -16, "right")])
    placing.line(np.array([left, right]), np.array([y, y]), 1.0)


def _limits(axes: Axes, summary: FrontSummary, heights: Heights) -> None:
    """Set the axes' limits to make room for front, control and what lies near them: a far outlier
    must not flatten the picture.
    """
    key = pd.concat([summary.front, summary.control])
    if key.empty:
        return
    axes.set_xlim(_span(key, summary, "train_seconds", None))
    low, high = heights.limits(_span(key, summary, "val_loss", summary.target))
    if low < high:  # no room can be told from nothing beside the least of all numbers
        axes.set_ylim(low, high)


def _span(
    key: pd.DataFrame, summary: FrontSummary, axis: str, extra: float | None
) -> tuple[float, float]:
    """The range of an axis: ``key``, ``extra`` where it is near, and other trials that are not far
    off.
    """
    values = numbers(key, axis)
    low, high = float(values.min()), float(values.max())
    span = (high - low) or abs(high) or 1.0
    if extra is not None and extra >= low - span:
        low, high = min(low, extra), max(high, extra)
    far = max([high, *numbers(summary.others, axis)])
    high = min(high + 0.2 * span, far)
    return low - 0.12 * span, high + 0.06 * span


def _footer(axes: Axes, summary: FrontSummary, heights: Heights) -> None:
    """What was trained, how many finished trials lie outside the picture, and what is drawn of a
    confirmation.
    """
    right, top = axes.get_xlim()[1], max(map(heights.loss, axes.get_ylim()))
    beyond = int(
        (
            (numbers(summary.others, "val_loss") > top)
            | (numbers(summary.others, "train_seconds") > right)
        ).sum()
    )
    called = Path(summary.background.asked.workload).name
    called = called if len(called) <= LONGEST else f"{called[:LONGEST]}…"
    text = f"{called}: {summary.finished} finished trials"
    text += f", {beyond} of them outside the picture" if beyond else ""
    confirmed = summary.background.confirmed
    if confirmed is not None and whiskers(summary):
        text += f"; diamond and bar: confirmed over {len(confirmed.seeds)} fresh seeds, 95 %"
    axes.annotate(
        textwrap.fill(text, FOOTER),  # a line as wide as it likes would leave the axes no room
        (0, 0),
        (0, -54),
        xycoords="axes fraction",
        textcoords="offset points",
        va="top",
        fontsize=12,
        color=QUIET,
        parse_math=False,
    )
