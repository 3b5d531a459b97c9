"""The search spaces there are: the ``SPACE`` of every module of this package.

Each file holds one space.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil

import search_spaces
from search_spaces.base import SearchSpace
from search_spaces.rules import nearest


@functools.cache
def all_spaces() -> dict[str, SearchSpace]:
    """Every space by its name, in alphabetical order."""
    modules = (
        importlib.import_module(f"{search_spaces.__name__}.{module.name}")
        for module in pkgutil.iter_modules(search_spaces.__path__)
    )
    spaces = [module.SPACE for module in modules if hasattr(module, "SPACE")]
    return {space.name: space for space in sorted(spaces, key=lambda space: space.name)}


def find_space(name: str) -> SearchSpace:
    """The space called ``name``.

    Raises:
        ValueError: there is none; the message has the nearest name.
    """
    spaces = all_spaces()
    if name not in spaces:
        raise ValueError(
            f"space must be one of {list(spaces)}, but got {name!r}: {nearest(name, list(spaces))}"
        )
    return spaces[name]
