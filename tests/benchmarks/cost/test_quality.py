"""The score of the sides: incumbents, and the seconds until one gains as much as Optuna's last."""

from __future__ import annotations

import pickle

import optuna

from benchmarks.cost.quality import REFERENCE, by_search, incumbents, table, to_reference
from benchmarks.cost.quality_sides import SIDES, Tried, drawing_from
from tuning.config.config import SearchConfig
from tuning.study.samplers.control_line import ControlLine
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe


def line() -> ControlLine:
    runs = [
        Outcome(0, "control", "finished", Recipe("full_update", horizon), 10 * horizon, loss)
        for horizon, loss in ((0.5, 2.2), (1.0, 2.0), (2.0, 1.8))
    ]
    found = ControlLine.through(runs)
    assert found is not None
    return found


def tried(rate: float, loss: float | None, spent: float = 10.0) -> Tried:
    knobs = {"rate": rate}
    return Tried(spent, "full_update", 1.0, knobs, None if loss is None else spent, loss)


def test_an_incumbent_is_better_than_all_before_it() -> None:
    """What was given up, the own control and what is no better are none."""
    own = Tried(10.0, "full_update", 1.0, {}, 10.0, 1.5)
    trials = [own, tried(2.0, 2.0), tried(3.0, None, 4.0), tried(4.0, 2.1), tried(5.0, 1.9)]
    best = incumbents(trials, line())
    assert [each.recipe.knobs["rate"] for each in best] == [2.0, 5.0]
    assert [each.spent for each in best] == [20.0, 44.0]
    assert {each.controls for each in best} == {10.0}


def test_the_seconds_are_those_until_the_reference_is_equalled() -> None:
    """On fresh seeds, where the order may be another than on the search's."""
    found = {
        (0, REFERENCE): [tried(2.0, 2.0), tried(3.0, 1.95)],
        (0, "ours"): [tried(4.0, 2.0, 5.0), tried(5.0, 1.9, 5.0)],
    }
    best = {key: incumbents(trials, line()) for key, trials in found.items()}
    rates = {2.0: 1.0, 3.0: 1.2, 4.0: 1.1, 5.0: 1.3}
    gains = {Recipe("full_update", 1.0, {"rate": rate}): gain for rate, gain in rates.items()}
    reached = [to_reference(best, gains, 0, side) for side in ("ours", REFERENCE)]
    assert [each and each.spent for each in reached] == [10.0, 20.0]
    rows = {row["side"]: row for row in table(found, best, gains)}
    assert rows["ours"]["Optuna's /"] == rows["ours"]["without controls"] == 2.0
    assert rows["ours"]["gain"] == 1.3
    assert rows["ours"]["looked at"] == 2
    each = {row["side"]: row for row in by_search(found, best, gains)}
    assert each["ours"]["incumbents"] == "5.0 s 1.10; 10.0 s 1.30"
    assert [each[side]["Optuna's /"] for side in ("ours", REFERENCE)] == [2.0, 1.0]
    assert each["ours"]["device s"] == each["ours"]["to Optuna's"] == 10.0


def test_the_reference_is_a_side() -> None:
    """By its name."""
    assert REFERENCE in SIDES


def test_what_ray_draws_with_can_be_saved() -> None:
    """As Ray saves its searcher after every trial; the copy draws the same knobs."""
    space = SearchConfig("", workload="byte_lm", space="recipe").search_space()
    draws = drawing_from(space)
    names = []
    for each in (draws, pickle.loads(pickle.dumps(draws))):
        trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
        each(trial)
        names.append(trial.params)
    assert names[0] == names[1] != {}
