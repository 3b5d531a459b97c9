"""TPE that is shown no more than it needs proposes what it does when it is shown everything."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.samplers import TPESampler

from benchmarks.cost.search_sides import suggest
from search_spaces.registry import find_space
from tuning.study.samplers.draws import uniform
from tuning.study.samplers.known import Point
from tuning.study.samplers.narrowed import good_of
from tuning.study.samplers.optuna_ask import propose, study_of

VALUES = st.integers(-3, 3).map(float) | st.floats(-1e6, 1e6)
"""Ties among them, which Optuna splits by number."""
LOOKS = st.integers(-3, 3).map(float) | st.just(math.inf)


@st.composite
def told(draw: st.DrawFn, space: str) -> list[Point]:
    """Trials at uniform points: over, in flight, and given up on a rung."""
    kinds = draw(st.lists(st.sampled_from(["over", "over", "over", "flying", "looked"])))
    kinds = ["over", *kinds * draw(st.integers(1, 4))]
    return [
        Point(
            number,
            uniform(find_space(space), 1, number),
            (draw(VALUES),) if kind == "over" else None,
            draw(LOOKS) if kind == "looked" else None,
        )
        for number, kind in enumerate(kinds)
    ]


@pytest.mark.parametrize("space", ["recipe", "dynamic_suffix", "static_suffix"])
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_it_proposes_what_it_does_of_all(space: str, data: st.DataObject, seed: int) -> None:
    """Property: beside Optuna's own sampler, told all trials and asked as its documentation shows,
    whatever the states and values; to the bit.
    """
    points, entropy = data.draw(told(space)), np.random.SeedSequence(seed)
    study = study_of(find_space(space), points, 1)
    study.sampler = TPESampler(
        seed=int(entropy.generate_state(1)[0]), n_startup_trials=0, constant_liar=True
    )
    plain = suggest(find_space(space), study.ask())
    assert propose("tpe", find_space(space), points, 1, entropy) == plain


def test_it_does_so_in_a_long_search() -> None:
    """Of 400 trials the good ones are no tenth any more."""
    space, entropy = find_space("recipe"), np.random.SeedSequence(3)
    points = [Point(n, uniform(space, 1, n), (math.sin(n),)) for n in range(400)]
    study = study_of(space, points, 1)
    study.sampler = TPESampler(seed=int(entropy.generate_state(1)[0]), constant_liar=True)
    assert propose("tpe", space, points, 1, entropy) == suggest(space, study.ask())


@given(over=st.integers(0, 1000))
def test_one_more_trial_is_one_more_good_one_at_most(over: int) -> None:
    """Property: what is added to keep a split always gets there."""
    assert good_of(over) <= good_of(over + 1) <= good_of(over) + 1
