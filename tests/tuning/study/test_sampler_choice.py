"""What ``auto`` stands for.

It is chosen by what an ask takes against how often a trial ends, once for a run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.registry import find_workload
from search_spaces.base import SearchSpace
from search_spaces.knobs import Fixed
from search_spaces.registry import find_space
from tests.support.searches import MACHINE, config_of, prepared
from tests.support.watch import Remembering
from tuning.session import plan as assemble
from tuning.study.sampler_choice import (
    AFFORDABLE,
    LEAST_ASK_SECONDS,
    ask_seconds,
    choose,
    made_up,
    middling_horizon,
)
from tuning.study.samplers.sampler import START
from tuning.study.samplers.values import counts
from tuning.trial.trial import Scalar

STATIC = find_space("static_suffix")


def never(*_: Any, **__: Any) -> float:
    raise AssertionError("nothing is to be timed")


def chosen(ask: float, every: float, concurrency: int = 1, sampled: int = 50) -> str:
    found = choose(
        STATIC,
        "pareto",
        sampled=sampled,
        trial_seconds=every * concurrency,
        concurrency=concurrency,
        timed=lambda *_, **__: ask,
    )
    return found.name


def test_a_gaussian_process_where_an_ask_is_short_beside_a_trial() -> None:
    """On either side of the ratio that decides, for one trial at once and for four."""
    for concurrency in (1, 4):
        assert chosen(2.0, 2.0 * AFFORDABLE * 1.01, concurrency) == "gp"
        assert chosen(2.0, 2.0 * AFFORDABLE * 0.99, concurrency) == "tpe"


def test_what_was_measured_is_kept_and_said() -> None:
    """The seconds of an ask and between trials stand in the choice and in its reason."""
    found = choose(
        STATIC, "pareto", sampled=50, trial_seconds=80.0, concurrency=2, timed=lambda *_, **__: 1.5
    )
    assert (found.name, found.ask_seconds, found.trial_seconds) == ("gp", 1.5, 40.0)
    assert "takes 1.5 s" in found.reason
    assert "every 40 s" in found.reason


@pytest.mark.parametrize(
    ("space", "sampled", "seconds"),
    [
        (STATIC, START, 3600.0),
        (STATIC, 50, 0.9 * AFFORDABLE * LEAST_ASK_SECONDS),
        (SearchSpace("fixed", "", (Fixed("active_fraction", 0.5),), "static_suffix"), 50, 3600.0),
    ],
    ids=["start only", "short trials", "nothing searched"],
)
def test_nothing_is_timed_that_cannot_matter(
    space: SearchSpace, sampled: int, seconds: float
) -> None:
    """TPE without measuring, where no model is asked, no ask could be short enough or nothing is
    searched.
    """
    found = choose(
        space, "pareto", sampled=sampled, trial_seconds=seconds, concurrency=1, timed=never
    )
    assert (found.name, found.ask_seconds) == ("tpe", None)


def test_an_ask_is_timed_on_the_space_itself() -> None:
    """A real ask, with trials known and in flight, takes some time."""
    assert ask_seconds(STATIC, "time-to-quality", known=6, in_flight=1) > 0


@pytest.mark.parametrize("known", [5, 6, 7, 8])
def test_the_asks_that_are_timed_are_the_models(
    known: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever number comes first: one proposal in four is drawn without a model."""
    asked: list[str] = []

    def propose(kind: str, space: SearchSpace, *known: Any) -> dict[str, Scalar]:
        asked.append(kind)
        return {}

    monkeypatch.setattr("tuning.study.samplers.optuna_ask.propose", propose)
    ask_seconds(STATIC, "time-to-quality", known=known, in_flight=1)
    assert asked == ["gp"] * 3


def test_the_made_up_history_is_one_of_finished_points() -> None:
    """Every trial counts and is a point of the space, conditions and all."""
    for name in ("static_suffix", "dynamic_suffix"):
        space = find_space(name)
        for trial in (made_up(space, number) for number in range(5)):
            assert counts(trial)
            assert (
                space.params_of(trial.recipe.policy, trial.recipe.horizon, trial.recipe.knobs)
                is not None
            )


def test_a_middling_horizon_is_the_spaces_own() -> None:
    """The middle of 0.3 to 1; 1 where the horizon is not searched."""
    assert middling_horizon(STATIC) == pytest.approx(0.65)
    assert (
        middling_horizon(SearchSpace("s", "", (Fixed("active_fraction", 0.5),), "static_suffix"))
        == 1.0
    )


def test_a_run_keeps_its_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice is made twice, the second time where trials would be much shorter.

    The first choice stands, in run.json too.
    """
    monkeypatch.setattr("tuning.study.sampler_choice.ask_seconds", lambda *_, **__: 0.1)
    config = config_of(tmp_path / "run", trials=40, space="dynamic_suffix")
    store, resources = prepared(config), config.resources(MACHINE)
    first = assemble.settle_sampler(store, config, resources, baseline=1000.0)
    assert first.name == "gp"
    assert assemble.settle_sampler(store, config, resources, baseline=0.001) == first
    assert store.reload_info().sampler == first


def test_a_sampler_asked_for_is_taken(tmp_path: Path) -> None:
    """Any other name than auto is itself."""
    config = config_of(tmp_path / "run", sampler="nsga2")
    found = assemble.settle_sampler(
        prepared(config), config, config.resources(MACHINE), baseline=1000.0
    )
    assert (found.name, found.reason) == ("nsga2", "as asked for")


def test_the_search_says_what_it_chose(tmp_path: Path) -> None:
    """The one note that a watcher hears as the search is put together."""
    config, watcher = config_of(tmp_path / "run", trials=2), Remembering()
    workload = find_workload(config.workload, None)
    assemble.SearchPlan(prepared(config), config, workload, config.resources(MACHINE), watcher.note)
    assert watcher.notes == [
        "sampler: tpe, this search is too short for another model to be of use"
    ]
