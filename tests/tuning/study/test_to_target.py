"""A recipe that ends far from the target is trained again for as long as it takes there."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.rules import Scalar
from search_spaces.registry import find_space
from tuning.study.baselines import baseline_specs, searched_horizons
from tuning.study.samplers.sampler import OptunaSampler
from tuning.study.study import Asked, Study
from tuning.study.to_target import FURTHER, NEARLY, SPARE, TURNS, to_target
from tuning.study.tuned import EVERY
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe
from tuning.trial.trial import Origin

SPACE = find_space("recipe")
BASELINES = baseline_specs("w", 3, 2.0, space=SPACE)
MUON: dict[str, Scalar] = {"optimizer": "muon", "depth_start": 0.5}
TARGET = 2.0


def own_loss(seconds: float) -> float:
    """The own control's after so long: it has the target after 10 seconds."""
    return 2.0 - math.log(seconds / 10)


def ended(recipe: Recipe, gain: float, number: int = 20, origin: Origin = "sampled") -> Outcome:
    """A run of 10 seconds a horizon that is so many times as fast as the own control."""
    seconds = 10.0 * recipe.horizon
    return Outcome(number, origin, "finished", recipe, seconds, own_loss(gain * seconds), seed=3)


OWN = [
    ended(Recipe("full_update", horizon), 1.0, number)
    for number, horizon in enumerate((1.0, 0.5, 0.75, 1.5))
]


def horizon_after(
    *runs: Outcome, target: float = TARGET, horizons: tuple[float, float] = (0.1, 1.0)
) -> float | None:
    """Of the trial that comes after these and the own control's runs."""
    spec = to_target([*OWN, *runs], target, horizons, "w", 3)
    return None if spec is None else spec.recipe.horizon


@given(st.floats(1.2, 4.0), st.floats(0.5, 1.0), st.floats(1.5, 2.2))
def test_a_recipe_of_one_gain_ends_at_the_target(
    gain: float, horizon: float, target: float
) -> None:
    """Property: with a little to spare, where that is shorter than what led, or what led did not
    get there; else it is none.
    """
    leader = ended(Recipe("full_update", horizon, MUON), gain)
    assert leader.val_loss is not None
    there = leader.val_loss <= target
    needed = (SPARE if there else FURTHER) * math.exp(2.0 - target) / gain
    found = horizon_after(leader, target=target)
    most = NEARLY * horizon if there else 1.0
    if needed > most + 1e-3:
        assert found is None
    elif needed < most - 1e-3:
        assert found == pytest.approx(max(0.1, needed), abs=1e-3)


def test_one_that_had_the_target_at_another_horizon_is_left() -> None:
    """Where it gains most at one that is too short, that it got there is known. Where it fell short
    once more it goes on from there.
    """
    short = ended(Recipe("full_update", 0.5, MUON), 1.7)
    assert short.val_loss is not None
    assert short.val_loss > TARGET
    needed = horizon_after(short)
    assert needed == round(FURTHER / 1.7, 3)
    reached = ended(Recipe("full_update", needed, MUON), 1.65, 21)
    assert horizon_after(short, reached) is None
    missed = ended(Recipe("full_update", needed, MUON), 1.35, 21)
    assert horizon_after(short, missed) == round(FURTHER / 1.35, 3)
    hopeless = ended(Recipe("full_update", needed, MUON), 1.1, 21)
    assert horizon_after(short, hopeless) is None
    other = ended(Recipe("full_update", needed, {**MUON, "rate": 2.0}), 1.65, 21)
    assert horizon_after(short, other) == needed


def test_where_it_fell_short_of_the_target_it_goes_on_between() -> None:
    """The leader reached it at 0.5 and gains 4 there; at the horizon that should do it gains less
    and misses, and what is tried next lies between, until that is nearly as long.
    """
    long = ended(Recipe("full_update", 0.5, MUON), 4.0)
    first = horizon_after(long)
    assert first == round(SPARE / 4, 3)
    missed = ended(Recipe("full_update", first, MUON), 3.0, 21)
    second = horizon_after(long, missed)
    assert second == round(FURTHER / 3, 3)
    assert horizon_after(long, missed, ended(Recipe("full_update", second, MUON), 3.2, 22)) is None
    slow = ended(Recipe("full_update", first, MUON), 2.2, 21)
    assert horizon_after(long, slow) is None


