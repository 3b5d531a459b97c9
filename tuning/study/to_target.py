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
"""Of each ``EVERY`` trials after the baselines (``tuning.study.tuned``), the places of those that
are spent on this where it tells something new.
"""
SPARE = 1.05
"""By which factor the run is longer than it should need to be, so that noise does not leave it just
above the target.
"""
FURTHER = 1.2
"""The same factor where the leader has not reached the target: some of its lead is owed to luck."""
NEARLY = 0.9
"""The largest share of a horizon that is tried where the leader reached the target in that: a
longer run would tell nothing new.
"""
SHORTER = 0.25
"""The least share of the shortest horizon of the search that is tried: a recipe that is several
times as fast has the target long before the end of any horizon that is sampled.
"""


def to_target(
    known: Sequence[Outcome], target: float, horizons: tuple[float, float], workload: str, seed: int
) -> TrialSpec | None:
    """The leader at the horizon at which it should reach ``target``. Its number is not chosen yet.

    None where that is nearly as long as a run of it that reached the target, or longer than the
    search looks, and where no recipe gains.

    Args:
        known: the search's trials that are over.
        target: the loss.
        horizons: the shortest and the longest at which the search looks.
        workload: the workload of all the search's trials.
        seed: the seed of the search's trials.
    """
    leader, line = leading(known), own_line(known)
    if leader is None or line is None:
        return None
    shortest, longest = horizons

    def needed(run: Outcome) -> float:
        # The second cancels: left is the log of the control's seconds at one loss over the other's.
        share = line.log_gain(1.0, target) - line.log_gain(1.0, loss_of(run))
        return math.exp(share) * run.recipe.horizon

    runs = sorted(_like(known, leader), key=lambda run: run.recipe.horizon)
    there = next((run for run in runs if loss_of(run) <= target), None)
    short = runs if there is None else runs[: runs.index(there)]
    # The longest that fell short is nearest to where the recipe has the target.
    horizon = FURTHER * needed(short[-1]) if short else SPARE * needed(runs[0])
    horizon = max(shortest, round(horizon, 3))
    if horizon > (longest if there is None else NEARLY * there.recipe.horizon):
        return None
    recipe = dataclasses.replace(leader.recipe, horizon=horizon)
    return TrialSpec(0, "enqueued", workload, recipe, seed)


def _like(known: Sequence[Outcome], leader: Outcome) -> list[Outcome]:
    """Runs of the leader's recipe at any horizon that finished and are no re-runs."""
    recipe = leader.recipe.at_any_horizon()
    return [
        run
        for run in known
        if counts(run) and run.origin not in ASIDE and run.recipe.at_any_horizon() == recipe
    ]
