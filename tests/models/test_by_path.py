"""Workloads named by their file, in folders of the user's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.by_path import module_at
from models.registry import find_workload
from tuning.config.config import SearchConfig

ROOT = Path(__file__).parents[2]
FILE = """
from dataclasses import replace

from helper_beside import NAME
from tests.support.tiny import tiny


def make():
    return replace(tiny(), name=NAME)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a workload, what it needs, and packages that are called as ours are."""
    monkeypatch.setattr(sys, "path", list(sys.path))  # where a workload's folder is left
    place = tmp_path / "my [models] a=b"
    for name in ("models", "policies"):
        (place / name).mkdir(parents=True)
        (place / name / "__init__.py").write_text("raise RuntimeError('of the user')")
    (place / "mine.py").write_text(FILE)
    (place / "helper_beside.py").write_text("NAME = 'of my own'")
    return place


def test_a_file_is_found_wherever_one_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its path, once a process; the configuration keeps it whole for other processes."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(folder)
    config = SearchConfig("run", workload="mine.py:make")
    assert config.workload == f"{folder / 'mine.py'}:make"
    monkeypatch.chdir(tmp_path)
    assert find_workload(config.workload).name == "of my own"


def test_our_packages_are_ours_in_a_folder_that_has_others(folder: Path) -> None:
    """In a new interpreter whose first place to look is the user's folder."""
    code = "import tuning, models; print(models.__file__)"
    assert Path(run_in(folder, code)) == ROOT / "models" / "__init__.py"


def run_in(folder: Path, code: str) -> str:
    """What a new interpreter prints whose first place to look is the folder."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, ''); {code}"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_modules_of_a_package_called_as_ours_are_found_beside_ours(folder: Path) -> None:
    """Theirs by relative imports and deeper too; their __init__ only for what it alone has."""
    (folder / "models" / "__init__.py").write_text("from .net import Net\nprint('run')")
    (folder / "models" / "net.py").write_text("from .parts.norm import Norm\nNet = Norm")
    (folder / "models" / "parts").mkdir()
    (folder / "models" / "parts" / "__init__.py").touch()
    (folder / "models" / "parts" / "norm.py").write_text("class Norm: ...")
    (folder / "policies" / "mine.py").write_text("RULE = 3")
    assert run_in(
        folder,
        "import tuning; from models.net import Net; from policies.mine import RULE; "
        "from models.knobs import Float; print(Net.__module__, RULE); "
        "from models import Net as again; print(again is Net, hasattr(again, 'x'))",
    ).split("\n") == ["models.parts.norm 3", "run", "True False"]
    assert run_in(folder, "import tuning, models; print(hasattr(models, 'none'))") == "run\nFalse"


def test_what_they_hold_is_the_users_own(folder: Path) -> None:
    """For the digests of source by which a run is known again, and for the lines of a failure."""
    (folder / "models" / "net.py").write_text("class Net: ...")
    code = (
        "import tuning; from models.net import Net; from models.workload import Workload; "
        "from models.source.users import is_users; print(is_users(Net), is_users(Workload))"
    )
    assert run_in(folder, code) == "True False"


def test_a_file_called_as_ours_has_what_ours_lack(folder: Path) -> None:
    """As a folder of scripts has a ``models.py``; what it holds is the user's own too."""
    shutil.rmtree(folder / "models")
    (folder / "models.py").write_text("class Net:\n    def forward(self): ...\n")
    code = (
        "import tuning; from models import Net; from models.workload import Workload; "
        "from models.source.users import is_users; "
        "from models.source.digests import source_digests; "
        "print(is_users(Net), is_users(Workload), *source_digests([Net]))"
    )
    assert run_in(folder, code) == "True False models.Net"


def test_what_cannot_be_found_again_is_refused(folder: Path) -> None:
    """A file that is gone, the program itself, and a name that is taken, with what to do."""
    (folder / "models" / "registry.py").write_text("NETS = {}")
    (folder / "taken.py").write_text("from models.registry import NETS")
    for name, words in (
        (f"{folder / 'gone.py'}:make", "there is no file"),
        ("__main__:make", "name it file.py:make"),
        (f"{folder / 'taken.py'}:make", "give yours another name"),
    ):
        with pytest.raises(ValueError, match=words):
            find_workload(name)


def test_a_package_of_the_users_that_cannot_be_imported_lacks_every_name(folder: Path) -> None:
    """Who only asks is told no; who needs it is told why."""
    code = """
import tuning, models
assert not hasattr(models, "net")
try:
    models.net
except AttributeError as fault:
    print(fault)
"""
    said = run_in(folder, code)
    assert "no attribute 'net'" in said
    assert "RuntimeError: of the user" in said


def test_what_is_edited_within_a_second_is_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's compiled files tell neither this edit, of the same second and size, nor the file."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / "edited.py"
    for value in (1, 2):
        file.write_text(f"VALUE = {value}\n")
        os.utime(file, (1_000_000_000, 1_000_000_000))
        module = module_at(file)
        assert value == module.VALUE
        del sys.modules[module.__name__]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["edited.py"]
