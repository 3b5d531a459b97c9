"""Which sampler ``auto`` is, when a model takes over from the start, and what each is told."""

from __future__ import annotations

import dataclasses
import logging
import statistics
from typing import Any

import optuna
import pytest

from search_spaces.registry import find_space
from tests.support.outcomes import history, outcome_for, sampled
from tuning.study.baselines import baseline_specs
from tuning.study.samplers import optuna_ask as sampler_optuna
from tuning.study.samplers.draws import space_filling
from tuning.study.samplers.sampler import CAPS, START, OptunaSampler
from tuning.study.study import Asked, Study
from tuning.trial.outcome import Outcome

STATIC = find_space("static_suffix")
DYNAMIC = find_space("dynamic_suffix")


def test_the_start_follows_the_sequence_by_number() -> None:
    """The first numbers after the baselines are the sequence's places, whatever is known."""
    sampler = OptunaSampler(STATIC, "tpe", 5, "pareto", first=len(baseline_specs("w", 0)))
    first = len(baseline_specs("w", 5))
    found = [sampler.propose(first + i, history(STATIC, i), []) for i in range(START)]
    assert found == [space_filling(STATIC, 5, i) for i in range(START)]


def test_the_start_goes_on_while_too_little_is_known() -> None:
    """With most trials in flight no model is fitted yet."""
    sampler = OptunaSampler(STATIC, "tpe", 5, "pareto", first=0)
    in_flight = [sampled(STATIC, number) for number in range(2, 12)]
    assert sampler.propose(12, history(STATIC, 2), in_flight) == space_filling(STATIC, 5, 12)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[list[optuna.trial.FrozenTrial]]:
    """Every list of trials from which an Optuna study was built."""
    seen: list[list[optuna.trial.FrozenTrial]] = []
    build = sampler_optuna._study

    def spy(sampler: Any, objectives: int, trials: Any) -> optuna.Study:
        seen.append(list(trials))
        return build(sampler, objectives, trials)

    monkeypatch.setattr(sampler_optuna, "_study", spy)
    return seen


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_what_optuna_is_told(name: str, told: list[list[optuna.trial.FrozenTrial]]) -> None:
    """Looks at its trials: those in flight running, those that failed worst, nothing that is not a
    number.
    """
    found = history(DYNAMIC, 20, unfinished=[3])
    broken = dataclasses.replace(found[4], val_loss=float("nan"))
    OptunaSampler(DYNAMIC, name, 0, "pareto", first=0).propose(
        25, [*found[:4], broken, *found[5:]], [sampled(DYNAMIC, 20), sampled(DYNAMIC, 21)]
    )
    (trials,) = told
    running = [t for t in trials if t.state == optuna.trial.TrialState.RUNNING]
    assert len(trials) == 22
    assert len(running) == 2
    values = [t.values for t in trials if t not in running]
    assert all(value == value and abs(value) < 1e9 for pair in values for value in pair)
    worst = sorted(values)[-2:]
    assert worst == sorted([values[3], values[4]])
    assert statistics.mean(values[3]) > max(v[0] for v in values[:3])


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_optuna_is_told_no_more_than_the_cap(
    name: str, told: list[list[optuna.trial.FrozenTrial]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts the trials of a long search that reach a model."""
    monkeypatch.setitem(CAPS, name, 30)
    OptunaSampler(STATIC, name, 0, "pareto", first=0).propose(200, history(STATIC, 200), [])
    assert len(told[0]) == 30


def test_asking_is_silent_and_leaves_optuna_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed, and Optuna's own logger keeps its level."""
    level = logging.getLogger("optuna").level
    OptunaSampler(DYNAMIC, "tpe", 0, "pareto", first=0).propose(20, history(DYNAMIC, 20), [])
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("optuna").level == level


@pytest.mark.parametrize(("name", "trials"), [("tpe", 59), ("nsga2", 59), ("gp", 14)])
def test_a_model_beats_chance(name: str, trials: int) -> None:
    """A search minimises the distance of one knob from 0.37.

    The last five, one of which looks elsewhere, are half as far as uniform draws would be.
    """

    def distance(outcome: Outcome) -> float:
        return abs(float(outcome.recipe.knobs["active_fraction"]) - 0.37)

    sampler = OptunaSampler(STATIC, name, 1, "time-to-quality", first=0)
    study = Study(STATIC, sampler, Asked(trials, "w", 0, 1.0))
    while (spec := study.ask()) is not None:
        over = outcome_for(spec)
        seconds = 1 + distance(over)
        study.tell(
            dataclasses.replace(
                over, reached=True, seconds_to_quality=seconds, train_seconds=seconds
            )
        )
    by_chance = (0.27**2 + 0.63**2) / (2 * 0.9)  # the mean distance over [0.1, 1]
    assert statistics.mean(distance(outcome) for outcome in study.finished[-5:]) < 0.5 * by_chance
