"""The front as a picture, the same as on the page. Drawn without pyplot.

No state outlives a call.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tuning.findings import format as form
from tuning.findings.front import AXES, controls, never_froze, numbers
from tuning.findings.summary import FrontSummary, fastest_at
from tuning.findings.words import headline
from tuning.report.heights import Heights
from tuning.report.points import whiskers
from tuning.trial.dominance import Floats, nondominated

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FRONT, CONTROL, OTHER, INK, QUIET, GRID = (
    "#0b5fd0",
    "#b04a00",
    "#8b95a1",
    "#1b1f24",
    "#5c6570",
    "#eceef1",
)
INCHES = (9.0, 5.6)
DPI = 150
WRAP = 92
MOST_NAMED = 6
APART, NEAR_LEFT = 0.07, 0.35
"""Shares of the axis: between named schedules, and where a name on the left of its point would run
out of it.
"""


def png_bytes(summary: FrontSummary) -> bytes:
    """The picture as a PNG, 1350 by 840 pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure, summary)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def draw(figure: Figure, summary: FrontSummary) -> None:
    """The front, the control's line, the other trials and the target on ``figure``."""
    axes = figure.add_subplot()
    heights = Heights.of(summary)
    _style(axes, heights)
    _title(figure, summary)
    _others(axes, summary, heights)
    _lines(axes, summary, heights)
    _limits(axes, summary, heights)
    _whiskers(axes, summary, heights)
    _target(axes, summary, heights)
    _label_front(axes, summary, heights)


def _style(axes: Axes, heights: Heights) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(OTHER)
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, length=0, labelsize=10)
    axes.set_xlabel("training time in solo seconds", color=INK, loc="right", fontsize=10)
    name = heights.metric.name
    axes.set_ylabel(name, color=INK, loc="top", fontsize=10, parse_math=False)
    names = FuncFormatter(lambda tick, _: heights.text(tick, axes.yaxis.get_majorticklocs()))
    axes.yaxis.set_major_formatter(names)


def _title(figure: Figure, summary: FrontSummary) -> None:
    """The verdict above the picture; ``$`` would start a formula."""
    import textwrap

    text = "\n".join(textwrap.wrap(headline(summary), WRAP)).replace("$", r"\$")
    figure.suptitle(text, x=0.012, ha="left", fontsize=11.5, color=INK, fontweight="bold")


def _others(axes: Axes, summary: FrontSummary, heights: Heights) -> None:
    """Trials on neither line.

    Filled where they reached the target, hollow where they are censored.
    """
    seconds, losses = numbers(summary.others, "train_seconds"), numbers(summary.others, "val_loss")
    reached = np.full(len(losses), False) if summary.target is None else losses <= summary.target
    y = heights.all(losses)
    axes.scatter(seconds[reached], y[reached], s=26, c=OTHER, alpha=0.7, linewidths=0)
    axes.scatter(
        seconds[~reached], y[~reached], s=26, facecolors="none", edgecolors=OTHER, linewidths=1
    )


def _lines(axes: Axes, summary: FrontSummary, heights: Heights) -> None:
    """The control as a band with squares, the front as a line with dots over it, hollow ones never
    froze a block.
    """
    front, control = summary.front, summary.control
    if len(front):
        x, y = numbers(front, AXES[0]), heights.all(numbers(front, AXES[1]))
        axes.plot(x, y, color=FRONT, linewidth=1.8, zorder=3)
        fill = np.where(never_froze(front), "white", FRONT)
        axes.scatter(x, y, s=44, c="white", linewidths=0, zorder=3)
        axes.scatter(x, y, s=30, c=fill, edgecolors=FRONT, linewidths=1.2, zorder=4)
    if len(control):
        x, losses = (numbers(control, axis) for axis in AXES)
        line, y = nondominated(x, losses), heights.all(losses)
        _band(axes, x[line], y[line], summary, heights)
        filled = [CONTROL if n in set(front["number"]) else "white" for n in control["number"]]
        axes.scatter(x, y, s=38, marker="s", c=filled, edgecolors=CONTROL, linewidths=1.4, zorder=5)
        beside = (9, heights.beside(5))
        _label(axes, "training for less (full_update)", (x[0], y[0]), beside, CONTROL, "left")


def _band(axes: Axes, x: Floats, y: Floats, summary: FrontSummary, heights: Heights) -> None:
    """The control's line with what lies within noise of it, or a broad line where the noise is not
    known.
    """
    noise = summary.background.noise
    if noise is None:
        axes.plot(x, y, color=CONTROL, alpha=0.3, linewidth=6, solid_capstyle="round", zorder=2)
        return
    axes.plot(x, y, color=CONTROL, linewidth=1.4, zorder=2)
    limit = noise.limit / heights.unit
    axes.fill_between(x, y - limit, y + limit, color=CONTROL, alpha=0.13, linewidth=0, zorder=1)


def _whiskers(axes: Axes, summary: FrontSummary, heights: Heights) -> None:
    """The confirmed gains as seconds, 95 %; an end that is open runs out of the picture."""
    left, right = axes.get_xlim()
    for mark in whiskers(summary):
        ends = [
            left if mark["low"] is None else mark["low"],
            right if mark["high"] is None else mark["high"],
        ]
        y = heights.at(mark["loss"])
        axes.plot(ends, [y] * 2, color=FRONT, linewidth=1.6, marker="|", markersize=9, zorder=6)
        axes.plot(
            [mark["at"]],
            [y],
            color=FRONT,
            marker="D",
            markersize=5.5,
            mfc="white",
            zorder=7,
        )
    axes.set_xlim(left, right)


