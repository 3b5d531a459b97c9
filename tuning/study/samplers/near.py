"""Proposals near the recipes that lead a search: one of them with a few of its knobs turned.

What makes a recipe good goes together in a space of many levers, and TPE proposes each knob by
itself. Most steps are short in the number of knobs, as in an evolution strategy with restarts from
several parents ((μ + 1); Beyer and Schwefel 2002, Natural Computing 1, 3-52); what they brought is
in ``docs/decisions/likely-values.md``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from search_spaces.base import SearchSpace
from search_spaces.knobs import Fixed, Knob
from tuning.study.samplers.control_line import ControlLine
from tuning.study.samplers.known import ParamsOf
from tuning.study.samplers.values import counts
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe
from tuning.trial.trial import ASIDE, Scalar

PARENTS = 4
"""So many recipes lead."""
BEST_FIRST = 0.5
"""Chance of the best of them; else any of them is taken, the best among them."""
LEADS = math.log(1.1)
"""A smaller gain may be luck, and the neighbourhood of luck is no better than any place."""
MOST_TURNED = 5
"""Of a recipe's knobs: one with a chance of a half, two with a quarter, and so on."""


def leaders(finished: Sequence[Outcome], params_of: ParamsOf) -> list[dict[str, Scalar]]:
    """Params of the ``PARENTS`` recipes that gain most over the own control, the best first.

    Each at the horizon of the space at which it gained most; none that gains less than ``LEADS``,
    and nothing before two runs of the control are over.

    Args:
        finished: the search's trials that are over.
        params_of: what a recipe is in the space.
    """
    line = ControlLine.through([run for run in finished if run.recipe.is_control])
    if line is None:
        return []
    best: dict[Recipe, tuple[float, str, dict[str, Scalar]]] = {}
    for run in finished:
        like, point = _without_horizon(run.recipe), params_of(run.recipe)
        if like is None or point is None or run.origin in ASIDE or not counts(run):
            continue
        gain = line.log_gain(run.train_seconds or 0.0, run.val_loss or 0.0)
        if gain >= LEADS and (like not in best or gain > best[like][0]):
            best[like] = gain, run.recipe.digest_text, point
    ranked = sorted(best.values(), key=lambda each: (-each[0], each[1]))
    return [point for _, _, point in ranked[:PARENTS]]


@lru_cache(maxsize=4096)  # every ask is of all that were trained
def _without_horizon(recipe: Recipe) -> Recipe | None:
    """What is the same of a recipe at every horizon; None of a control."""
    return None if recipe.control_kind is not None else recipe.at_any_horizon()


def near(
    space: SearchSpace, leading: Sequence[dict[str, Scalar]], seed: np.random.SeedSequence
) -> dict[str, Scalar]:
    """Params of one of the leading recipes with some of its knobs turned.

    A knob that applies only now, as a gate has been opened, is drawn where it is likely to serve
    well.

    Args:
        space: what is searched.
        leading: at least one, the best first.
        seed: of all that the proposal draws.
    """
    draws = np.random.default_rng(seed)
    first = draws.random() < BEST_FIRST
    parent = leading[0 if first else int(draws.integers(len(leading)))]
    names = [k.name for k in space.searched if k.name in parent and len(k.values()) > 1]
    count = min(int(draws.geometric(0.5)), MOST_TURNED, len(names))
    turned = set(draws.choice(names, size=count, replace=False).tolist())

    def choose(knob: Knob) -> Scalar:
        if knob.name not in parent or isinstance(knob, Fixed):
            return knob.guess(float(draws.random()))
        if knob.name not in turned:
            return parent[knob.name]
        return knob.beside(parent[knob.name], draws)

    return space.decide(choose)
