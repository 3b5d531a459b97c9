"""A search that levers win trains their numbers alone too, so that what is tuning is known."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from models.levers.levers import make_levers
from policies.rules import Scalar
from search_spaces.registry import find_space
from tuning.study.baselines import baseline_specs
from tuning.study.samplers.sampler import OptunaSampler
from tuning.study.study import Asked, Study
from tuning.study.tuned import EVERY, tuned_control
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe
from tuning.trial.trial import Origin, TrialSpec

SPACE = find_space("recipe")
BASELINES = baseline_specs("w", 3, space=SPACE)
MUON: dict[str, Scalar] = {"optimizer": "muon", "rate": 2.5, "decay_added": 0.2}
RAMP: dict[str, Scalar] = {"batch_start": 2.0, "batch_end": 1.0, "batch_change_at": 0.4}


def ended(recipe: Recipe, loss: float, number: int = 20, origin: Origin = "sampled") -> Outcome:
    """A run of 10 seconds a horizon."""
    spec = TrialSpec(number, "sampled", "w", recipe, 3)
    seconds = 10.0 * recipe.horizon
    done = Outcome(spec.number, spec.origin, "finished", recipe, seconds, loss, seed=3)
    return dataclasses.replace(done, origin=origin)


OWN = [
    ended(Recipe("full_update", horizon), 3.0 - horizon, number)
    for number, horizon in enumerate((1.0, 0.5, 0.75))
]


def numbers_of(*runs: Outcome) -> dict[str, object] | None:
    """Knobs of the tuned control after these and the own control's runs."""
    spec = tuned_control([*OWN, *runs], "w", 3)
    return None if spec is None else dict(spec.recipe.knobs)


def test_it_has_the_leaders_numbers_and_batch_and_nothing_else() -> None:
    """Of two that gain the one that gains more; a batch with all that goes with it."""
    less = ended(Recipe("static_suffix", 1.0, {"rate": 3.0}), 1.9)
    most = ended(Recipe("full_update", 1.0, {**MUON, **RAMP, "depth_start": 0.5}), 1.5, 21)
    assert numbers_of(less, most) == {"rate": 2.5, "decay_added": 0.2, **RAMP}
    assert numbers_of(less) == {"rate": 3.0}


def test_nothing_is_trained_where_it_would_tell_nothing() -> None:
    """The leader turns no number, is a control itself, gains nothing, was looked at only, or
    failed.
    """
    muon = Recipe("full_update", 1.0, MUON)
    assert numbers_of() is None
    assert numbers_of(ended(Recipe("full_update", 1.0, {"optimizer": "muon"}), 1.5)) is None
    assert numbers_of(ended(Recipe("full_update", 1.0, {"rate": 2.0}), 1.5)) is None
    assert numbers_of(ended(muon, 2.5)) is None
    assert numbers_of(ended(muon, 1.5, origin="rung")) is None
    assert numbers_of(dataclasses.replace(ended(muon, 1.5), state="failed")) is None
    assert tuned_control([ended(muon, 1.5)], "w", 3) is None


@given(st.integers(0, 20))
def test_it_is_a_tuned_control_that_can_be_trained(seed: int) -> None:
    """Property: whatever recipe of the space leads."""
    sampler = OptunaSampler(SPACE, "random", seed, "time-to-quality", first=0)
    policy, horizon, knobs = SPACE.split(sampler.draw(seed, 0))
    leader = ended(Recipe(policy, horizon, knobs), 0.5)
    spec = tuned_control([*OWN, leader], "w", 3)
    if spec is not None:
        assert spec.recipe.control_kind == "tuned"
        assert make_levers(spec.recipe.knobs).used


def test_a_search_trains_it_once_for_a_leader() -> None:
    """Among the first ``EVERY`` trials, and not again while the same recipe leads."""
    asked = Asked(len(BASELINES) + 3 * EVERY, "w", 3, None, baselines=BASELINES, tuned=True)
    sampler = OptunaSampler(SPACE, "random", 3, "time-to-quality", first=len(BASELINES))
    study, specs = Study(SPACE, sampler, asked), []
    while (spec := study.ask()) is not None:
        best = spec.number == len(BASELINES) + 1
        recipe = Recipe("full_update", 1.0, {**MUON, "depth_start": 0.5}) if best else spec.recipe
        loss = 3.0 - recipe.horizon if recipe.is_control else 1.0 if best else 9.0
        told = dataclasses.replace(ended(recipe, loss, spec.number), origin=spec.origin)
        study.tell(told)
        specs.append(spec)
    tuned = [spec for spec in specs[len(BASELINES) :] if spec.origin == "enqueued"]
    assert [spec.number - len(BASELINES) for spec in tuned] == [EVERY - 1]
    assert tuned[0].recipe == Recipe("full_update", 1.0, {"rate": 2.5, "decay_added": 0.2})
