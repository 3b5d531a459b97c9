"""Proposals near the recipes that lead: which lead, how far a proposal is, and when it is made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.registry import find_space
from tests.support.outcomes import sampled
from tuning.study.samplers.known import remembered
from tuning.study.samplers.near import MOST_TURNED, PARENTS, leaders, near
from tuning.study.samplers.sampler import START, OptunaSampler
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe
from tuning.trial.trial import Scalar

RECIPE = find_space("recipe")
SECONDS = 10.0


def ran(number: int, recipe: Recipe, gain: float, origin: Any = "sampled") -> Outcome:
    """A run that has the own control's loss ``gain`` times sooner."""
    seconds = SECONDS * recipe.horizon
    loss = 2.0 - 0.3 * np.log(seconds * gain)
    return Outcome(number, origin, "finished", recipe, train_seconds=seconds, val_loss=float(loss))


def control() -> list[Outcome]:
    """Two runs of the own recipe, by which a gain is known."""
    return [ran(i, Recipe("full_update", h), 1.0, "control") for i, h in enumerate((0.5, 1.0))]


def recipes(count: int) -> list[Recipe]:
    """Points of the space that are no control of any kind."""
    drawn = (sampled(RECIPE, number).recipe for number in range(10 * count))
    return [recipe for recipe in drawn if recipe.control_kind is None][:count]


def turned(params: dict[str, Scalar], parent: dict[str, Scalar]) -> list[str]:
    """Knobs that apply to both and have another value."""
    return [name for name in parent if name in params and params[name] != parent[name]]


def test_the_best_lead_each_once_at_its_best_horizon() -> None:
    """Five recipes that gain, one of them at two horizons, and what does not lead at all."""
    own = recipes(7)
    gains = (1.2, 1.8, 1.5, 1.3, 1.4)
    over = [
        ran(2 + i, recipe, gain)
        for i, (recipe, gain) in enumerate(zip(own[:5], gains, strict=True))
    ]
    again = Recipe(own[1].policy, 0.75, own[1].knobs)
    over += [
        ran(10, again, 1.9),
        ran(11, own[5], 1.05),
        ran(12, own[6], 3.0, "replicate"),
        ran(13, Recipe("full_update", 1.0, {"rate": 2.0}), 2.0),
        ran(14, Recipe(own[1].policy, 0.2, own[1].knobs), 2.5),  # shorter than the space searches
    ]
    params = remembered(RECIPE)
    expected = [params(recipe) for recipe in (again, own[2], own[4], own[3])]
    assert leaders([*control(), *over], params) == expected
    assert len(expected) == PARENTS
    assert leaders([*control()[:1], *over], params) == []


def test_recipes_that_train_alike_lead_once() -> None:
    """One of batches of one size, and it with another place at which that would change."""
    found = next(
        recipe
        for recipe in recipes(200)
        if "batch_change_at" in recipe.knobs
        and recipe.knobs["batch_start"] == recipe.knobs["batch_end"]
    )
    alike = Recipe(found.policy, found.horizon, {**found.knobs, "batch_change_at": 0.61})
    params = remembered(RECIPE)
    over = [ran(2, found, 1.5), ran(3, alike, 1.5)]
    assert leaders([*control(), *over], params) == [params(found)]


@pytest.fixture(scope="module")
def leading() -> list[dict[str, Scalar]]:
    """Params of four recipes of the largest space."""
    own = recipes(PARENTS)
    over = [ran(2 + i, recipe, 2.0 - 0.1 * i) for i, recipe in enumerate(own)]
    return leaders([*control(), *over], remembered(RECIPE))


@given(seed=st.integers(0, 2**32))
def test_a_proposal_is_a_point_a_few_knobs_away(
    leading: list[dict[str, Scalar]], seed: int
) -> None:
    """Property: of one of those that lead some knobs are turned, five at most; the same ones for
    the same seed.
    """
    found = near(RECIPE, leading, np.random.SeedSequence(seed))
    assert all(RECIPE.knob(name).contains(value) for name, value in found.items())
    assert RECIPE.decide(lambda knob: found[knob.name]) == found
    least = min((turned(found, parent) for parent in leading), key=len)
    assert 1 <= len(least) <= MOST_TURNED
    assert near(RECIPE, leading, np.random.SeedSequence(seed)) == found


def proposals(objective: str, name: str = "tpe", gain: float = 2.0) -> list[dict[str, Scalar]]:
    """What a sampler proposes after one recipe of that gain, and that recipe's params first."""
    (best,) = recipes(1)
    known = [*control(), ran(2, best, gain)]
    sampler = OptunaSampler(RECIPE, name, 0, objective, first=3)
    asked = [sampler.propose(3 + i, known, []) for i in range(2 * START)]
    parent = remembered(RECIPE)(best)
    assert parent is not None
    return [parent, *asked]


def test_every_other_proposal_is_near_what_leads() -> None:
    """The rest is the space-filling start, place after place."""
    parent, *asked = proposals("time-to-quality")
    assert all(len(turned(each, parent)) <= MOST_TURNED for each in asked[::2])
    nothing, *start = proposals("time-to-quality", gain=1.0)
    assert asked[1::2] == start[:START]
    assert nothing == parent


@pytest.mark.parametrize(
    ("objective", "name", "gain"),
    [("pareto", "tpe", 2.0), ("time-to-quality", "random", 2.0), ("time-to-quality", "tpe", 1.05)],
)
def test_no_proposal_is_near_a_recipe_else(objective: str, name: str, gain: float) -> None:
    """Of a front, of draws that know nothing, and where what leads may be luck."""
    parent, *asked = proposals(objective, name, gain)
    assert sum(len(turned(each, parent)) <= 1 for each in asked) == 0
