"""The leading recipe once more, for about as long as it should take to the target.

A recipe that ends far from the target tells how much sooner than the control it has the loss with
which it ends. What a person asks is how soon it has the target, and a sampler that draws a horizon
among twenty other knobs seldom answers. A recipe's gain differs little from one horizon to another,
so that the control's times to both losses say how long it is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from tuning.study.leader import leading, own_line
from tuning.trial.outcome import Outcome
from tuning.trial.trial import TrialSpec

TURN = 1
"""Of each ``EVERY`` trials after the baselines (``tuning.study.tuned``), the one that is given to
it where it tells something new.
"""
SPARE = 1.05
"""Times as long as it should take, so that noise does not leave it just above the target."""
NEARLY = 0.9
"""Of the leader's own horizon, where that had the target; what is no shorter tells what is known.
"""


def to_target(
    known: Sequence[Outcome], target: float, horizons: tuple[float, float], workload: str, seed: int
) -> TrialSpec | None:
    """The leader at the horizon at which it should reach ``target``; None where it takes nearly all
    of its own or longer than the search looks, where it had the target elsewhere, or nothing gains.
    Its number is open.

    Args:
        known: the search's trials that are over.
        target: the loss.
        horizons: the shortest and the longest at which the search looks.
        workload: as of all the search's trials.
        seed: likewise.
    """
    leader, line = leading(known), own_line(known)
    if leader is None or line is None or leader.val_loss is None:
        return None
    share = math.exp(line.log_gain(1.0, target) - line.log_gain(1.0, leader.val_loss))
    shortest, longest = horizons
    whole = leader.recipe.horizon
    horizon = max(shortest, round(SPARE * share * whole, 3))
    if leader.val_loss <= target:
        fits = horizon <= NEARLY * whole
    else:
        fits = horizon <= longest and not _reached(known, leader, target)
    if not fits:
        return None
    recipe = dataclasses.replace(leader.recipe, horizon=horizon)
    return TrialSpec(0, "enqueued", workload, recipe, seed)


def _reached(known: Sequence[Outcome], leader: Outcome, target: float) -> bool:
    """Whether the leader's recipe had the target at some horizon."""
    return any(
        dataclasses.replace(run.recipe, horizon=leader.recipe.horizon) == leader.recipe
        and run.val_loss is not None
        and run.val_loss <= target
        for run in known
    )
