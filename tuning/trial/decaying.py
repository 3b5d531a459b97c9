"""How a learning rate falls in the last share of a run: shapes as plain data."""

from __future__ import annotations

import math
from collections.abc import Sequence

Decay = str | Sequence[float]
"""``linear``, ``cosine``, or factors evenly spaced from the beginning of the decay to its end."""


def factor_left(decay: Decay, left: float) -> float:
    """The factor on the learning rate while a share ``left`` of the decay, from 1 to 0, is still to
    come.

    >>> [round(factor_left("cosine", left), 3) for left in (1.0, 0.75, 0.5, 0.0)]
    [1.0, 0.854, 0.5, 0.0]
    >>> [factor_left((1.0, 0.5, 0.25), left) for left in (1.0, 0.75, 0.5, 0.0)]
    [1.0, 0.75, 0.5, 0.25]
    """
    if decay == "linear":
        return left
    if decay == "cosine":
        return (1 - math.cos(math.pi * left)) / 2
    place = (1 - left) * (len(decay) - 1)
    # At the very end ``place`` is the last index, and the last stretch holds.
    low = min(math.floor(place), len(decay) - 2)
    one, other = float(decay[low]), float(decay[low + 1])
    return one + (place - low) * (other - one)
