"""The benchmark of an ask: what it asks for is proposed by a model, and a run from start to end."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from benchmarks.cost import ask
from search_spaces.registry import find_space
from tuning.study.samplers import optuna_ask
from tuning.study.samplers.known import Point


def test_every_ask_is_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts what reaches Optuna, over more asks than one in so many is of it; it is all known."""
    told: list[int] = []
    propose = optuna_ask.propose

    def spy(kind: str, space: object, points: list[Point], *rest: object) -> object:
        told.append(len(points))
        return propose(kind, space, points, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(optuna_ask, "propose", spy)
    once = ask.asking(find_space("batch"), 20)
    for _ in range(6):
        once()
    assert told == [20 - beyond(20)] * 6


def beyond(count: int) -> int:
    """How many of so many trials are no points of the space: controls beyond its horizons."""
    space = find_space("batch")
    recipes = [outcome.recipe for outcome in ask.made_up(space, count)]
    return sum(space.params_of(r.policy, r.horizon, r.knobs) is None for r in recipes)


def test_no_number_is_asked_for_twice() -> None:
    """They begin after what is known."""
    numbers = list(itertools.islice(ask.modelled(1000), 50))
    assert numbers == sorted(set(numbers))
    assert numbers[0] >= 1000


def test_it_runs(tmp_path: Path) -> None:
    """A row for each space and number known; the goal stands at one."""
    file = tmp_path / "out.json"
    known = ["--known", "20", "1000"]
    ask.main(["--spaces", "batch", "recipe", *known, "--rounds", "2", "--json", str(file)])
    (table,) = json.loads(file.read_text())["tables"].values()
    cases = [(row["space"], row["known"], row["goal"]) for row in table]
    assert cases == [
        ("batch", 20, None),
        ("batch", 1000, None),
        ("recipe", 20, None),
        ("recipe", 1000, 50.0),
    ]
    assert all(row["lower quartile"] <= row["median, ms"] <= row["upper quartile"] for row in table)
