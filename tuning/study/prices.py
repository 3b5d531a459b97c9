"""At which horizons a control is trained so that it prices candidates' losses. Pure.

A verdict asks a control two things on each seed: its loss after the candidate's seconds, and its
seconds at the candidate's loss. Runs far from both tell nothing about the candidate, and each costs
as much as one of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Span = tuple[float, float]
"""The horizons at which a control is as long as a candidate, and as good; ascending."""
BEYOND = 1.15
"""By which factor a control is trained beyond the bound, where it is only known to be slower than
that.
"""


def span(horizon: float, gain: float, *, bound: bool = False) -> Span:
    """The two horizons at which a control is as long as a candidate of this ``horizon``, and as
    good, given the candidate's ``gain`` over it; ascending. With ``bound`` the gain is only a lower
    bound.

    >>> span(0.5, 2.0), span(1.0, 0.5)
    ((0.5, 1.0), (0.5, 1.0))
    """
    there = horizon * gain * (BEYOND if bound else 1.0)
    return min(horizon, there), max(horizon, there)


def around(spans: Sequence[Span], grid: Sequence[float], count: int) -> tuple[float, ...]:
    """Those ``count`` of the ``grid``'s horizons, ascending, that surround all ``spans``.

    They are the next ones on either side of the spans and others between, as evenly spaced as the
    grid allows. Where that is too few, further ones outside are added, the nearest first.

    Args:
        spans: at least one.
        grid: ascending; fewer than ``count`` are all taken.
        count: 2 at least.

    >>> grid = (0.5, 0.625, 0.75, 0.875, 1.0, 1.5, 2.25)
    >>> around([(0.9, 0.99)], grid, 4), around([(0.55, 4.0)], grid, 4)
    ((0.625, 0.75, 0.875, 1.0), (0.5, 0.875, 1.5, 2.25))
    """
    low, high = min(low for low, _ in spans), max(high for _, high in spans)
    first = max((i for i, h in enumerate(grid) if h <= low), default=0)
    last = min((i for i, h in enumerate(grid) if h >= high), default=len(grid) - 1)
    last = max(first, last)
    while last - first + 1 < min(count, len(grid)):
        first, last = _wider(grid, first, last)
    return _evenly(grid[first : last + 1], count)


def _wider(grid: Sequence[float], first: int, last: int) -> tuple[int, int]:
    """The range with one more horizon, the one that is nearer as a ratio; the shorter of two that
    are equally near.
    """
    if last == len(grid) - 1:
        return first - 1, last
    if first == 0 or grid[last + 1] / grid[last] < grid[first] / grid[first - 1]:
        return first, last + 1
    return first - 1, last


def _evenly(grid: Sequence[float], count: int) -> tuple[float, ...]:
    """Both ends of the grid, and the horizons nearest to even steps of the logarithm between
    them.
    """
    if len(grid) <= count:
        return tuple(grid)
    left, found = list(grid[1:-1]), [grid[0], grid[-1]]
    step = math.log(grid[-1] / grid[0]) / (count - 1)
    for place in range(1, count - 1):
        wanted = grid[0] * math.exp(place * step)
        nearest = min(left, key=lambda horizon: abs(math.log(horizon / wanted)))
        left.remove(nearest)
        found.append(nearest)
    return tuple(sorted(found))
