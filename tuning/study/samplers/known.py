"""Which trials a model is fitted to: points of the space, and no more of them than an ask can
afford.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_spaces.base import SearchSpace
from tuning.study.samplers.rungs import Rungs
from tuning.study.samplers.values import Values, values_of
from tuning.trial.dominance import nondominated
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe
from tuning.trial.trial import ASIDE, RUNG, Scalar, TrialSpec

KEPT_BEST = 0.5
"""The best trials take up to this share of what is kept; the newest take the rest."""


ParamsOf = Callable[[Recipe], dict[str, Scalar] | None]
"""From a recipe to its params in a space; None where it is no point of the space."""


def remembered(space: SearchSpace) -> ParamsOf:
    """A function from a recipe to its params that works them out once for each recipe: every ask is
    about all recipes that were trained.
    """
    known: dict[Recipe, dict[str, Scalar] | None] = {}

    def params_of(recipe: Recipe) -> dict[str, Scalar] | None:
        if recipe not in known:
            known[recipe] = space.params_of(recipe.policy, recipe.horizon, recipe.knobs)
        return known[recipe]

    return params_of


@dataclass(frozen=True)
class Point:
    """A trial as a model sees it: its params in the space and, once it is over, its ``values``
    (None before).

    Attributes:
        looked: the value on its rung of a recipe that was only looked at, which is not comparable
            to ``values``; None for any other.
    """

    number: int
    params: dict[str, Scalar]
    values: Values | None
    looked: float | None = None


def points(
    params_of: ParamsOf,
    objective: str,
    finished: Sequence[Outcome],
    in_flight: Sequence[TrialSpec],
    cap: int,
    rungs: Rungs | None = None,
) -> list[Point]:
    """At most ``cap`` finished trials that are points of the space, and all trials in flight that
    are, by number.

    Beyond ``cap`` the best (the front, or the least seconds to quality) and the newest are kept. Of
    recipes that were looked at on ``rungs`` and did not go on, the newest ``cap`` are added.
    """
    kept = [
        (o, params)
        for o in within(finished, objective, cap)
        if (params := _params(params_of, o)) is not None
    ]
    # Of all that are over: those that are kept may have too few controls for a line.
    controls = [outcome for outcome in finished if outcome.recipe.is_control]
    values = values_of([outcome for outcome, _ in kept], objective, controls)
    over = [Point(o.number, params, v) for (o, params), v in zip(kept, values, strict=True)]
    running = [
        Point(spec.number, params, None)
        for spec in in_flight
        if (params := _params(params_of, spec, rungs)) is not None
    ]
    looked = _looked(params_of, finished, in_flight, rungs)[-cap:] if rungs else []
    return sorted([*over, *running, *looked], key=lambda point: point.number)


def _looked(
    params_of: ParamsOf, finished: Sequence[Outcome], in_flight: Sequence[TrialSpec], rungs: Rungs
) -> list[Point]:
    """Recipes that were only looked at, each with its negative log gain on the rung."""
    trials: list[Outcome | TrialSpec] = [*finished, *in_flight]
    whole = {trial.recipe for trial in trials if trial.origin != RUNG}
    gains = rungs.gains(finished)
    return [
        # A rung that failed, or that nothing prices yet, comes after all others.
        Point(run.number, params, None, -gains.get(run.number, -math.inf))
        for run in finished
        if run.origin == RUNG
        and rungs.meant(run.recipe) not in whole
        and (params := _params(params_of, run, rungs)) is not None
    ]


def within(finished: Sequence[Outcome], objective: str, cap: int) -> list[Outcome]:
    """``finished`` without replicates; where that is more than ``cap`` trials, the best and the
    newest of them, ``cap`` in all, in the same order.
    """
    trials = [outcome for outcome in finished if outcome.origin not in ASIDE]
    if len(trials) <= cap:
        return trials
    chosen = set(_best(trials, objective, int(cap * KEPT_BEST)).tolist())
    newest = (i for i in reversed(range(len(trials))) if i not in chosen)
    chosen.update(i for i, _ in zip(newest, range(cap - len(chosen)), strict=False))
    return [trials[i] for i in sorted(chosen)]


def _best(trials: Sequence[Outcome], objective: str, count: int) -> NDArray[np.intp]:
    """Indices of the front, thinned evenly to ``count``, or of the ``count`` soonest to reach the
    target.
    """
    over = np.array([outcome.state == "finished" for outcome in trials])
    if objective == "pareto":
        front = _front(
            np.where(over, _column([outcome.train_seconds for outcome in trials]), np.inf),
            np.where(over, _column([outcome.val_loss for outcome in trials]), np.inf),
        )
        places = np.linspace(0, len(front) - 1, min(count, len(front))).round().astype(int)
        return np.asarray(front[np.unique(places)])
    seconds = np.where(over, _column([outcome.seconds_to_quality for outcome in trials]), np.inf)
    best = np.argsort(seconds, kind="stable")[:count]
    return np.asarray(best[np.isfinite(seconds[best])])


def _front(seconds: NDArray[np.float64], losses: NDArray[np.float64]) -> NDArray[np.intp]:
    """Indices of the non-dominated pairs, by seconds, one of each; none of them is infinite."""
    finite = np.flatnonzero(np.isfinite(seconds) & np.isfinite(losses))
    kept = finite[nondominated(seconds[finite], losses[finite])]
    _, first = np.unique(np.column_stack([seconds, losses])[kept], axis=0, return_index=True)
    return np.asarray(kept[first])


def _column(values: list[float | None]) -> NDArray[np.float64]:
    """Numbers with infinity for what is missing."""
    column = np.array(values, dtype=np.float64)
    column[np.isnan(column)] = np.inf
    return column


def _params(
    params_of: ParamsOf, trial: Outcome | TrialSpec, rungs: Rungs | None = None
) -> dict[str, Scalar] | None:
    """The params of a trial; for a rung, those of the recipe that it is a short look at. None where
    it is no point of the space.
    """
    recipe = rungs.meant(trial.recipe) if rungs and trial.origin == RUNG else trial.recipe
    return params_of(recipe)
