"""Points that depend on no history: a space-filling sequence and uniform draws, each by seed and
index.
"""

from __future__ import annotations

import numpy as np

from search_spaces.base import SearchSpace
from tuning.trial.trial import Scalar

SOBOL_STREAM = 2**32
"""A number that no trial has, so that the sequence shares its randomness with no draw that is made.

A ``SeedSequence`` takes it for the words 0 and 1 and pads with zeros, so it is the stream of the
second attempt at trial 0, which is a baseline.
"""


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
    # Imported here because it takes seconds, for which only a search that samples should wait.
    from scipy.stats import qmc

    dimensions = len(space.searched)
    if not dimensions:
        return space.at([])
    sequence = qmc.Sobol(
        dimensions, scramble=True, rng=np.random.default_rng(seed_of(seed, SOBOL_STREAM))
    )
    # fast_forward(0) raises OverflowError.
    if index:
        sequence.fast_forward(index)
    point = sequence.random(1)[0].tolist()
    return space.likely(point) if likely else space.at(point)
