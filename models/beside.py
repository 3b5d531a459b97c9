"""Packages of the user's that have a name of ours: what ours lack is found in theirs.

A folder with a package ``models`` of its own is a common one, and its ``models.net`` is what a
workload there imports. Ours goes first: where both have a module of a name, it is ours.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

NAMES = ("policies", "models", "search_spaces", "tuning")
"""Of ours that anybody may have too."""
BEGINS = "__init__.py"


class Beside(MetaPathFinder):
    """Looks for ``models.net`` in every folder ``models`` on the path; asked after all others."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a module of such a package is; None where nowhere."""
        name, *inner = fullname.split(".")
        if name not in NAMES or not inner:
            return None
        folders = [str(Path(place, name, *inner[:-1])) for place in sys.path]
        return PathFinder.find_spec(fullname, folders, target)


def share(package: ModuleType, home: Path) -> None:
    """Give a package of ours the names that the user's package of the same name has.

    The user's ``__init__`` is run when a name that ours lacks is first asked for.

    Args:
        package: ours, loaded.
        home: the folder it lies in.
    """
    name = package.__name__

    def missing(attribute: str) -> Any:
        # Python itself asks for __path__ and the like.
        try:
            theirs = None if attribute.startswith("__") else _theirs(name, home)
        except Exception as fault:  # who only asks whether there is one is to be told no
            raise AttributeError(
                f"module {name!r} has no attribute {attribute!r}, and the package of that name "
                f"beside it cannot be imported: {type(fault).__name__}: {fault}"
            ) from fault
        if theirs is None or attribute not in vars(theirs):
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}")
        return vars(theirs)[attribute]

    package.__dict__["__getattr__"] = missing


def begin() -> None:
    """Have modules be looked for in the user's packages too, from now on."""
    if not any(isinstance(finder, Beside) for finder in sys.meta_path):
        sys.meta_path.append(Beside())


def clash(module: str, folder: Path) -> str:
    """What to do where a module of the user's has the name of one of ours; empty where none has.

    Args:
        module: that could not be imported, or lacks a name.
        folder: in which the user's file lies.
    """
    ours, theirs = sys.modules.get(module), folder.joinpath(*module.split("."))
    taken = theirs.is_dir() or theirs.with_suffix(".py").is_file()
    if module.partition(".")[0] not in NAMES or "." not in module or ours is None or not taken:
        return ""
    return (
        f"; {theirs} has the name of a module of this project, {module}, which is the one that is "
        "imported: give yours another name"
    )


@cache
def _theirs(name: str, home: Path) -> ModuleType | None:
    """The user's package or file of that name, run without taking the place of ours."""
    places = (Path(place).absolute() for place in sys.path if Path(place).resolve() != home)
    files = (file for place in places for file in (place / name / BEGINS, place / f"{name}.py"))
    file = next((file for file in files if file.is_file()), None)
    inner = [str(file.parent)] if file and file.name == BEGINS else None
    spec = file and importlib.util.spec_from_file_location(
        name, file, submodule_search_locations=inner
    )
    if not spec:
        return None
    assert spec.loader is not None, "a Python file has one"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
