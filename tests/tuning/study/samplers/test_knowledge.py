"""Another run's trials as knowledge: mapped without changing their order, kept, and of use."""

from __future__ import annotations

import dataclasses
import statistics
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.registry import find_space
from tests.support.frames import record
from tests.support.outcomes import history, outcome_for, sampled
from tests.support.runs import write_run
from tests.support.searches import config_of
from tuning.config.config import SearchConfig
from tuning.config.faults import config_faults
from tuning.errors import BadInput
from tuning.layout import WARM_START
from tuning.session.other_runs import warm_start_faults
from tuning.session.plan import make_study
from tuning.store.info import Target
from tuning.store.store import Store
from tuning.study.baselines import CONTROL_HORIZONS
from tuning.study.samplers.draws import space_filling
from tuning.study.samplers.knowledge import MOST, Knowledge
from tuning.study.samplers.sampler import START, START_WARM, OptunaSampler
from tuning.study.study import Asked, Study
from tuning.study.warm_start import described, gather, keep, kept
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe
from tuning.trial.trial import TrialRecord, TrialSpec

SPACE = find_space("static_suffix")
HORIZONS = (1.0, *CONTROL_HORIZONS)


def control(pace: float = 1.0, offset: float = 0.0, stretch: float = 1.0) -> list[Outcome]:
    """The baseline and the control of a run that is ``pace`` times as slow and whose losses are on
    another scale.
    """
    return [
        Outcome(
            number,
            "control" if number else "baseline",
            "finished",
            Recipe("full_update", horizon),
            train_seconds=10 * pace * horizon,
            val_loss=offset + stretch * (3.0 - horizon),
        )
        for number, horizon in enumerate(HORIZONS)
    ]


def moved(outcome: Outcome, number: int, pace: float, offset: float, stretch: float) -> Outcome:
    """The trial as it would be in such a run."""
    assert outcome.train_seconds is not None
    assert outcome.val_loss is not None
    return dataclasses.replace(
        outcome,
        number=number,
        train_seconds=pace * outcome.train_seconds,
        val_loss=offset + stretch * outcome.val_loss,
    )


@given(pace=st.floats(0.01, 100), offset=st.floats(-10, 10), stretch=st.floats(0.01, 100))
def test_a_run_on_another_scale_is_brought_to_this_one(
    pace: float, offset: float, stretch: float
) -> None:
    """Property: what was moved to another device's pace and another workload's losses comes back as
    it was.
    """
    trials = history(SPACE, 6)
    there = [moved(trial, 10 + trial.number, pace, offset, stretch) for trial in trials]
    knowledge = Knowledge.of([*control(pace, offset, stretch), *there], SPACE)
    found = knowledge.outcomes(control(), "pareto")
    assert [outcome.number for outcome in found] == [-6, -5, -4, -3, -2, -1]
    for outcome, original in zip(found, trials, strict=True):
        assert outcome.train_seconds == pytest.approx(original.train_seconds)
        assert outcome.val_loss == pytest.approx(original.val_loss, abs=1e-6)
        assert (outcome.recipe.policy, outcome.recipe.knobs) == (
            original.recipe.policy,
            original.recipe.knobs,
        )


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.5, 5)), min_size=2, max_size=8))
def test_the_order_stays(values: list[tuple[float, float]]) -> None:
    """Property: whatever its trials are, no two of them change places in seconds or in loss."""
    trials = [
        dataclasses.replace(outcome, train_seconds=seconds, val_loss=loss)
        for outcome, (seconds, loss) in zip(history(SPACE, len(values)), values, strict=True)
    ]
    found = Knowledge.of([*control(3.0, 1.0, 0.2), *trials], SPACE).outcomes(control(), "pareto")
    for name in ("train_seconds", "val_loss"):
        before, after = ([getattr(o, name) for o in side] for side in (trials, found))
        order = sorted(range(len(before)), key=before.__getitem__)
        assert all(after[a] <= after[b] for a, b in pairwise(order))


def test_what_is_no_point_of_the_space_is_left_out_and_counted() -> None:
    """Of three trials one is of another policy and one out of range.

    Replicates and failures do not count at all.
    """
    good, other, outside, failed = (outcome_for(sampled(SPACE, number)) for number in range(10, 14))
    strange = dataclasses.replace(other, recipe=Recipe("dynamic_suffix"))
    far = dataclasses.replace(
        outside, recipe=Recipe("static_suffix", 1.0, {"active_fraction": 0.01})
    )
    broken = dataclasses.replace(failed, state="failed")
    again = dataclasses.replace(good, number=20, origin="replicate")
    knowledge = Knowledge.of([*control(), good, strange, far, broken, again], SPACE)
    assert [trial.knobs for trial in knowledge.trials] == [good.recipe.knobs]
    assert knowledge.left_out == 2
    assert len(knowledge.control) == len(HORIZONS)


