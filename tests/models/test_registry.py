"""Workloads by name, and a message for every way in which a name can be wrong."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.registry import find_workload, workload_names
from models.workload import Workload


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a current directory for a user's own modules, forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


@pytest.mark.parametrize("name", workload_names())
def test_every_embedded_workload_is_found_under_its_name(name: str) -> None:
    """The name in the registry is the name in the record."""
    assert find_workload(name).name == name


def test_byte_lm_is_embedded() -> None:
    assert "byte_lm" in workload_names()


def test_users_own_by_module_and_factory() -> None:
    assert find_workload("tests.support.tiny:tiny").name == "tiny"


def test_current_directory_is_on_the_path(here: Path) -> None:
    """A module beside the user is found even where Python was started without the current
    directory.
    """
    sys.path[:] = [entry for entry in sys.path if entry not in ("", str(here))]
    (here / "beside_me.py").write_text("from tests.support.tiny import tiny as mine\n")
    sys.path.append(str(Path(__file__).parents[2]))
    assert isinstance(find_workload("beside_me:mine"), Workload)


def test_corpus_reaches_a_workload_that_takes_one(tmp_path: Path) -> None:
    """Another text, another fingerprint; a corpus that will not do is the corpus's own message."""
    for name in "ab":
        (tmp_path / name).write_text(name * 100_000)
    assert find_workload("byte_lm", tmp_path).fingerprint != find_workload("byte_lm").fingerprint
    with pytest.raises(
        ValueError, match=r"could not be built: a corpus must be a directory .*nowhere"
    ):
        find_workload("byte_lm", tmp_path / "nowhere")


BROKEN = """
import sys
from tests.support.tiny import tiny
number = 3
def raises():
    raise KeyError("steps")
def refuses():
    from dataclasses import replace
    return replace(tiny(), steps=0)
def needs(argument):
    return tiny()
"""

FAULTS = {
    "nonsense": r"must be one of \['byte_lm'.*\] or package.module:factory .*, but got 'nonsense'",
    "mine.py": "but got 'mine.py': name its factory too, mine.py:make for one",
    "": "must be one of .* but got ''",
    "broken:": "must have the form package.module:factory or .*, but got 'broken:'",
    ":tiny": "must have the form package.module:factory or .*, but got ':tiny'",
    "absent_module:tiny": "must be importable, but .*ModuleNotFoundError: "
    "No module named 'absent_module'",
    ".relative:tiny": "must be importable, but .*TypeError",
    "typo:tiny": "must be importable, but .*SyntaxError",
    "leaves:tiny": "must be importable, but .*SystemExit: 3",
    "broken:absent": "module 'broken' has no 'absent'",
    "broken:number": "must name a function that returns a Workload, but it is a int",
    "broken:raises": "could not be built: it raised KeyError: 'steps'",
    "broken:refuses": "could not be built: .*steps >= 1 must hold, but got steps=0",
    "broken:needs": "could not be built: it raised TypeError: .*argument",
    "tests.support.tiny:not_a_workload": "must return a Workload, but got a dict",
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_named(name: str, here: Path) -> None:
    """One message with the rule and the value, whatever is wrong with the name or behind it."""
    (here / "broken.py").write_text(BROKEN)
    (here / "typo.py").write_text("def tiny(:\n")
    (here / "leaves.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(ValueError, match=FAULTS[name]):
        find_workload(name)


def test_corpus_for_a_workload_that_takes_none(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=f"'tests.support.tiny:tiny' takes none .*{re.escape(str(tmp_path))}"
    ):
        find_workload("tests.support.tiny:tiny", tmp_path)
