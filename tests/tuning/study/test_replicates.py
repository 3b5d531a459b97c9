"""Which trials of a search are replicates, of what, and on which seeds."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.registry import find_space
from tests.support.outcomes import outcome_for
from tuning.study.baselines import baseline_specs
from tuning.study.replicates import choose, is_replicate
from tuning.study.samplers.sampler import OptunaSampler
from tuning.study.study import Asked, Study
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe
from tuning.trial.trial import FIRST_FRESH, REPLICATE, Scalar, TrialSpec

SPACE = find_space("static_suffix")
FIRST = 3
OWN = 5
SHARES = st.integers(0, 500).map(lambda thousandths: thousandths / 1000)


@given(share=SHARES, count=st.integers(0, 2000))
def test_the_share_of_any_number_of_trials_is_the_share_asked_for(share: float, count: int) -> None:
    """Property: among the first n there are exactly floor(share · n), reckoned in whole
    thousandths.
    """
    placed = sum(is_replicate(share, place) for place in range(count))
    assert placed == round(share * 1000) * count // 1000


def test_a_tenth_is_every_tenth_however_far() -> None:
    """The binary fraction next to 0.1 is not 0.1.

    Over ten thousand places nothing of that is seen.
    """
    assert [place for place in range(10_000) if is_replicate(0.1, place)] == list(
        range(9, 10_000, 10)
    )


def member(number: int, seconds: float, loss: float, **changes: object) -> Outcome:
    """A finished trial of a schedule that froze; its number makes its knobs its own."""
    base = Outcome(
        number,
        "sampled",
        "finished",
        Recipe("static_suffix", 1.0, {"active_fraction": number / 100}),
        seed=OWN,
    )
    facts = {"train_seconds": seconds, "val_loss": loss, "mean_active_fraction": 0.5, **changes}
    return dataclasses.replace(base, **facts)  # type: ignore[arg-type]


def control(number: int, seconds: float, loss: float) -> Outcome:
    return member(
        number,
        seconds,
        loss,
        origin="control",
        recipe=Recipe("full_update", seconds / 10),
    )


def schedule(outcome: Outcome) -> Recipe:
    return outcome.recipe


def dominated(point: Outcome, others: Sequence[Outcome]) -> bool:
    """By the definition: another is no worse on both axes and better on one."""
    pairs = [
        (o.train_seconds or 0.0, o.val_loss or 0.0)
        for o in (point, *others)
        if o.state == "finished"
    ]
    (seconds, loss), *rest = pairs
    return any(s <= seconds and v <= loss and (s, v) != (seconds, loss) for s, v in rest)


@st.composite
def searches(draw: st.DrawFn) -> tuple[list[Outcome], dict[Recipe, set[int]]]:
    """Trials on a coarse grid, so that there are ties, of every kind and state, and seeds they were
    replicated on.
    """
    kinds = st.fixed_dictionaries(
        {
            "origin": st.sampled_from(["sampled", "enqueued", "control"]),
            "state": st.sampled_from(["finished", "finished", "stopped", "failed"]),
            "mean_active_fraction": st.sampled_from([0.5, 1.0, None]),
        }
    )
    places = draw(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), kinds), max_size=12))
    found = [member(n, s, v, **kind) for n, (s, v, kind) in enumerate(places)]
    seeds = st.sets(st.integers(FIRST + 1, FIRST + 4), max_size=3)
    return found, {schedule(o): draw(seeds) for o in found}


@settings(deadline=None)
@given(search=searches())
def test_it_is_a_member_of_the_front_with_fewest_replicates_on_a_new_seed(
    search: tuple[list[Outcome], dict[Recipe, set[int]]],
) -> None:
    """Property, against the definition of the front.

    Replicated is the eligible member with the fewest replicates, on the least seed that is free.
    """
    finished, begun = search
    eligible = [
        o
        for o in finished
        if o.state == "finished" and o.origin != "control" and o.mean_active_fraction != 1.0
        if not dominated(o, [other for other in finished if other is not o])
    ]
    chosen = choose(finished, begun, FIRST)
    if chosen is None:
        assert not eligible
        return
    outcome, seed = chosen
    assert outcome in eligible
    assert len(begun[schedule(outcome)]) == min(len(begun[schedule(o)]) for o in eligible)
    free = set(range(FIRST + 1, FIRST + FIRST_FRESH)) - begun[schedule(outcome)] - {OWN}
    assert seed == min(free)


def test_the_schedule_furthest_below_the_control_comes_first() -> None:
    """Two members have no replicates.

    The one further below the control's line at its seconds goes first, though it came later.
    """
    runs = [control(0, 5.0, 3.0), control(1, 10.0, 2.0), member(2, 6.0, 2.7), member(3, 8.0, 2.1)]
    assert choose(runs, {}, FIRST) == (runs[3], FIRST + 1)
    assert choose(runs, {schedule(runs[3]): {FIRST + 1}}, FIRST) == (runs[2], FIRST + 1)
    assert choose(runs[2:], {}, FIRST) == (runs[2], FIRST + 1), "no control: the lowest number"


def test_a_member_that_had_every_seed_is_passed_over() -> None:
    """All seeds below a confirmation's are used up, so there is nobody to replicate."""
    only = member(0, 5.0, 2.0)
    every = set(range(FIRST + 1, FIRST + FIRST_FRESH))
    assert choose([only], {schedule(only): every - {FIRST + 7}}, FIRST) == (only, FIRST + 7)
    assert choose([only], {schedule(only): every}, FIRST) is None


