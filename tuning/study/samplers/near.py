"""A proposal near one of the best recipes known.

TPE proposes each knob by itself, from what was frequent among good trials. In a space of many
levers what is good goes together: a large rate with Muon on large batches, and none of them alone
(``python -m tuning.apart`` of the default search). A point that keeps most of one good recipe and
moves little of it keeps what goes together, as the mutations of evolutionary searches do (Real et
al. 2019, arXiv 1802.01548).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from search_spaces.base import SearchSpace
from search_spaces.knobs import Choice, Knob
from tuning.study.samplers.known import Point
from tuning.trial.trial import Scalar

BEST = 4
"""Recipes near which proposals are made: with one alone a lucky run would be all that is tried."""
MOVED = 0.5
"""Share of the numbers that are moved."""
STEP = 0.15
"""Standard deviation of a move, as a share of the range on its scale."""
CHANGED = 0.1
"""Share of the choices that are drawn anew."""


def near(
    space: SearchSpace, known: Sequence[Point], seed: np.random.SeedSequence
) -> dict[str, Scalar]:
    """Params near those of one of the best trials.

    Args:
        space: what is searched.
        known: trials, of which at least one is over and has one value, lower is better.
        seed: of all that the proposal draws.
    """
    generator = np.random.default_rng(seed)
    over = [(point.values, point.number, point) for point in known if point.values is not None]
    best = [point for *_, point in sorted(over, key=lambda each: each[:2])][:BEST]
    origin = best[generator.integers(len(best))].params

    def choose(knob: Knob) -> Scalar:
        draws = generator.random(2), generator.normal()
        return _moved(knob, origin.get(knob.name), *draws)

    return space.decide(choose)


def _moved(knob: Knob, value: Scalar | None, draws: np.ndarray, step: float) -> Scalar:
    """The knob's value in the proposal; where the recipe had none, a likely one.

    ``draws`` are two in [0, 1): whether it changes, and where a choice falls.
    """
    changes, place = draws.tolist()
    if value is None:
        return knob.guess(place)
    if isinstance(knob, Choice):
        return knob.at(place) if changes < CHANGED else value
    return knob.at(_reflected(knob.place(value) + STEP * step)) if changes < MOVED else value


def _reflected(place: float) -> float:
    """Mirrored at the ends of [0, 1], so that none of them gathers what would lie beyond it."""
    inside = abs(place) % 2
    return 2 - inside if inside > 1 else inside
