"""Points that depend on no history: a space-filling sequence and uniform draws, each by seed and
index.
"""

from __future__ import annotations

import numpy as np

from search_spaces.base import SearchSpace
from tuning.trial.trial import Scalar

SOBOL_STREAM = 2**32
"""A number that no trial has, so that the sequence shares its randomness with no draw."""


def seed_of(seed: int, number: int, attempt: int = 0) -> np.random.SeedSequence:
    """The seed of one proposal: every (seed, number, attempt) has its own."""
    return np.random.SeedSequence([seed, number, attempt])


def uniform(space: SearchSpace, seed: int, number: int, attempt: int = 0) -> dict[str, Scalar]:
    """Params drawn uniformly on the knobs' own scales."""
    generator = np.random.default_rng(seed_of(seed, number, attempt))
    return space.at(generator.random(len(space.searched)).tolist())


def space_filling(
    space: SearchSpace, seed: int, index: int, *, likely: bool = False
) -> dict[str, Scalar]:
    """Params at place ``index`` of a scrambled Sobol' sequence over the searched knobs (Owen 1998).
    With ``likely``, the sequence is denser where knobs are likely to serve well.
    """
    from scipy.stats import qmc

    dimensions = len(space.searched)
    if not dimensions:
        return space.at([])
    sequence = qmc.Sobol(
        dimensions, scramble=True, rng=np.random.default_rng(seed_of(seed, SOBOL_STREAM))
    )
    if index:
        sequence.fast_forward(index)
    point = sequence.random(1)[0].tolist()
    return space.likely(point) if likely else space.at(point)
