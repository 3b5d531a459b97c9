"""Rungs: what is looked at first, what goes on, what the sampler is told, and that a search with
them goes on as if nothing had happened.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.registry import find_space
from tests.support.outcomes import outcome_for
from tuning.study.baselines import baseline_specs, rung_controls
from tuning.study.samplers.known import points, remembered
from tuning.study.samplers.rungs import CHECK, KEEP, Rungs
from tuning.study.samplers.sampler import OptunaSampler
from tuning.study.study import Asked, Study
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe
from tuning.trial.trial import RUNG, TrialSpec

SPACE = find_space("optimizer")
BASELINES = baseline_specs("w", 3, space=SPACE)
RUNGS = Rungs(0.25, seed=3)
FIRST = len(BASELINES)


def ended(spec: TrialSpec) -> Outcome:
    """A run whose loss falls with its horizon, and a little with what its knobs say."""
    luck = 0.0 if spec.recipe.is_control else outcome_for(spec).val_loss or 0.0
    seconds = 10 * spec.recipe.horizon
    loss = 2 - 0.3 * math.log(seconds) + 0.05 * (luck % 1.0 - 0.5)
    return dataclasses.replace(
        outcome_for(spec), state="finished", train_seconds=seconds, val_loss=loss
    )


def study(
    trials: int,
    history: Sequence[Outcome] = (),
    *,
    name: str = "random",
    rungs: Rungs | None = RUNGS,
) -> Study:
    sampler = OptunaSampler(SPACE, name, 3, "time-to-quality", first=FIRST, rungs=rungs)
    looks = rung_controls(SPACE, "w", 3, 0.25)
    later = {FIRST + i: spec for i, spec in enumerate(looks)}
    asked = Asked(trials, "w", 3, 1.9, BASELINES, later, line_known=True, rungs=rungs)
    return Study(SPACE, sampler, asked, history)


def run(search: Study) -> list[TrialSpec]:
    """Ask and tell until the study is done."""
    specs = []
    while (spec := search.ask()) is not None:
        specs.append(spec)
        search.tell(ended(spec))
    return specs


@given(horizon=st.floats(1e-6, 100.0), share=st.sampled_from([0.125, 0.25, 0.5]))
def test_a_rung_tells_what_it_was_meant_for(horizon: float, share: float) -> None:
    """Property: exactly, whatever the horizon."""
    rungs, recipe = Rungs(share, 0), Recipe("full_update", horizon, {"rate": 2.0})
    assert rungs.first(recipe).horizon == share * horizon
    assert rungs.meant(rungs.first(recipe)) == recipe


def test_what_is_sampled_is_looked_at_before_it_is_trained() -> None:
    """Every sampled recipe that is trained as meant was a rung before, and most rungs are not."""
    specs = run(study(60))
    looked = {RUNGS.meant(s.recipe): s.number for s in specs if s.origin == RUNG}
    whole = [s for s in specs if s.origin == "sampled"]
    assert whole
    assert all(looked[spec.recipe] < spec.number for spec in whole)
    assert len(looked) / 4 < len(whole) < len(looked) * (KEEP + 2 / CHECK) + 1


def test_the_best_third_goes_on_and_some_by_lot() -> None:
    """At the end each of the best third was trained as meant; others by lot alone."""
    specs = run(study(60))
    ends = [ended(spec) for spec in specs]
    gains = RUNGS.gains(ends)
    ranked = sorted(gains, key=lambda number: -gains[number])
    by_number = {spec.number: spec for spec in specs}
    whole = {spec.recipe for spec in specs if spec.origin == "sampled"}
    best = ranked[: int(KEEP * len(ranked)) - 1]  # the last may still wait
    assert all(RUNGS.meant(by_number[number].recipe) in whole for number in best)


def test_without_a_control_nothing_goes_on() -> None:
    """What a rung is worth is not known before the control has two runs."""
    rung = TrialSpec(9, RUNG, "w", Recipe("full_update", 0.25, {"rate": 2.0}), 3)
    assert RUNGS.next([ended(rung)] * 9, lambda recipe: False) is None


@pytest.mark.parametrize("name", ["random", "tpe"])
@pytest.mark.parametrize("done", [0, FIRST, FIRST + 9, FIRST + 20, FIRST + 31])
def test_a_resumed_study_goes_on_as_the_straight_one(name: str, done: int) -> None:
    """Rebuilds the study from the first trials, in another order, and compares all that follow."""
    straight = run(study(FIRST + 34, name=name))
    history = [ended(spec) for spec in straight[:done]]
    random.Random(done).shuffle(history)
    assert run(study(FIRST + 34, history, name=name)) == straight[done:]


@pytest.mark.parametrize("first", range(FIRST, FIRST + 24, 5))
def test_extending_just_asks_on(first: int) -> None:
    """Some trials and more are the same as all at once."""
    before = run(study(first))
    after = run(study(FIRST + 25, [ended(spec) for spec in before]))
    assert before + after == run(study(FIRST + 25))


def test_no_recipe_is_looked_at_twice_nor_trained_twice() -> None:
    """Of a long search all recipes differ, rungs included."""
    specs = run(study(80, name="tpe"))
    assert len({spec.recipe for spec in specs}) == len(specs)


def test_a_look_is_told_as_given_up_and_never_as_finished() -> None:
    """A model has values of what was trained as meant; of the rest what the rung showed."""
    ends = [ended(spec) for spec in run(study(60))]
    whole = {end.recipe for end in ends if end.origin == "sampled"}
    rungs = {end.number: end for end in ends if end.origin == RUNG}
    known = {
        p.number: p for p in points(remembered(SPACE), "time-to-quality", ends, [], 1000, RUNGS)
    }
    for number, rung in rungs.items():
        if RUNGS.meant(rung.recipe) in whole:
            assert number not in known
        else:
            assert known[number].values is None
            assert known[number].looked is not None
    assert any(point.values is not None for point in known.values())


def test_a_failed_look_stands_behind_all_others() -> None:
    """It never goes on by merit, and a model is told the worst of it."""
    ends = [ended(spec) for spec in run(study(40))]
    failed = next(end.number for end in ends if end.origin == RUNG)
    ends = [
        dataclasses.replace(end, state="failed", val_loss=None, train_seconds=None)
        if end.number == failed
        else end
        for end in ends
    ]
    assert failed not in RUNGS.gains(ends)
    known = {
        p.number: p for p in points(remembered(SPACE), "time-to-quality", ends, [], 1000, RUNGS)
    }
    if failed in known:
        assert known[failed].looked == math.inf
