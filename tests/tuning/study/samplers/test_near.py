"""Proposals near a good recipe: valid, close to it, where knobs are modelled one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.base import SearchSpace
from search_spaces.knobs import Choice, Float, Int, Knob, same
from search_spaces.registry import find_space
from tuning.study.samplers.draws import seed_of
from tuning.study.samplers.known import Point, points
from tuning.study.samplers.near import BEST, near
from tuning.study.samplers.sampler import KEEP_ONE, START, OptunaSampler
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe
from tuning.trial.trial import Scalar

SPACE = find_space("recipe")
units = st.floats(0.0, 1.0, exclude_max=True)


def point_at(space: SearchSpace, seed: int) -> dict[str, Scalar]:
    """Params at a place of the space that the seed draws."""
    return space.at(np.random.default_rng(seed).random(len(space.searched)).tolist())


@given(units, st.integers(0, 1000))
def test_a_number_lies_where_its_place_says(u: float, seed: int) -> None:
    """Property: the value at a value's place is the value."""
    generator = np.random.default_rng(seed)
    low, high = sorted(generator.uniform(0.01, 50.0, 2))
    knobs: list[Knob] = [
        Float("x", low, high),
        Float("x", low, high, log=True),
        Float("x", low, low),
        Int("x", int(low) + 1, int(high) + 1),
        Int("x", int(low) + 1, int(high) + 1, log=True),
    ]
    for knob in knobs:
        value = knob.at(u)
        assert 0.0 <= knob.place(value) <= 1.0
        assert knob.at(knob.place(value)) == pytest.approx(value)


def test_a_choice_has_no_place() -> None:
    """By hand: asking for it is a mistake of ours, and is told."""
    with pytest.raises(TypeError, match="a place is of a number's range"):
        Choice("kind", ("a", "b")).place("a")


@given(st.integers(0, 10_000))
def test_a_proposal_is_a_point_of_the_space(seed: int) -> None:
    """Property, whatever it is near: each knob that applies has a value of its range, no other
    has one, and the same seed proposes the same.
    """
    known = [Point(i, point_at(SPACE, seed + i), (float(i),)) for i in range(6)]
    made = near(SPACE, known, np.random.SeedSequence(seed))
    assert SPACE.active(made) == made
    assert all(SPACE.knob(name).contains(value) for name, value in made.items())
    assert made == near(SPACE, known, np.random.SeedSequence(seed))


def test_most_of_one_of_the_best_is_kept() -> None:
    """Of many proposals each has more than half of its choices from one of the best recipes, in
    all but a few, and every one of the best has its share; the worst, and what runs, have none.
    """
    known = [Point(i, point_at(SPACE, 100 + i), (float(i),)) for i in range(BEST + 4)]
    known.append(Point(BEST + 4, point_at(SPACE, 99), None))
    kept: list[int] = []
    for seed in range(200):
        made = near(SPACE, known, np.random.SeedSequence(seed))
        shares = [_shared(made, point.params) for point in known]
        kept.append(int(np.argmax(shares)))
        assert max(shares[:BEST]) > 0.3
    assert {0, 1, 2, 3} <= set(kept)
    assert sum(each < BEST for each in kept) >= 190


def _shared(made: dict[str, Scalar], params: dict[str, Scalar]) -> float:
    """The share of knobs that both have at the same value."""
    names = made.keys() | params.keys()
    both = made.keys() & params.keys()
    return sum(same(made[name], params[name]) for name in both) / len(names)


def outcome(number: int, gain: float) -> Outcome:
    """A finished trial of the space."""
    policy, horizon, knobs = SPACE.split(point_at(SPACE, number))
    return Outcome(
        number,
        "sampled",
        "finished",
        Recipe(policy, horizon, knobs),
        train_seconds=10.0 * horizon,
        val_loss=2.0 - gain,
        seconds_to_quality=10.0 * horizon,
        reached=True,
    )


HISTORY = [outcome(number, number / 100) for number in range(START + 2)]


@pytest.mark.parametrize(
    ("name", "objective", "keeps"),
    [
        ("tpe", "time-to-quality", True),
        ("tpe", "pareto", False),
        ("nsga2", "time-to-quality", False),
    ],
)
def test_every_other_proposal_of_tpe_is_near_a_good_one(
    name: str, objective: str, keeps: bool
) -> None:
    """Of the next eight, those with odd places, where knobs are modelled one by one towards one
    goal; no other.
    """
    sampler = OptunaSampler(SPACE, name, 0, objective, first=0)
    known = points(SPACE, objective, HISTORY, [], cap=1000)
    numbers = range(START, START + 8)
    near_one = {
        number
        for number in numbers
        if sampler.propose(number, HISTORY, []) == near(SPACE, known, seed_of(0, number))
    }
    assert near_one == {n for n in numbers if keeps and n % KEEP_ONE == 1}
