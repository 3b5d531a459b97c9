"""The own control beyond the baseline's horizon, so that a loss better than the baseline's has a
price.

Such a run costs more than a trial, and where nothing ends below the own control it tells nothing;
so it is trained once a trial has ended below, and goes further only where that helped:
``docs/decisions/three-controls.md``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tuning.study.leader import loss_of
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import CONTROL_POLICY, Recipe
from tuning.trial.trial import TrialSpec

LONGER = (1.5, 2.25)
"""Horizons, each half as long again as the one before it."""


def longer_control(known: Sequence[Outcome], workload: str, seed: int) -> TrialSpec | None:
    """The own control's next longer run; None while it would not help to price a loss. Its number
    is not chosen yet.

    Args:
        known: the search's trials that are over.
        workload: the workload of all the search's trials.
        seed: the seed of the search's trials.
    """
    ended = [o for o in known if o.state == "finished" and _is_number(o.val_loss)]
    horizon = next_longer({o.recipe.horizon: loss_of(o) for o in ended if o.recipe.is_control})
    if horizon is None:
        return None
    own = min(loss_of(o) for o in ended if o.recipe.is_control)
    if not any(loss_of(o) < own for o in ended):
        return None
    recipe = Recipe(CONTROL_POLICY, horizon)
    return TrialSpec(0, "control", workload, recipe, seed)


def next_longer(losses: dict[float, float]) -> float | None:
    """The first horizon in ``LONGER`` beyond those of the own control's final ``losses``, given by
    horizon.

    None past the last one, and where a run beyond the baseline's horizon was no better than a
    shorter one. That the baseline itself is no better than a shorter run may be luck, and tells
    nothing about a longer one.

    >>> next_longer({0.5: 2.0, 1.0: 1.9}), next_longer({1.0: 1.9, 1.5: 1.95})
    (1.5, None)
    """
    if not losses:
        return None
    if max(losses) >= min(LONGER) and losses[max(losses)] > min(losses.values()):
        return None
    return next((horizon for horizon in LONGER if horizon > max(losses)), None)


def _is_number(loss: float | None) -> bool:
    return loss is not None and math.isfinite(loss)
