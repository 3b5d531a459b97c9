"""Trials that are over, made up: a smooth trade of seconds for loss, for studies and samplers."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from search_spaces.base import SearchSpace
from tuning.study.samplers.draws import uniform
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe
from tuning.trial.trial import TrialSpec

TARGET = 1.9


def outcome_for(spec: TrialSpec, state: str = "finished") -> Outcome:
    """What training ``spec`` might have given: a function of nothing but the spec."""
    noise = random.Random(repr(sorted(spec.recipe.knobs.items())))
    seconds = 10 * spec.recipe.horizon * noise.uniform(0.7, 1.0)
    loss = 2.5 - 0.8 * spec.recipe.horizon + noise.uniform(0.0, 0.2)
    facts: Mapping[str, Any] = {"state": state, "train_seconds": seconds}
    if state == "finished":
        reached = loss <= TARGET
        facts = {
            **facts,
            "val_loss": loss,
            "reached": reached,
            "seconds_to_quality": seconds if reached else None,
        }
    return Outcome(
        spec.number, spec.origin, recipe=spec.recipe, target_loss=TARGET, seed=spec.seed, **facts
    )


def history(space: SearchSpace, count: int, *, unfinished: Sequence[int] = ()) -> list[Outcome]:
    """``count`` trials at uniform points of ``space``; those numbered in ``unfinished`` failed."""
    specs = (sampled(space, number) for number in range(count))
    return [
        outcome_for(spec, "failed" if spec.number in unfinished else "finished") for spec in specs
    ]


def sampled(space: SearchSpace, number: int, seed: int = 99) -> TrialSpec:
    """A trial at a uniform point of ``space``."""
    policy, horizon, knobs = space.split(uniform(space, seed, number))
    return TrialSpec(number, "sampled", "w", Recipe(policy, horizon, knobs), 0)


def outcomes() -> st.SearchStrategy[list[Outcome]]:
    """Trials in every state, with any number that a table may hold, NaN and infinity among them."""
    numbers = st.none() | st.floats(allow_nan=True, allow_infinity=True)
    one = st.builds(
        Outcome,
        number=st.just(0),
        origin=st.just("sampled"),
        state=st.sampled_from(["finished", "stopped", "failed"]),
        recipe=st.builds(Recipe, st.just("static_suffix"), st.floats(0.3, 1.0)),
        train_seconds=st.none() | st.floats(0, 1e6) | numbers,
        val_loss=st.none() | st.floats(0, 10) | numbers,
        seconds_to_quality=st.none() | st.floats(0, 1e6) | numbers,
        reached=st.none() | st.booleans(),
        target_loss=st.none() | st.floats(0, 10),
    )
    return st.lists(one, max_size=12).map(_numbered)


def _numbered(found: list[Outcome]) -> list[Outcome]:
    return [Outcome(**{**vars(outcome), "number": number}) for number, outcome in enumerate(found)]
