"""Trials of a search that re-run a member of the front on another seed: when, which member, on
which seed. Pure.

A front is chosen among many trials of one seed, so some of its members are there by luck. A share
of the sampled trials is spent on finding out. Such a trial is no new point: the sampler does not
hear of it and the front does not hold it. A confirmation's runs are none of these: they have an
origin of their own.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from tuning.trial.dominance import Floats, nondominated
from tuning.trial.line import Line
from tuning.trial.recipe import Recipe
from tuning.trial.trial import FIRST_FRESH, RUNG

if TYPE_CHECKING:
    from tuning.trial.outcome import Outcome

PROPOSED = ("enqueued", "sampled")
"""Origins of trials that may be replicated. The baseline and the control have references on other
seeds already.
"""


def is_replicate(share: float, place: int) -> bool:
    """Whether the trial at ``place``, counted from 0 after the baselines, is to be a replicate.

    Every ``1 / share``-th is, with what is left over carried on: floor(share·(place + 1)) >
    floor(share·place), where the share is the decimal number that was written, not its nearest
    binary fraction.

    >>> [place for place in range(30) if is_replicate(0.1, place)]
    [9, 19, 29]
    >>> [place for place in range(10) if is_replicate(0.3, place)]
    [3, 6, 9]
    """
    exact = Fraction(str(share))
    return math.floor(exact * (place + 1)) > math.floor(exact * place)


def choose(
    finished: Sequence[Outcome], begun: Mapping[Recipe, Collection[int]], first_seed: int
) -> tuple[Outcome, int] | None:
    """The member of the front to run again, and the seed; None where there is no such member.

    It is the one with the fewest replicates; among those the one furthest below the control at
    equal time, and then the one with the lowest number.

    Args:
        finished: the search's trials that are over, replicates aside.
        begun: the seeds that each schedule was or is being replicated on.
        first_seed: of the search.
    """
    ranked = []
    for lead, member in _schedules_on_front(finished):
        taken = begun.get(member.recipe, ())
        if (seed := _next_seed({*taken, member.seed}, first_seed)) is not None:
            ranked.append((len(taken), -lead, member.number, member, seed))
    # Numbers differ, so that members themselves are never compared.
    return min(ranked)[3:] if ranked else None


def _next_seed(taken: Collection[int], first_seed: int) -> int | None:
    """The least of the search's seeds above its first that is not ``taken``; None where all are."""
    return next(
        (seed for seed in range(first_seed + 1, first_seed + FIRST_FRESH) if seed not in taken),
        None,
    )


def _schedules_on_front(finished: Iterable[Outcome]) -> list[tuple[float, Outcome]]:
    """Schedules on the front, each with how far its loss lies below the control's at equal time."""
    known = [
        outcome
        for outcome in finished
        if outcome.state == "finished" and outcome.origin != RUNG and _is_point(outcome)
    ]
    seconds, losses = _axes(known)
    control = [o for o in known if o.recipe.is_control]
    line = Line.through(*_axes(control))
    members = [known[place] for place in np.flatnonzero(nondominated(seconds, losses))]
    return [(_lead(line, member), member) for member in members if _may_be_replicated(member)]


def _is_point(outcome: Outcome) -> bool:
    values = (outcome.train_seconds, outcome.val_loss)
    return all(value is not None and math.isfinite(value) for value in values)


def _axes(outcomes: Sequence[Outcome]) -> tuple[Floats, Floats]:
    points = np.array([(o.train_seconds, o.val_loss) for o in outcomes], dtype=float).reshape(-1, 2)
    return points[:, 0], points[:, 1]


def _may_be_replicated(member: Outcome) -> bool:
    schedule = member.recipe.is_schedule(member.mean_active_fraction)
    return schedule and member.origin in PROPOSED


def _lead(line: Line, member: Outcome) -> float:
    assert member.train_seconds is not None, "a member of the front is a point"
    assert member.val_loss is not None, "a member of the front is a point"
    there = line.loss_at(member.train_seconds)
    return 0.0 if there is None else there - member.val_loss
