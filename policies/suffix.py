"""Which suffix of the blocks to train: fractions, levels and relevance turned into a depth.

A *depth* is a number of active blocks; the suffix of depth ``d`` is the top ``d`` of ``num_blocks``
blocks.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence


def top(depth: int, num_blocks: int) -> tuple[int, ...]:
    """The indices of the top ``depth`` blocks, ascending.

    >>> top(2, 5)
    (3, 4)
    """
    return tuple(range(num_blocks - depth, num_blocks))


def count(fraction: float, num_blocks: int) -> int:
    """``ceil(fraction · num_blocks)``, at least 1: how many blocks a fraction of them is.

    A product within 1e-9 of a whole number counts as that number, so that binary rounding adds no
    block.

    >>> [count(f, 12) for f in (0.01, 0.25, 0.26, 1.0)]
    [1, 3, 4, 12]
    >>> 0.07 * 100, count(0.07, 100)
    (7.000000000000001, 7)
    """
    return max(1, math.ceil(fraction * num_blocks - 1e-9))


@functools.lru_cache(maxsize=256)
def allowed_depths(num_blocks: int, levels: int, low: int, high: int) -> tuple[int, ...]:
    """The depths ``ceil(i · num_blocks / levels)`` cut to [low, high]; ascending, distinct.

    A level below ``low`` becomes ``low`` and one above ``high`` becomes ``high``; the last level is
    all blocks, so ``high`` is always allowed and every depth up to it can be rounded up to an
    allowed one.

    >>> allowed_depths(24, 4, low=1, high=24)
    (6, 12, 18, 24)
    >>> allowed_depths(24, 4, low=12, high=18)
    (12, 18)
    >>> allowed_depths(24, 4, low=7, high=17)
    (7, 12, 17)
    >>> allowed_depths(10, 2, low=6, high=7)  # no level inside: the bounds themselves
    (6, 7)
    >>> allowed_depths(5, 8, low=1, high=5)  # more levels than blocks: each depth once
    (1, 2, 3, 4, 5)
    >>> allowed_depths(24, 1, low=1, high=18)
    (18,)
    """
    return tuple(
        sorted({min(max(-(-i * num_blocks // levels), low), high) for i in range(1, levels + 1)})
    )


def needed_depth(relevance: Sequence[float], threshold: float) -> int:
    """The fewest top blocks, at least one, whose relevance adds up to ``threshold`` of the total.

    Args:
        relevance: shape (num_blocks,), not negative, the bottom block first.
        threshold: fraction of the total in [0, 1].

    >>> needed_depth((4.0, 3.0, 2.0, 1.0), 0.1), needed_depth((4.0, 3.0, 2.0, 1.0), 0.11)
    (1, 2)
    >>> needed_depth((0.0, 3.0, 2.0, 1.0), 1.0)
    3
    """
    sums = list(itertools.accumulate(reversed(relevance)))
    goal = threshold * sums[-1]
    return 1 + next(index for index, value in enumerate(sums) if value >= goal)


def round_up(depth: int, depths: Sequence[int], cap: int) -> int:
    """The least of ``depths`` (ascending) that holds ``depth`` blocks, or the greatest allowed.

    ``cap`` is at least ``depths[0]``.

    >>> [round_up(depth, (6, 12, 18), cap=18) for depth in (1, 6, 7, 18, 24)]
    [6, 6, 12, 18, 18]
    >>> round_up(10, (6, 12, 18), cap=11)
    6
    """
    usable = [d for d in depths if d <= cap]
    return next((d for d in usable if d >= depth), usable[-1])
