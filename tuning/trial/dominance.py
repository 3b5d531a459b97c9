"""Which of some points no other dominates: the one sort behind every front. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def nondominated(seconds: Floats, losses: Floats) -> npt.NDArray[np.bool_]:
    """Which of n finite points no other dominates, both axes minimised; shape (n,), O(n log n).

    One point dominates another when it is no worse on either axis and better on one, so equal
    points do not dominate each other: ties are kept, all of them.
    """
    if not len(seconds):
        return np.zeros(0, dtype=bool)
    # Among points in this order only an earlier one can dominate a later one.
    order = np.lexsort((losses, seconds))
    ordered_seconds, ordered = seconds[order], losses[order]
    starts = np.r_[True, (np.diff(ordered_seconds) != 0) | (np.diff(ordered) != 0)]
    first_equal = np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))
    best_before = np.r_[np.inf, np.minimum.accumulate(ordered)[:-1]]
    kept = np.empty(len(order), dtype=bool)
    # Equal points are all held against what lies before the first of them, so that they keep each
    # other.
    kept[order] = best_before[first_equal] > ordered
    return kept
