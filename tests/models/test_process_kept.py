"""What a user's file does to the process is undone, or told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from models.registry import find_workload

HEAD = "import os, sys, torch\nfrom tests.support import tiny\n"


def written(folder: Path, atop: str, inside: str) -> str:
    """The name of a workload in a new file, with a line atop and one in its factory."""
    folder.mkdir()
    (folder / "mine.py").write_text(
        f"{HEAD}{atop}\ndef make():\n    {inside}\n    return tiny.tiny()\n"
    )
    return f"{folder / 'mine.py'}:make"


@pytest.mark.parametrize("line", ["os.chdir('/')", "torch.set_grad_enabled(False)"])
@pytest.mark.parametrize("where", ["atop", "inside"])
def test_directory_and_gradients_are_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, where: str
) -> None:
    """Relative paths and training mean afterwards what they meant before."""
    monkeypatch.chdir(tmp_path)
    lines = {"atop": "pass", "inside": "pass", where: line}
    name = written(tmp_path / "user", **lines)
    assert find_workload(name).name == "tiny"
    assert Path.cwd() == tmp_path
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("where", ["atop", "inside"])
def test_another_default_device_is_refused(tmp_path: Path, where: str) -> None:
    """By name, and it is the process's no longer."""
    lines = {"atop": "pass", "inside": "pass", where: "torch.set_default_device('meta')"}
    with pytest.raises(ValueError, match=r"^workload .* but it sets their device to meta: leave"):
        find_workload(written(tmp_path / "user", **lines))
    assert torch.get_default_device() == torch.device("cpu")
    modes: Any = torch.overrides  # untyped
    assert not modes._get_current_function_mode_stack()


def test_a_factory_that_leaves_the_process_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"could not be built: it raised SystemExit: 3"):
        find_workload(written(tmp_path / "user", "pass", "sys.exit(3)"))


def test_a_file_of_a_package_is_told_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which works."""
    monkeypatch.syspath_prepend(str(tmp_path))
    inner = tmp_path / "outer_package" / "inner"
    inner.mkdir(parents=True)
    for folder in (inner, inner.parent):
        (folder / "__init__.py").touch()
    (inner.parent / "helper.py").write_text(f"{HEAD}make = tiny.tiny\n")
    (inner / "mine.py").write_text("from ..helper import make\n")
    with pytest.raises(ValueError, match=r"parent package .*: name it outer_package.inner.mine:m"):
        find_workload(f"{inner / 'mine.py'}:make")
    assert find_workload("outer_package.inner.mine:make").name == "tiny"
    for name in [name for name in sys.modules if name.startswith("outer_package")]:
        del sys.modules[name]