def test_it_is_the_leaders_recipe_and_no_shorter_than_the_search_looks() -> None:
    """The one that gains most, knob by knob; where nothing leads it is none."""
    less = ended(Recipe("static_suffix", 1.0, {"active_fraction": 0.5}), 1.5, 21)
    most = ended(Recipe("full_update", 1.0, MUON), 2.0)
    spec = to_target([*OWN, less, most], TARGET, (0.1, 1.0), "w", 3)
    assert spec is not None
    assert spec.recipe == Recipe("full_update", round(SPARE / 2, 3), MUON)
    assert (spec.origin, spec.workload, spec.seed) == ("enqueued", "w", 3)
    assert horizon_after(most, horizons=(0.7, 1.0)) == 0.7
    assert horizon_after(most, horizons=(0.95, 1.0)) is None
    assert horizon_after() is None
    assert horizon_after(most, target=1.0) is None
    assert horizon_after(dataclasses.replace(most, state="failed")) is None
    assert to_target([most], TARGET, (0.1, 1.0), "w", 3) is None


def test_a_search_trains_it_once_for_a_leader() -> None:
    """In its turn, and not again while the same recipe leads at either horizon."""
    asked = Asked(
        len(BASELINES) + 3 * EVERY,
        "w",
        3,
        TARGET,
        baselines=BASELINES,
        horizons=searched_horizons(SPACE),
    )
    sampler = OptunaSampler(SPACE, "random", 3, "time-to-quality", first=len(BASELINES))
    study, specs = Study(SPACE, sampler, asked), []
    while (spec := study.ask()) is not None:
        best = spec.number == len(BASELINES)
        recipe = Recipe("full_update", 1.0, MUON) if best else spec.recipe
        fast = recipe.knobs == MUON
        gain = 1.0 if recipe.is_control else 1.6 if fast else 0.5
        study.tell(dataclasses.replace(ended(recipe, gain, spec.number), origin=spec.origin))
        specs.append(spec)
    again = [spec for spec in specs[len(BASELINES) :] if spec.origin == "enqueued"]
    assert [spec.number - len(BASELINES) for spec in again] == [TURNS[0]]
    assert again[0].recipe == Recipe("full_update", round(SPARE / 1.6, 3), MUON)
    assert again[0].target_loss == TARGET


def test_the_own_control_is_trained_for_as_short_right_after() -> None:
    """A recipe gains 4 at the shortest horizon that is sampled. It is trained down to the target,
    the own control for as long in the next trial, and neither again.
    """
    asked = Asked(
        len(BASELINES) + 3 * EVERY,
        "w",
        3,
        TARGET,
        baselines=BASELINES,
        horizons=(0.125, 1.0),
    )
    sampler = OptunaSampler(SPACE, "random", 3, "time-to-quality", first=len(BASELINES))
    study, specs = Study(SPACE, sampler, asked), []
    while (spec := study.ask()) is not None:
        best = spec.number == len(BASELINES)
        recipe = Recipe("full_update", 0.5, MUON) if best else spec.recipe
        gain = 1.0 if recipe.is_control else 4.0 if recipe.knobs == MUON else 0.5
        study.tell(dataclasses.replace(ended(recipe, gain, spec.number), origin=spec.origin))
        specs.append(spec)
    short = [place for place, spec in enumerate(specs) if spec.recipe.horizon < 0.5]
    down, beside = (specs[place] for place in short)
    assert short[1] == short[0] + 1
    assert down.recipe.knobs == MUON
    assert down.recipe.horizon == pytest.approx(SPARE / 4, abs=1e-3)
    assert beside.recipe == Recipe("full_update", down.recipe.horizon)
    assert (down.origin, beside.origin) == ("enqueued", "control")