def test_there_is_no_scale_before_two_control_runs() -> None:
    """Nothing is known with one run of the control here, or where all of it has one loss."""
    knowledge = Knowledge.of([*control(), *history(SPACE, 4)], SPACE)
    flat = [dataclasses.replace(run, val_loss=2.0) for run in control()]
    assert knowledge.outcomes(control()[:1], "pareto") == []
    assert knowledge.outcomes(flat, "pareto") == []
    assert len(knowledge.outcomes(control()[:2], "pareto")) == 4


def test_knowledge_gives_way_to_own_trials() -> None:
    """Each own sampled trial takes the place of one; the front of the others stays longest."""
    there = [dataclasses.replace(o, number=o.number + 10) for o in history(SPACE, 2 * MOST)]
    knowledge = Knowledge.of([*control(), *there], SPACE)
    for own in (0, 10, MOST - 1, MOST, MOST + 5):
        assert len(knowledge.outcomes([*control(), *history(SPACE, own)], "pareto")) == max(
            0, MOST - own
        )


def test_a_long_run_is_not_copied_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of sixty trials twenty are kept, the newest among them.

    None of the rest counts as left out.
    """
    monkeypatch.setattr("tuning.study.samplers.knowledge.KEPT", 20)
    trials = history(SPACE, 60)
    knowledge = Knowledge.of([*control(), *trials], SPACE)
    assert (len(knowledge.trials), knowledge.left_out) == (20, 0)
    assert knowledge.trials[-1].knobs == trials[-1].recipe.knobs


def test_a_target_is_this_runs_own() -> None:
    """A trial at or below it has reached it, in its seconds here; without a target none has."""
    knowledge = Knowledge.of([*control(), *history(SPACE, 8)], SPACE)
    here = [dataclasses.replace(run, target_loss=1.9) for run in control()]
    for outcome in knowledge.outcomes(here, "time-to-quality"):
        assert outcome.val_loss is not None
        assert outcome.reached == (outcome.val_loss <= 1.9)
        assert outcome.seconds_to_quality == (outcome.train_seconds if outcome.reached else None)
    assert {outcome.reached for outcome in knowledge.outcomes(control(), "time-to-quality")} == {
        None
    }


def test_json_keeps_everything() -> None:
    """Through text and back it is equal."""
    knowledge = Knowledge.of(
        [*control(), *history(find_space("dynamic_suffix"), 5)], find_space("dynamic_suffix")
    )
    assert len(knowledge.trials) == 5
    assert Knowledge.from_json(knowledge.to_json()) == knowledge


def test_the_start_is_shorter() -> None:
    """Warm started, the sequence gives the first proposals only; without a scale it goes on."""
    knowledge = Knowledge.of([*control(), *history(SPACE, 20)], SPACE)
    cold, warm = (
        OptunaSampler(SPACE, "tpe", 5, "pareto", first=5, knowledge=k) for k in (None, knowledge)
    )
    sequence = [space_filling(SPACE, 5, index) for index in range(START)]
    assert [warm.propose(5 + i, control(), []) for i in range(START_WARM)] == sequence[:START_WARM]
    assert (
        warm.propose(5 + START_WARM, control(), [])
        != sequence[START_WARM]
        == cold.propose(7, control(), [])
    )
    assert warm.propose(5 + START_WARM, control()[:1], []) == sequence[START_WARM]


def distance(outcome: Outcome) -> float:
    return abs(float(outcome.recipe.knobs["active_fraction"]) - 0.37)


def over(outcome: Outcome) -> Outcome:
    """What it took: the nearer to 0.37, the sooner."""
    seconds = 1 + distance(outcome)
    return dataclasses.replace(
        outcome, reached=True, seconds_to_quality=seconds, train_seconds=seconds, val_loss=1.0
    )


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_the_first_proposals_are_better(name: str) -> None:
    """A search minimises the distance of a knob from 0.37.

    The first six trials that a model proposes are compared over eight seeds, with and without
    knowledge.
    """
    there = [
        over(dataclasses.replace(outcome, number=outcome.number + 10))
        for outcome in history(SPACE, 50)
    ]
    knowledge = Knowledge.of([*control(), *there], SPACE)

    def first(seed: int, known: Knowledge | None) -> float:
        sampler = OptunaSampler(
            SPACE, name, seed, "time-to-quality", first=len(HORIZONS), knowledge=known
        )
        here = [dataclasses.replace(run, target_loss=2.0) for run in control()]
        study = Study(SPACE, sampler, Asked(len(HORIZONS) + 8, "w", seed, 2.0), here)
        while (spec := study.ask()) is not None:
            study.tell(over(outcome_for(spec)))
        return statistics.mean(
            distance(outcome) for outcome in study.finished[len(HORIZONS) + START_WARM :]
        )

    warm, cold = (
        statistics.mean(first(seed, known) for seed in range(8)) for known in (knowledge, None)
    )
    assert warm < 0.6 * cold


def records(count: int, *, policy: str = "static_suffix") -> list[TrialRecord]:
    """A control and trials of a policy, as a store holds them."""
    runs = [
        record(
            n,
            10 * h,
            3 - h,
            policy="full_update",
            horizon=h,
            origin="control" if n else "baseline",
            knobs={},
        )
        for n, h in enumerate(HORIZONS)
    ]
    return runs + [
        record(
            5 + n,
            5.0 + n,
            2.5 - 0.1 * n,
            policy=policy,
            horizon=0.5,
            knobs={"active_fraction": 0.2 + 0.1 * n},
        )
        for n in range(count)
    ]


def faults(path: Path, run: Path | None = None, **options: object) -> list[str]:
    config = SearchConfig(
        **{
            "run": str(run or path.parent / "new"),
            "space": "static_suffix",
            "warm_start": str(path),
            **options,
        }  # type: ignore[arg-type]
    )
    found = config_faults(config, find_workload=lambda name, corpus: None)
    return [*found, *warm_start_faults(config)]


def test_bad_input_is_named(tmp_path: Path) -> None:
    """There is one message for each of these faults.

    They are no run, none finished, none of the space, no control, a sampler that cannot learn.
    """
    good = write_run(tmp_path / "good", records(3))
    empty = write_run(tmp_path / "empty", [])
    alone = write_run(tmp_path / "alone", records(3)[5:])
    assert faults(good) == []
    for found, words in [
        (faults(tmp_path / "nowhere"), "must name the directory of a search"),
        (faults(empty), "with finished trials, but"),
        (faults(good, space="dynamic_suffix"), "points of space dynamic_suffix"),
        (faults(good, space="dynamic_suffix"), "is (of the first of them, its policy is "),
        (faults(alone), "a control, finished runs of full_update"),
        (faults(good, sampler="random"), "learns from trials, but got random"),
    ]:
        assert len(found) == 1, found
        assert words in found[0]


def test_a_run_does_not_start_from_itself(tmp_path: Path) -> None:
    """Named by another path, it is refused all the same."""
    good = write_run(tmp_path / "good", records(3))
    with pytest.raises(BadInput, match="another run than the search's own"):
        gather(tmp_path / "elsewhere" / ".." / "good", good, SPACE)


def test_what_was_copied_outlives_the_other_run(tmp_path: Path) -> None:
    """Copied once; then the other run changes and goes, and nothing here does."""
    other, own = (Store.open(write_run(tmp_path / name, records(3))) for name in ("other", "own"))
    assert kept(own) is None
    first = keep(own, other.path, SPACE)
    assert first is not None
    assert "3 finished trials" in described(first, other.path)
    other.append(
        record(8, 1.0, 1.0, policy="static_suffix", horizon=0.5, knobs={"active_fraction": 0.9})
    )
    other.path.rename(tmp_path / "moved")
    assert keep(own, other.path, SPACE) is None
    assert kept(own) == first
    (own.path / WARM_START).write_text("[]")
    with pytest.raises(BadInput, match=r"warm_start\.json must hold"):
        kept(own)


def test_a_warm_study_needs_its_own_directory_alone(tmp_path: Path) -> None:
    """Rebuilt with the other run gone it proposes the same, and something else where the copy is
    gone too.
    """
    other = write_run(tmp_path / "other", records(6))
    own = Store.open(write_run(tmp_path / "own", records(5)))
    config = config_of(own.path, space="static_suffix", warm_start=str(other), trials=30)

    def proposed() -> TrialSpec | None:
        return make_study(Store.open(own.path), config, Target(1.9)).ask()

    keep(own, other, SPACE)
    first = proposed()
    other.rename(tmp_path / "gone")
    assert proposed() == first
    (own.path / WARM_START).unlink()
    assert proposed() != first
