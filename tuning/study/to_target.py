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

from tuning.study.leader import leading, loss_of, own_line
from tuning.study.samplers.values import counts
from tuning.trial.outcome import Outcome
from tuning.trial.trial import ASIDE, TrialSpec

TURNS = (1, 5)
"""Of each ``EVERY`` trials after the baselines (``tuning.study.tuned``), those that are given to it
where it tells something new.
"""
SPARE = 1.05
"""Times as long as it should take, so that noise does not leave it just above the target."""
FURTHER = 1.2
"""Likewise where it has not been there: what leads owes some of its lead to luck."""
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
    if leader is None or line is None:
        return None
    shortest, longest = horizons

    def needed(run: Outcome) -> float:
        share = line.log_gain(1.0, target) - line.log_gain(1.0, loss_of(run))
        return math.exp(share) * run.recipe.horizon

    if loss_of(leader) <= target:
        horizon = max(shortest, round(SPARE * needed(leader), 3))
        fits = horizon <= NEARLY * leader.recipe.horizon
    else:
        runs = _like(known, leader)
        horizon = round(FURTHER * needed(max(runs, key=lambda run: run.recipe.horizon)), 3)
        fits = shortest <= horizon <= longest and all(loss_of(run) > target for run in runs)
    if not fits:
        return None
    recipe = dataclasses.replace(leader.recipe, horizon=horizon)
    return TrialSpec(0, "enqueued", workload, recipe, seed)


def _like(known: Sequence[Outcome], leader: Outcome) -> list[Outcome]:
    """Runs of the leader's recipe, whatever their horizon, that count as it does."""
    horizon = leader.recipe.horizon
    return [
        run
        for run in known
        if counts(run) and run.origin not in ASIDE
        if dataclasses.replace(run.recipe, horizon=horizon) == leader.recipe
    ]
