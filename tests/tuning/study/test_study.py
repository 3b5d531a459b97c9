"""The study: numbers, baselines, repeats, resuming and extending."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.base import SearchSpace, horizon
from search_spaces.knobs import Choice, Fixed
from search_spaces.registry import find_space
from tests.support.outcomes import outcome_for
from tests.support.strategies import records
from tuning.study.baselines import CONTROL_HORIZONS, baseline_specs
from tuning.study.samplers.sampler import OptunaSampler
from tuning.study.study import Asked, Study
from tuning.trial.outcome import Outcome, outcome_of
from tuning.trial.recipe import Recipe
from tuning.trial.trial import FIRST_FRESH, Scalar, TrialRecord, TrialSpec

SPACE = find_space("static_suffix")
BASELINES = baseline_specs("w", 3)


def study(
    trials: int,
    history: Sequence[Outcome] = (),
    in_flight: Sequence[TrialSpec] = (),
    name: str = "random",
) -> Study:
    return Study(
        SPACE,
        OptunaSampler(SPACE, name, 3, "pareto", first=len(BASELINES)),
        Asked(trials, "w", 3, 1.9, baselines=BASELINES),
        history,
        in_flight,
    )


def run(search: Study) -> list[TrialSpec]:
    """Ask and tell until the study is done."""
    specs = []
    while (spec := search.ask()) is not None:
        specs.append(spec)
        search.tell(outcome_for(spec))
    return specs


@given(record=records())
def test_an_outcome_is_a_record_without_its_measurements(record: TrialRecord) -> None:
    """Property: every field of the outcome is the record's."""
    outcome = outcome_of(record)
    assert all(
        getattr(record, f.name) == getattr(outcome, f.name) for f in dataclasses.fields(Outcome)
    )


def test_baselines_come_first_in_their_order() -> None:
    """Full update, the control's horizons, the presets; then what is sampled. All on one seed."""
    specs = run(study(12))
    assert [s.number for s in specs] == list(range(12))
    assert (specs[0].recipe.policy, specs[0].recipe.horizon, specs[0].origin) == (
        "full_update",
        1.0,
        "baseline",
    )
    assert [(s.recipe.policy, s.recipe.horizon, s.origin) for s in specs[1:5]] == [
        ("full_update", horizon, "control") for horizon in CONTROL_HORIZONS
    ]
    assert [s.recipe.policy for s in specs[5:8]] == [
        "static_suffix",
        "dynamic_suffix",
        "dynamic_suffix",
    ]
    assert [s.origin for s in specs[5:]] == ["enqueued"] * 3 + ["sampled"] * 4
    assert {(s.seed, s.target_loss, s.workload) for s in specs} == {(3, 1.9, "w")}


def test_few_trials_are_the_first_baselines() -> None:
    """Three trials: the baseline and two controls."""
    assert [s.origin for s in run(study(3))] == ["baseline", "control", "control"]


def test_presets_give_only_the_knobs_that_apply() -> None:
    """The gate of one is shut, so its window is no knob of that trial.

    The policy made is the preset.
    """
    from policies.presets import PRESETS
    from policies.registry import make_policy

    *_, tuned, second = BASELINES
    assert "stability_window" in tuned.recipe.knobs
    assert "stability_window" not in second.recipe.knobs
    assert make_policy(tuned.recipe.policy, tuned.recipe.knobs) == PRESETS["tuned"]
    assert make_policy(second.recipe.policy, second.recipe.knobs) == PRESETS["tuned_v2"]


@pytest.mark.parametrize("name", ["random", "tpe"])
@pytest.mark.parametrize("done", [0, 5, 8, 14, 19, 25])
def test_a_resumed_study_goes_on_as_the_straight_one(name: str, done: int) -> None:
    """Rebuilds the study from the first trials, in another order, and compares all that follow."""
    straight = run(study(25, name=name))
    history = [outcome_for(spec) for spec in straight[:done]]
    random.Random(done).shuffle(history)
    assert run(study(25, history, name=name)) == straight[done:]