def _label_front(axes: Axes, summary: FrontSummary, heights: Heights) -> None:
    """Name the front at its first schedules by their numbers, clear of the target line and of each
    other.
    """
    schedules = summary.front[~controls(summary.front)]
    hollow = "; hollow: never froze a block" if never_froze(schedules).any() else ""
    last = -np.inf
    named = 0
    for place, row in enumerate(schedules.to_dict("records")):
        x, y = row["train_seconds"], heights.at(row["val_loss"])
        across = float(axes.transAxes.inverted().transform(axes.transData.transform((x, y)))[0])
        if across - last < APART or named == MOST_NAMED:
            continue
        last, named = across, named + 1
        name = f"front, #{row['number']}{hollow}" if place == 0 else f"#{row['number']}"
        beside = (
            (9, heights.beside(5))
            if place == 0 and across < NEAR_LEFT
            else (-8, _clear_of_target(axes, y, summary, heights))
        )
        _label(axes, name, (x, y), beside, FRONT, "left" if beside[0] > 0 else "right")


def _clear_of_target(axes: Axes, y: float, summary: FrontSummary, heights: Heights) -> int:
    """Points by which a label stands off the height ``y`` without sitting on the target line."""
    if summary.target is None:
        return heights.beside(-14)
    _, here = axes.transData.transform((0.0, y))
    _, line = axes.transData.transform((0.0, heights.at(summary.target)))
    worse = (line - here if heights.metric.maximize else here - line) * 72 / DPI
    return heights.beside(-4 if 8 < worse < 24 else -14)


def _limits(axes: Axes, summary: FrontSummary, heights: Heights) -> None:
    """Room for front, control and what lies near them.

    A far outlier must not flatten the picture.
    """
    key = pd.concat([summary.front, summary.control])
    if key.empty:
        return
    axes.set_xlim(_span(key, summary, "train_seconds", None))
    low, high = heights.limits(_span(key, summary, "val_loss", summary.target))
    if low < high:  # no room can be told from nothing beside the least of all numbers
        axes.set_ylim(low, high)
    _say_beyond(axes, summary, heights)


def _span(
    key: pd.DataFrame, summary: FrontSummary, axis: str, extra: float | None
) -> tuple[float, float]:
    """What an axis shows: ``key``, ``extra`` if it is near, and trials that lie not far off."""
    values = numbers(key, axis)
    low, high = float(values.min()), float(values.max())
    span = (high - low) or abs(high) or 1.0
    if extra is not None and extra >= low - span:
        low, high = min(low, extra), max(high, extra)
    far = max([high, *numbers(summary.others, axis)])
    high = min(high + 0.6 * span, far)
    return low - 0.06 * span, high + 0.06 * span


def _say_beyond(axes: Axes, summary: FrontSummary, heights: Heights) -> None:
    """How many finished trials lie outside the picture."""
    right, top = axes.get_xlim()[1], max(map(heights.loss, axes.get_ylim()))
    beyond = (numbers(summary.others, "val_loss") > top) | (
        numbers(summary.others, "train_seconds") > right
    )
    if count := int(beyond.sum()):
        text = (
            f"{count} finished {'trial lies' if count == 1 else 'trials lie'} outside the picture"
        )
        axes.text(1, 1.01, text, transform=axes.transAxes, ha="right", fontsize=9, color=QUIET)


def _target(axes: Axes, summary: FrontSummary, heights: Heights) -> None:
    low, high = axes.get_ylim()
    if summary.target is None or not low <= heights.at(summary.target) <= high:
        return
    left, y = axes.get_xlim()[0], heights.at(summary.target)
    axes.axhline(y, color=INK, linewidth=0.9, linestyle=(0, (1, 3)), zorder=1)
    text = f"target {summary.shown(summary.target)}, censored {heights.metric.short_of}"
    _label(axes, text, (left, y), (4, heights.beside(5)), QUIET, "left")
    if summary.gain is not None and summary.gain > 1:
        _gain(axes, summary, summary.target, heights)


def _gain(axes: Axes, summary: FrontSummary, target: float, heights: Heights) -> None:
    """From the two trials that the gain is made of, up to the target line, and along it."""
    ends = [fastest_at(points, target) for points in (summary.front, summary.control)]
    (a, low), (b, high) = [
        (float(r["train_seconds"]), float(r["val_loss"])) for r in ends if r is not None
    ]
    corners = [heights.at(loss) for loss in (low, target, target, high)]
    axes.plot([a, a, b, b], corners, color=FRONT, linewidth=1.2)
    foot, beside = ((a + b) / 2, heights.at(min(low, high))), (0, heights.beside(-18))
    _label(axes, f"gain {form.gain(summary.gain)}", foot, beside, FRONT, "center")


def _label(
    axes: Axes,
    text: str,
    point: tuple[float, float],
    offset: tuple[int, int],
    color: str,
    align: str,
) -> None:
    from matplotlib.patheffects import withStroke

    axes.annotate(
        text,
        point,
        xytext=offset,
        textcoords="offset points",
        ha=align,
        color=color,
        fontsize=10,
        zorder=5,
        parse_math=False,
        path_effects=[withStroke(linewidth=3, foreground="white")],
    )
