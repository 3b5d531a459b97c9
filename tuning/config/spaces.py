"""A search space by its name: an embedded one, or the user's own in a file."""

from __future__ import annotations

import importlib

from models import by_path
from models.frames import told
from search_spaces.base import SearchSpace
from search_spaces.registry import find_space

FORMS = "package.module:SPACE or path/to/file.py:SPACE"


def is_own(name: str) -> bool:
    """Whether the name is that of a space in a file of the user's."""
    return ":" in name


def space_named(name: str) -> SearchSpace:
    """The space called ``name``.

    Raises:
        ValueError: there is none, or what is there is no space.
    """
    if not is_own(name):
        return find_space(name)
    module_name, _, attribute = name.rpartition(":")
    try:
        if by_path.is_path(name):
            module = by_path.module_at(by_path.divided(name)[0], "a space's")
        else:
            module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"space {name!r} must have the form {FORMS} and be importable, but importing "
            f"{module_name!r} raised {told(error)}"
        ) from error
    found = getattr(module, attribute, None)
    if not isinstance(found, SearchSpace):
        raise ValueError(
            f"space {name!r} must name a SearchSpace, but {attribute} is a {type(found).__name__}: "
            "make one as search_spaces/static_suffix.py does"
        )
    return found