def test_extending_just_asks_on() -> None:
    """Twelve trials and eight more are the same as twenty."""
    first = run(study(12))
    assert first + run(study(20, [outcome_for(spec) for spec in first])) == run(study(20))


def test_trials_in_flight_are_not_asked_again() -> None:
    """A study rebuilt with two trials in flight gives the numbers after them, and counts them."""
    straight = run(study(12))
    history = [outcome_for(spec) for spec in straight[:9]]
    resumed = study(12, history, straight[9:11])
    assert [s.number for s in resumed.in_flight] == [9, 10]
    assert [s.number for s in run(resumed)] == [11]


def test_a_lost_number_is_given_again() -> None:
    """Numbers stay dense whichever trial left no trace.

    A baseline's number is that baseline again.
    """
    straight = run(study(12))
    history = [outcome_for(spec) for spec in straight if spec.number not in (2, 9)]
    assert [s.number for s in run(study(13, history))] == [2, 9, 12]
    assert study(13, history).ask() == straight[2]


def test_a_confirmations_runs_are_not_counted_but_have_numbers() -> None:
    """Confirmation's rows take numbers; the trials asked for are still made."""
    straight = run(study(10))
    replicates = [
        dataclasses.replace(outcome_for(straight[0]), number=n, origin="confirmation", seed=1003)
        for n in (10, 11)
    ]
    resumed = study(11, [*map(outcome_for, straight), *replicates])
    assert [s.number for s in run(resumed)] == [12]
    assert len(resumed.finished) == 11


def test_a_record_told_again_replaces_the_first() -> None:
    """A failed trial that was run again is one trial, finished."""
    search = study(9)
    run(search)
    spec = BASELINES[4]
    search.tell(outcome_for(spec, "failed"))
    search.tell(outcome_for(spec))
    assert [o.number for o in search.finished] == list(range(9))
    assert search.finished[4].state == "finished"
    assert search.ask() is None


@settings(max_examples=30, deadline=None)
@given(order=st.randoms(use_true_random=False), workers=st.integers(1, 6))
def test_whatever_the_order_numbers_are_dense_and_knobs_differ(
    order: random.Random, workers: int
) -> None:
    """Property: asks and tells interleave as workers would; every trial comes once, none twice."""
    search = study(24)
    flying: list[TrialSpec] = []
    specs: list[TrialSpec] = []
    while True:
        if len(flying) < workers and (spec := search.ask()) is not None:
            flying.append(spec)
            specs.append(spec)
        elif flying:
            search.tell(outcome_for(flying.pop(order.randrange(len(flying)))))
        else:
            break
    assert [s.number for s in specs] == list(range(24))
    assert (
        len({(s.recipe.policy, s.recipe.horizon, *sorted(s.recipe.knobs.items())) for s in specs})
        == 24
    )


def test_a_space_of_few_points_is_exhausted_and_says_so() -> None:
    """Four points are tried once each, and then the study ends before its trials do."""
    few = SearchSpace(
        "few",
        "four points",
        (
            Choice("horizon", (0.5, 1.0)),
            Choice("active_fraction", (0.25, 0.75)),
        ),
        "static_suffix",
    )
    sampler = OptunaSampler(few, "random", 0, "pareto", first=len(BASELINES))
    search = Study(few, sampler, Asked(10, "w", 0, None))
    assert {(s.recipe.horizon, s.recipe.knobs["active_fraction"]) for s in run(search)} == {
        (h, a) for h in (0.5, 1.0) for a in (0.25, 0.75)
    }
    assert search.exhausted


def test_a_proposal_that_repeats_is_drawn_again() -> None:
    """A sampler that always says the same is asked with further attempts, then uniform draws are
    made.
    """
    attempts = []

    class Stubborn(OptunaSampler):
        def propose(
            self,
            number: int,
            finished: Sequence[Outcome],
            in_flight: Sequence[TrialSpec],
            attempt: int = 0,
        ) -> dict[str, Scalar]:
            attempts.append(attempt)
            return {"horizon": 0.5, "active_fraction": 0.5}

    sampler = Stubborn(SPACE, "tpe", 0, "pareto", first=len(BASELINES))
    search = Study(SPACE, sampler, Asked(2, "w", 0, None))
    first, second = run(search)
    assert first.recipe.knobs == {"active_fraction": 0.5}
    assert second.recipe.knobs != first.recipe.knobs
    assert attempts == [0, *range(8)]


