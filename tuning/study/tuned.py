"""The own recipe with the leading recipe's numbers, so that what is tuning of a win is known.

A search of levers seldom draws a recipe that turns numbers and nothing else. So from time to time
the numbers and the batch of the recipe that leads are trained without its levers: a tuned control,
which the leader is then held against (``docs/decisions/three-controls.md``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from models.levers.batch import BatchSize
from models.levers.optimizer import NUMBERS
from tuning.study.leader import leading
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import CONTROL_POLICY, TUNED, Recipe
from tuning.trial.trial import TrialSpec

EVERY = 8
"""Of so many trials after the baselines, the last is spent on the leader's numbers where they are
new. It is never one of those that look elsewhere (``tuning.study.samplers.sampler``).
"""
NUMERIC = frozenset({*NUMBERS, *(field.name for field in dataclasses.fields(BatchSize))})
"""The knobs that tune a recipe, and the settings that go with them."""


def tuned_control(known: Sequence[Outcome], workload: str, seed: int) -> TrialSpec | None:
    """The leader's numbers without its levers; None where it turns no numbers or nothing gains. Its
    number in the search is not chosen yet.

    Args:
        known: the search's trials that are over.
        workload: the workload of all the search's trials.
        seed: the seed of the search's trials.
    """
    leader = leading(known)
    if leader is None:
        return None
    knobs = {name: value for name, value in leader.recipe.knobs.items() if name in NUMERIC}
    recipe = Recipe(CONTROL_POLICY, 1.0, knobs)
    if recipe.control_kind != TUNED:
        return None
    return TrialSpec(0, "enqueued", workload, recipe, seed)
