"""A search space of the user's own, by its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.searches import TINY
from tuning.config.config import SearchConfig
from tuning.config.faults import faults_of_space
from tuning.config.spaces import space_named

TEXT = """
from policies.static_suffix import StaticSuffix
from search_spaces.base import SearchSpace, horizon, knob

SPACE = SearchSpace(
    name="mine",
    title="how long to train",
    knobs=(horizon({low}, 1.0),),
    policy="full_update",
)
"""


def written(folder: Path, low: float = 0.5) -> Path:
    path = folder / f"space_{low}.py"
    path.write_text(TEXT.format(low=low))
    return path


def test_a_space_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named from where the user stands, kept by its absolute path, as other processes read it."""
    path = written(tmp_path)
    monkeypatch.chdir(tmp_path)
    config = SearchConfig("run", workload=TINY, space=f"{path.name}:SPACE")
    assert config.space == f"{path}:SPACE"
    assert faults_of_space(config) == []
    assert config.search_space().name == "mine"
    assert SearchConfig.from_json(config.to_json()).search_space() == config.search_space()
    assert space_named("search_spaces.tune:SPACE") is space_named("tune")


def test_a_space_that_is_wrong_is_refused(tmp_path: Path) -> None:
    """Not there, no space, or one with points that are no recipes: named, nothing is created."""
    path = written(tmp_path, -1.0)
    for name, words in {
        f"{tmp_path}/none.py:SPACE": "must be importable, but there is no file",
        f"{path}:SPACES": "must name a SearchSpace, but SPACES is not there",
        f"{path}": "must have the form package.module:SPACE or path/to/file.py:SPACE: add",
        "no.such:SPACE": "must have the form package.module:SPACE or path/to/file.py:SPACE",
        f"{path}:SPACE": "horizon",
    }.items():
        faults = faults_of_space(SearchConfig("run", workload=TINY, space=name))
        assert any(words in fault for fault in faults), (name, faults)