def test_a_proposal_that_trains_what_was_trained_is_drawn_again() -> None:
    """When a batch changes to the size that it has is no other recipe, so there are three points
    here and not six.
    """
    space = SearchSpace(
        "batches",
        "",
        (
            Fixed("horizon", 0.5),
            Choice("batch_start", (2.0,)),
            Choice("batch_end", (2.0, 4.0)),
            Choice("batch_change_at", (0.2, 0.4)),
        ),
        "full_update",
    )
    sampler = OptunaSampler(space, "random", 0, "time-to-quality", first=0)
    search = Study(space, sampler, Asked(20, "w", 0, None))
    found = [spec.recipe.knobs for spec in run(search)]
    assert search.exhausted
    assert sorted(str(knobs["batch_end"]) for knobs in found) == ["2.0", "4.0", "4.0"]


def test_the_own_control_is_not_proposed_where_its_line_is_known() -> None:
    """It is drawn again while there is anything else; a space of nothing else is searched."""
    space = SearchSpace(
        "two", "", (horizon(), Choice("policy", ("full_update", "static_suffix"))), policy=None
    )
    for line_known in (False, True):
        sampler = OptunaSampler(space, "random", 0, "time-to-quality", first=0)
        found = run(Study(space, sampler, Asked(20, "w", 0, None, line_known=line_known)))
        assert len(found) == 20
        assert any(spec.recipe.is_control for spec in found) is not line_known
    alone = SearchSpace("alone", "", (horizon(),), policy="full_update")
    sampler = OptunaSampler(alone, "random", 0, "time-to-quality", first=0)
    assert len(run(Study(alone, sampler, Asked(5, "w", 0, None, line_known=True)))) == 5


LATER = {
    number: dataclasses.replace(
        BASELINES[1], number=number, recipe=Recipe("full_update", number / 32)
    )
    for number in (9, 12)
}


def with_later(trials: int, history: Sequence[Outcome] = (), replicates: float = 0.5) -> Study:
    """A study with two control runs among its sampled trials."""
    sampler = OptunaSampler(SPACE, "random", 3, "pareto", first=len(BASELINES))
    asked = Asked(trials, "w", 3, 1.9, baselines=BASELINES, later=LATER, replicates=replicates)
    return Study(SPACE, sampler, asked, history)


def test_trials_with_a_number_of_their_own_have_it() -> None:
    """They stand where they were put, before any replicate's claim.

    All else is sampled or replicated.
    """
    specs = run(with_later(16))
    assert [s.number for s in specs] == list(range(16))
    assert {
        s.number: s.recipe.horizon for s in specs if s.origin == "control" and s.number >= 8
    } == {
        9: 9 / 32,
        12: 12 / 32,
    }
    assert {s.target_loss for s in specs} == {1.9}


@given(at=st.integers(0, 16))
def test_a_resumed_study_keeps_their_numbers(at: int) -> None:
    """Property: cut anywhere, the rest is what it would have been."""
    whole = run(with_later(16))
    again = run(with_later(16, [outcome_for(spec) for spec in whole[:at]]))
    assert again == whole[at:]


def test_one_whose_number_went_to_a_confirmation_comes_next() -> None:
    """A confirmation took the numbers 8 to 13 before the search was extended."""
    whole = run(with_later(8))
    confirming = [
        dataclasses.replace(
            outcome_for(whole[5]), number=n, origin="confirmation", seed=3 + FIRST_FRESH + n
        )
        for n in range(8, 14)
    ]
    specs = run(with_later(12, [*map(outcome_for, whole), *confirming], replicates=0.0))
    assert [(s.number, s.origin) for s in specs] == [
        (14, "control"), (15, "control"), (16, "sampled"), (17, "sampled"),
    ]  # fmt: skip
