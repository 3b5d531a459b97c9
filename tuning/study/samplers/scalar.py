"""Two objectives as one, a different one for each proposal: ParEGO (Knowles 2006, IEEE Trans. Evol.
Comput. 10(1)).

    z_i = (f_i − ideal_i) / (nadir_i − ideal_i)
    s   = max_i w_i·z_i + 0.05·Σ_i w_i·z_i           w = (u, 1 − u), u uniform in [0, 1]

with ideal and nadir those of the front known so far, so that the front fills the unit square. A
point with s > 1 lies beyond the nadir, where only its order matters: it counts as 1 + log s, so
that a model keeps its resolution on the front.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tuning.study.samplers.known import Point
from tuning.trial.dominance import nondominated

SHARE_OF_SUM = 0.05


def scalarised(points: Sequence[Point], seed: np.random.SeedSequence) -> list[Point]:
    """The points with one value in place of two; points without values stay as they are.

    Args:
        points: their values are (seconds, loss); at least one of them has values.
        seed: seeds the weights.
    """
    share = np.random.default_rng(seed).random()
    weights = np.array([share, 1 - share])
    ideal, span = _unit_square(
        np.array([point.values for point in points if point.values is not None])
    )

    def value(values: tuple[float, ...]) -> tuple[float]:
        weighted = weights * (np.array(values) - ideal) / span
        return (beyond_nadir(float(weighted.max() + SHARE_OF_SUM * weighted.sum())),)

    return [
        point if point.values is None else dataclasses.replace(point, values=value(point.values))
        for point in points
    ]


def beyond_nadir(value: float) -> float:
    """The value itself up to 1, from there its logarithm, with the same slope where they meet.

    >>> beyond_nadir(0.5), beyond_nadir(1.0), round(beyond_nadir(math.e), 12)
    (0.5, 1.0, 2.0)
    """
    return value if value <= 1 else 1 + math.log(value)


def _unit_square(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(ideal, nadir − ideal) of the front of ``values``, shape (n, 2); those of all values where
    the front has no span.
    """
    front = values[nondominated(*values.T)]
    ideal = front.min(axis=0)
    span, whole = front.max(axis=0) - ideal, values.max(axis=0) - ideal
    span = np.where(span > 0, span, whole)
    return ideal, np.where(span > 0, span, 1.0)
