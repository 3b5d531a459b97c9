"""What is trained to take a recipe apart, and what its runs say: laws, and tables by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.frames import frame_of, record
from tests.tuning.trial.test_pieces import sampled
from tuning.findings.apart import Apart, apart_from_json, over
from tuning.findings.context import Noise
from tuning.findings.gains import Gained
from tuning.findings.verdict import Candidate
from tuning.study.apart import Plan, apart_of, known_runs, seeds_of
from tuning.trial.line import Line
from tuning.trial.metric import LOSS
from tuning.trial.outcome import Outcome
from tuning.trial.pieces import plain
from tuning.trial.recipe import Recipe
from tuning.trial.trial import FIRST_FRESH

LINE = Line(losses=np.array([1.0, 2.0, 3.0]), seconds=np.array([20.0, 10.0, 5.0]))
"""The own control: 10 s to a loss of 2, half as long to 3, twice as long to 1."""
MUON, HALF = {"optimizer": "muon"}, {"batch_start": 0.5}
EMA = {"averaging": "ema"}
BOTH = Recipe("full_update", 1.0, {**MUON, **HALF})


def plan_for(recipe: Recipe, seeds: tuple[int, ...] = (0,)) -> Plan:
    return Plan(Candidate(7, recipe), seeds, 1.0)


def run(recipe: Recipe, loss: float, seed: int = 0, **changes: Any) -> Outcome:
    values: dict[str, Any] = {
        "origin": "sampled",
        "state": "finished",
        "train_seconds": 10.0,
        "val_loss": loss,
    }
    return Outcome(number=0, recipe=recipe, seed=seed, **values | changes)


def apart(plan: Plan, *runs: Outcome, noise: Noise | None = None) -> Apart:
    known = {(plain(each.recipe), each.seed): each for each in runs}
    return apart_of(plan, known, LINE, noise, LOSS)


def only(**knobs: Any) -> Recipe:
    return Recipe("full_update", 1.0, knobs)


@given(sampled(), st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True))
def test_nothing_is_trained_twice(recipe: Recipe, seeds: list[int]) -> None:
    """No (recipe, seed) occurs twice, each trains as it says, and what is known is left out."""
    plan = plan_for(recipe, tuple(seeds))
    specs = plan.specs("w", {})
    runs = [(spec.recipe, spec.seed) for spec in specs]
    assert len(runs) == len(set(runs)) == len({(plain(r), s) for r, s in runs})
    assert len(runs) <= len(seeds) * (1 + 2 * len(plan.pieces))
    known = {run: _done(*run) for run in runs[::2]}
    left = [(spec.recipe, spec.seed) for spec in plan.specs("w", known)]
    assert left == runs[1::2]


def _done(recipe: Recipe, seed: int) -> Outcome:
    return run(recipe, 1.0, seed)


def test_of_two_pieces_one_off_is_the_other_alone() -> None:
    """Three recipes on each seed, not five."""
    assert plan_for(BOTH).recipes() == (BOTH, only(**MUON), only(**HALF))
    assert len(plan_for(BOTH, (0, 2000)).specs("w", {})) == 6


@pytest.mark.parametrize("recipe", [only(), only(**MUON), only(optimizer="own")])
def test_one_piece_or_none_trains_nothing(recipe: Recipe) -> None:
    """On as many seeds as one likes."""
    assert plan_for(recipe, (0, 2000)).specs("w", {}) == []


def test_what_each_brings() -> None:
    """All at 1.0 is a gain of 2; without Muon 2.0, a gain of 1; without the half batch halfway."""
    found = apart(plan_for(BOTH), run(BOTH, 1.0), run(only(**HALF), 2.0), run(only(**MUON), 1.5))
    muon, batch = found.pieces
    assert found.whole.gain == Gained(2.0)
    assert (muon.name, muon.brings) == ("optimizer", Gained(2.0))
    assert (batch.name, batch.brings) == ("batch", Gained(2.0 / 1.5))
    assert (muon.alone, batch.alone) == (batch.without, muon.without)
    assert "optimizer 2.00 and batch 1.33" in found.sentence
    assert "they help each other" in found.interaction
    assert "Batch gains nothing alone (1.00): it needs the others." in found.interaction


@pytest.mark.parametrize(
    ("muon", "batch", "words"),
    [
        (1.5, 1.5, "do part of each other's work"),
        (2.0, 1.0, "do not touch each other"),
        (0.5, 1.5, "is not known"),
    ],
)
def test_how_the_pieces_go_together(muon: float, batch: float, words: str) -> None:
    """1.5 × 1.5, 1 × 2 and a loss without a price, all beside a gain of 2."""
    runs = run(BOTH, 1.0), run(only(**HALF), batch), run(only(**MUON), muon)
    assert words in apart(plan_for(BOTH), *runs).interaction


def test_more_seeds_are_read_as_differences_to_the_whole() -> None:
    """Another seed's losses lie 5 higher, all of them: nothing changes but the spread."""
    plan = plan_for(BOTH, (0, 2000))
    pairs = [(BOTH, 1.0), (only(**HALF), 2.0), (only(**MUON), 1.5)]
    one = apart(plan_for(BOTH), *(run(*pair) for pair in pairs))
    two = apart(plan, *(run(r, v + up, s) for r, v in pairs for s, up in ((0, 0.0), (2000, 5.0))))
    for alone, both in zip(one.pieces, two.pieces, strict=True):
        assert both.brings == alone.brings
        assert both.without is not None
        assert (both.without.seeds, both.without.deviation) == (2, 0.0)


