"""The area that a set of points dominates, exactly, for two objectives that are minimised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Point = tuple[float, float]


def hypervolume(points: Iterable[Point], reference: Point) -> float:
    """Area of what some point dominates and ``reference`` does not; points not better than it on
    both axes add none.

    >>> hypervolume([(1.0, 2.0), (2.0, 1.0)], reference=(3.0, 3.0))
    3.0
    """
    area, lowest = 0.0, reference[1]
    for first, second in sorted(points):
        if first < reference[0] and second < lowest:
            area += (reference[0] - first) * (lowest - second)
            lowest = second
    return area


@dataclass(frozen=True)
class Box:
    """Where hypervolume is counted: below ``reference`` on both axes and above ``ideal``; the whole
    box is 1.

    Raises:
        ValueError: ``ideal`` is not below ``reference`` on both axes.
    """

    ideal: Point
    reference: Point

    def __post_init__(self) -> None:
        """Refuse a box without area."""
        if not (self.ideal[0] < self.reference[0] and self.ideal[1] < self.reference[1]):
            raise ValueError(
                f"ideal < reference must hold on both axes, but got ({self.ideal}, "
                f"{self.reference})"
            )

    def share(self, points: Iterable[Point]) -> float:
        """The share of the box that the points dominate, in [0, 1].

        Points beyond ``ideal`` count as at its edge.
        """
        inside = [
            (max(first, self.ideal[0]), max(second, self.ideal[1])) for first, second in points
        ]
        width, height = (high - low for low, high in zip(self.ideal, self.reference, strict=True))
        return hypervolume(inside, self.reference) / (width * height)
