"""Workloads given as objects: known by name here, and in a process that this one starts."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pytest

from models.given import give
from models.knobs import Float
from models.registry import find_workload, own_knobs_of
from models.workload import Workload
from tests.support import tiny
from tests.support.costs import two_rounds
from tests.support.searches import config_of
from tests.support.watch import Remembering
from tuning.config.config import SearchConfig
from tuning.session import conduct
from tuning.session.search import run_search
from tuning.store.store import Store

SEEN = (
    "from models.registry import find_workload\n"
    "for name in {names!r}: print(find_workload(name).steps)"
)


def of(steps: int) -> Callable[..., Workload]:
    """A factory that no module has."""

    def made(*, share: Annotated[float, Float(0.0, 1.0)] = 0.5) -> Workload:
        return replace(tiny.tiny(steps=steps), decay_fraction=0.2)

    return made


def in_another_process(names: list[str]) -> list[str]:
    code = SEEN.format(names=names)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.split() or done.stderr.strip().splitlines()[-1:]


def test_what_was_given_is_found_here_and_there() -> None:
    """A factory, with its own knobs; a workload; a factory with arguments."""
    given: list[Any] = [of(17), replace(of(18)(), name="as it is"), partial(tiny.tiny, steps=19)]
    names = [SearchConfig("run", workload=each).workload for each in given]
    assert names == ["given:made", "given:as_it_is", "given:tiny"]
    assert [find_workload(name).steps for name in names] == [17, 18, 19]
    assert in_another_process(names) == ["17", "18", "19"]


def test_a_factorys_knobs_are_known() -> None:
    """As those of one in a file; a later one of the name takes its place."""
    assert list(own_knobs_of(give(of(3)))) == ["share"]
    assert find_workload(give(of(4))).steps == 4


def test_what_cannot_be_pickled_is_named() -> None:
    """Down to the variable, with what to do."""
    lock = threading.Lock()

    def made() -> Workload:
        return replace(tiny.tiny(), name=str(lock))

    made.__module__ = "__main__"
    with pytest.raises(ValueError, match=r"given:made is not: lock cannot be pickled \(TypeError"):
        give(made)


def test_what_nobody_gave_is_told() -> None:
    """A search that goes on in another session."""
    with pytest.raises(ValueError, match="was given as an object, which lives as long as the"):
        find_workload("given:nothing")


def test_a_search_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examined in a process beside this one, and trained; no code is in the run directory."""
    monkeypatch.setattr(conduct, "write_report", lambda store: None)
    config = config_of(tmp_path / "run", workload=of(20), trials=2, target=1.0)
    with two_rounds():
        assert (run_search(config, watcher=Remembering()).trials["state"] == "finished").all()
    assert Store.open(tmp_path / "run").info.soundness is not None
    assert not list((tmp_path / "run").rglob("*.pkl"))
