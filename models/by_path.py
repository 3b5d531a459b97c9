"""A module of the user's, a workload's or a space's, by its path, whatever lies beside it."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import NoReturn

_FORM = re.compile(r"(?P<path>.+\.py):(?P<factory>\w+)", re.DOTALL)

_UNDER_WAY: list[str] = []


@contextlib.contextmanager
def importing(name: str) -> Iterator[None]:
    """Within the block the module of workload ``name`` is imported."""
    _UNDER_WAY.append(name)
    try:
        yield
    finally:
        _UNDER_WAY.pop()


def under_way() -> str | None:
    """The workload whose module is being imported just now; None where none is."""
    return _UNDER_WAY[-1] if _UNDER_WAY else None


def is_path(name: str) -> bool:
    """Whether a workload's name has the form ``path/to/file.py:factory``."""
    return _FORM.fullmatch(name) is not None


def divided(name: str) -> tuple[Path, str]:
    """The file and the factory that such a name gives."""
    found = _FORM.fullmatch(name)
    assert found is not None, "is_path says so first"
    return Path(found["path"]), found["factory"]


class NoFileError(ValueError):
    """There is no file at the path."""


def module_at(path: Path) -> ModuleType:
    """The module in ``path``, once a process; files beside it can be imported by their names.

    Its own name is made of the file's and of where it lies, so that it is the same in every process
    and never that of another file.

    Raises:
        NoFileError: there is none.
        Exception: whatever the file raises.
    """
    path = path.absolute()
    if not path.is_file():
        raise NoFileError(
            f"there is no file {path}: name one that there is, or put it back where the run began "
            "with it"
        )
    place = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    name = f"{path.stem}_{place}"
    if name in sys.modules:
        return sys.modules[name]
    # Behind everything else: what is called as a library or as we are must not stand before it.
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    loader = _FromSource(name, os.fspath(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None, "it has a loader"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class _FromSource(SourceFileLoader):
    """Compiles a file whenever it is imported, and leaves nothing beside it.

    Python knows a compiled file's source again by its second and its size, so that of two edits
    within a second the first could be what is trained, and the second what is looked at.
    """

    def path_stats(self, path: str) -> NoReturn:
        raise OSError(f"nothing compiled is kept of {path}")
