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
from tuning.study.samplers.control_line import ControlLine
from tuning.study.samplers.values import counts
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import CONTROL_POLICY, TUNED, Recipe
from tuning.trial.trial import ASIDE, TrialSpec

EVERY = 8
"""One trial in so many after the baselines, the last of them, is given to the leader's numbers
where they are new. Those that look elsewhere (``tuning.study.samplers.sampler``) are others.
"""
NUMERIC = frozenset({*NUMBERS, *(field.name for field in dataclasses.fields(BatchSize))})
"""What tunes a recipe, and the settings that go with it."""


def tuned_control(known: Sequence[Outcome], workload: str, seed: int) -> TrialSpec | None:
    """The leader's numbers with no lever; None where it turns none or gains nothing. Its number is
    open.

    Args:
        known: the search's trials that are over.
        workload: as of all the search's trials.
        seed: likewise.
    """
    leader = _leader(known)
    if leader is None:
        return None
    knobs = {name: value for name, value in leader.knobs.items() if name in NUMERIC}
    recipe = Recipe(CONTROL_POLICY, 1.0, knobs)
    if recipe.control_kind != TUNED:
        return None
    return TrialSpec(0, "enqueued", workload, recipe, seed)


def _leader(known: Sequence[Outcome]) -> Recipe | None:
    """The recipe that is no control and gains most over the own one."""
    line = ControlLine.through([run for run in known if run.recipe.is_control])
    if line is None:
        return None
    gains = [
        (line.log_gain(run.train_seconds, run.val_loss), -run.number, run.recipe)
        for run in known
        if counts(run) and run.origin not in ASIDE and run.recipe.control_kind is None
        if run.train_seconds is not None and run.val_loss is not None
    ]
    gain, _, recipe = max(gains, key=lambda each: each[:2], default=(0.0, 0, None))
    return recipe if gain > 0 else None