@pytest.mark.parametrize(
    "change", [{"state": "failed"}, {"val_loss": None}, {"val_loss": float("nan")}]
)
def test_a_trial_without_a_place_is_not_replicated(change: dict[str, object]) -> None:
    """Failed, without a loss, or with one that is none."""
    assert choose([member(0, 5.0, 2.0, **change)], {}, FIRST) is None


def study(
    trials: int, share: float, history: Sequence[Outcome] = (), in_flight: Sequence[TrialSpec] = ()
) -> Study:
    baselines = baseline_specs("w", OWN)
    sampler = OptunaSampler(SPACE, "tpe", FIRST, "pareto", first=len(baseline_specs("w", 0)))
    asked = Asked(trials, "w", OWN, 1.9, baselines=baselines, replicates=share, first_seed=FIRST)
    return Study(SPACE, sampler, asked, history, in_flight)


def run(search: Study) -> list[TrialSpec]:
    specs = []
    while (spec := search.ask()) is not None:
        specs.append(spec)
        search.tell(outcome_for(spec))
    return specs


def test_a_search_ends_with_as_many_rows_as_asked_for() -> None:
    """The places that the share gives are replicates, on seeds of the search.

    All others are trials on its own seed.
    """
    specs = run(study(28, 0.3))
    assert [spec.number for spec in specs] == list(range(28))
    again = [spec for spec in specs if spec.origin == REPLICATE]
    assert [spec.number for spec in again] == [
        8 + place for place in range(20) if is_replicate(0.3, place)
    ]
    assert all(OWN != spec.seed < FIRST + FIRST_FRESH for spec in again)
    assert (
        len(
            {
                (spec.recipe.policy, spec.recipe.horizon, repr(spec.recipe.knobs), spec.seed)
                for spec in specs
            }
        )
        == 28
    )
    assert {spec.seed for spec in specs if spec.origin != REPLICATE} == {OWN}


@settings(max_examples=10, deadline=None)
@given(done=st.integers(0, 22), flying=st.integers(0, 1), order=st.randoms(use_true_random=False))
def test_a_resumed_study_goes_on_as_the_straight_one(
    done: int, flying: int, order: random.Random
) -> None:
    """Property: rebuilt from the first trials in any order, it asks for what follows.

    Extending the search does the same.
    """
    straight = run(study(22, 0.5))
    history = [outcome_for(spec) for spec in straight[:done]]
    order.shuffle(history)
    resumed = study(22, 0.5, history, straight[done : done + flying])
    for spec in resumed.in_flight:
        resumed.tell(outcome_for(spec))
    assert run(resumed) == straight[done + flying :]
    assert run(study(done, 0.5)) == straight[:done]


def test_without_a_member_to_replicate_a_trial_is_sampled() -> None:
    """Everything fails, so nothing is on the front.

    And with a share of 0 there is never a replicate.
    """
    search, origins = study(14, 0.5), list[str]()
    while (spec := search.ask()) is not None:
        origins.append(spec.origin)
        search.tell(outcome_for(spec, "failed"))
    assert origins[8:] == ["sampled"] * 6
    assert REPLICATE not in {spec.origin for spec in run(study(20, 0.0))}


def test_replicates_in_flight_count_so_that_workers_share_seeds_out() -> None:
    """Asked for without any ending, replicates are of different members or on different seeds."""
    search = study(40, 0.5, [outcome_for(spec) for spec in run(study(12, 0.0))])
    asked = [spec for _ in range(12) if (spec := search.ask()) is not None]
    again = [spec for spec in asked if spec.origin == REPLICATE]
    assert len(again) == 6
    assert len({(repr(spec.recipe.knobs), spec.seed) for spec in again}) == 6


def test_the_sampler_hears_nothing_of_replicates() -> None:
    """A sampler that notes what it is shown: no replicate among the finished, none in flight."""
    seen: list[str] = []

    class Noting(OptunaSampler):
        def propose(
            self,
            number: int,
            finished: Sequence[Outcome],
            in_flight: Sequence[TrialSpec],
            attempt: int = 0,
        ) -> dict[str, Scalar]:
            seen.extend(
                [*(trial.origin for trial in finished), *(trial.origin for trial in in_flight)]
            )
            return super().propose(number, finished, in_flight, attempt)

    sampler = Noting(SPACE, "random", FIRST, "pareto", first=len(baseline_specs("w", 0)))
    known = [outcome_for(spec) for spec in run(study(12, 0.5))]
    baselines = baseline_specs("w", OWN)
    asked = Asked(18, "w", OWN, 1.9, baselines=baselines, replicates=0.5, first_seed=FIRST)
    search = Study(SPACE, sampler, asked, known)
    assert REPLICATE in {spec.origin for _ in range(6) if (spec := search.ask()) is not None}
    assert "sampled" in seen
    assert REPLICATE not in seen


@given(share=SHARES)
def test_a_share_is_taken_as_written(share: float) -> None:
    """Property: one tenth is the decimal one, whose tenth place is the first whole one."""
    if share:
        first = next(place for place in range(1001) if is_replicate(share, place))
        assert first + 1 == -(-1 // Fraction(str(share)))