def test_a_run_that_failed_is_missing_and_counted() -> None:
    """What rests on it is None; the other piece's is not."""
    failed = run(only(**MUON), math.nan, state="failed")
    found = apart(plan_for(BOTH), run(BOTH, 1.0), run(only(**HALF), 2.0), failed)
    by_name = {piece.name: piece for piece in found.pieces}
    assert (found.failed, by_name["batch"].without, by_name["batch"].brings) == (1, None, None)
    assert by_name["optimizer"].brings == Gained(2.0)
    assert found.pieces[-1].name == "batch"


def test_noise_marks_what_may_be_luck() -> None:
    """0.5 apart is hidden by noise of that size, 1.0 is not."""
    runs = run(BOTH, 1.0), run(only(**HALF), 2.0), run(only(**MUON), 1.5)
    found = apart(plan_for(BOTH), *runs, noise=Noise(0.25, 5))
    assert [piece.in_noise for piece in found.pieces] == [False, True]
    assert "≈1.33" in found.sentence


def test_one_piece_brings_the_whole_gain() -> None:
    """And of none there is a sentence."""
    found = apart(plan_for(only(**MUON)), run(only(**MUON), 1.0))
    (piece,) = found.pieces
    assert piece.brings == found.whole.gain == Gained(2.0)
    assert "is 2.00 times as fast as your own recipe, all of it" in found.sentence
    assert "all of it by its one lever, optimizer" in found.sentence
    assert "pulls no lever" in apart(plan_for(only()), run(only(), 1.0)).sentence


def test_json_and_back() -> None:
    """Equal, knobs and bounds included."""
    runs = run(BOTH, 0.5), run(only(**HALF), 2.0), run(only(**MUON), 1.5)
    found = apart(plan_for(BOTH), *runs, noise=Noise(0.25, 5))
    assert found.whole.gain == Gained(2.0, "at least")
    assert apart_from_json(found.to_json()) == found


GAINS = st.builds(Gained, st.floats(0.01, 100), st.sampled_from(["", "at least", "at most"]))


@given(GAINS, GAINS, st.floats(1, 2), st.floats(1, 2))
def test_a_quotient_of_bounds_is_a_bound(
    whole: Gained, other: Gained, up: float, down: float
) -> None:
    """Draws gains that the bounds allow: their quotient is what the quotient's bound allows."""
    found = over(whole, other)
    if found is None:
        return
    quotient = _allowed(whole, up) / _allowed(other, down)
    slack = 1 + 1e-9
    if found.bound != "at least":
        assert quotient <= found.value * slack
    if found.bound != "at most":
        assert quotient * slack >= found.value


def _allowed(gain: Gained, factor: float) -> float:
    return {"": gain.value, "at least": gain.value * factor, "at most": gain.value / factor}[
        gain.bound
    ]


def test_known_runs_are_those_of_the_search_too() -> None:
    """Of any origin where they finished, written with defaults or without; others are not."""
    full: dict[str, Any] = {"policy": "full_update"}
    frame = frame_of(
        [
            record(0, 10.0, 1.0, **full, knobs={**MUON, **HALF, "batch_end": 1.0}),
            record(1, 10.0, 2.0, **full, knobs={**HALF, "optimizer": "own"}),
            record(2, None, None, **full, knobs=MUON, state="stopped"),
            record(3, 10.0, 1.1, **full, knobs=MUON, seed=1),
            record(4, 10.0, 1.1, **full, knobs=MUON, horizon=0.5),
            record(5, None, None, **full, knobs=MUON, state="failed", origin="confirmation"),
            record(6, 10.0, 1.7, **full, knobs=EMA),
        ]
    )
    known = known_runs(frame, plan_for(BOTH))
    assert {recipe: run.number for (recipe, _), run in known.items()} == {
        BOTH: 0,
        only(**HALF): 1,
        only(**MUON): 5,
    }


def test_fresh_seeds_are_no_confirmations() -> None:
    """The trial's own, then those beyond a thousand further; more of them begin with the same."""
    assert seeds_of(3, {3, 4}, 3, 1) == (3,)
    own, *fresh = seeds_of(3, {3, 2 * FIRST_FRESH + 3}, 3, 3)
    assert own == 3
    assert all(seed > 2 * FIRST_FRESH + 3 for seed in fresh)
    assert seeds_of(3, {3}, 3, 2) == seeds_of(3, {3}, 3, 4)[:2]
