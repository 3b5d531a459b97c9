"""Where a name stands in the picture: at the place where it covers least."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tuning.trial.dominance import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import BboxBase

Offset = tuple[float, float, str]
"""Points to the right, points up, and the text's alignment: left, right or center."""
EVERY = 40
"""The number of places between two points of a line that names are kept off."""
RIM = 4.0
"""The width of the rim around a name that is kept free, in points."""
OUTSIDE = 1000.0
"""What a name costs that runs out of the picture or into another name, in covered places."""


@dataclass
class Placing:
    """Finds places for names in a picture; the limits and the layout of ``axes`` are fixed by now.

    Attributes:
        axes: where names are put.
        taken: points that names should not cover, shape (n, 2), in pixels.
        weights: what covering each of them costs, shape (n,).
        boxes: the boxes of names that are placed already.
    """

    axes: Axes
    taken: Floats = field(default_factory=lambda: np.empty((0, 2)))
    weights: Floats = field(default_factory=lambda: np.empty(0))
    boxes: list[BboxBase] = field(default_factory=list)

    def line(self, x: Floats, y: Floats, weight: float = 1.0) -> None:
        """Keep names off a line where possible."""
        if not len(x):
            return
        at, steps = np.arange(len(x)), np.linspace(0, len(x) - 1, EVERY * max(len(x) - 1, 1))
        self.points(np.column_stack([np.interp(steps, at, each) for each in (x, y)]), weight)

    def points(self, places: Floats, weight: float = 1.0) -> None:
        """Keep names off points, shape (n, 2), in the axes' own units, where possible."""
        if not len(places):
            return
        pixels = self.axes.transData.transform(places)
        self.taken = np.vstack([self.taken, pixels])
        self.weights = np.append(self.weights, np.full(len(pixels), weight))

    def put(self, text: Annotation, offsets: Iterable[Offset]) -> None:
        """Move a name to the first of the ``offsets`` that cost least."""
        costs = []
        offered = list(offsets)
        for offset in offered:
            _move(text, offset)
            costs.append(self._cost(text.get_window_extent().padded(RIM)))
        _move(text, offered[int(np.argmin(costs))])
        self.boxes.append(text.get_window_extent().padded(RIM))

    def _cost(self, box: BboxBase) -> float:
        x, y = self.taken.T
        inside = (x > box.x0) & (x < box.x1) & (y > box.y0) & (y < box.y1)
        crossed = sum(box.overlaps(other) for other in self.boxes)
        frame = self.axes.bbox
        across = box.x0 < frame.x0 or box.x1 > frame.x1 + RIM
        out = bool(across or box.y0 < frame.y0 or box.y1 > frame.y1 + RIM)
        return float(self.weights[inside].sum()) + OUTSIDE * (crossed + out)


def _move(text: Annotation, offset: Offset) -> None:
    right, up, align = offset
    text.set_position((right, up))
    text.set_horizontalalignment(align)  # type: ignore[arg-type]


def around(near: float, far: float, up: float) -> list[Offset]:
    """Offsets beside a point, the nearest first. With ``up`` of 1 those above it come before those
    below it, with -1 the other way round.
    """
    found: list[Offset] = []
    for distance in (near, far, 2 * far):
        for sign in (up, -up):
            high = sign * distance - (10 if sign < 0 else 0)
            found += [(near, high, "left"), (-near, high, "right"), (0.0, high, "center")]
    return found
