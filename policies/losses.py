"""Losses of any size and sign: what they are measured from, in which unit they are squared."""

from __future__ import annotations

import math


def zero_of(lowest: float | None, highest: float | None) -> float:
    """What losses are measured from, so that a ratio of them means something.

    ::

        0                      while none was negative
        2 · lowest - highest   after: as far below the lowest seen as the highest lies above it

    Subtracting a constant from losses that are negative anyway moves it by that constant.

    >>> zero_of(None, None), zero_of(1.0, 5.0), zero_of(-99.0, -95.0), zero_of(-1.0, 3.0)
    (0.0, 0.0, -103.0, -5.0)
    """
    if lowest is None or highest is None or lowest >= 0:
        return 0.0
    return 2 * lowest - highest


def widened(lowest: float | None, highest: float | None, loss: float) -> tuple[float, float]:
    """The lowest and highest loss, ``loss`` included.

    >>> widened(None, None, 2.0), widened(1.0, 2.0, -1.0)
    ((2.0, 2.0), (-1.0, 2.0))
    """
    if lowest is None or highest is None:
        return loss, loss
    return min(lowest, loss), max(highest, loss)


def unit_of(loss: float) -> float:
    """A power of two near ``loss`` where its square is out of range, else 1.

    >>> unit_of(3.5), unit_of(0.0), 0.5 < 1e200 / unit_of(-1e200) <= 2
    (1.0, 1.0, True)
    """
    size = abs(loss)
    if size == 0 or 1e-100 < size < 1e100:
        return 1.0
    return math.ldexp(1.0, math.frexp(size)[1] - 1)
