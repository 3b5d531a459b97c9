"""A search space by its name: an embedded one, or the user's own in a file."""

from __future__ import annotations

import dataclasses
import importlib

from models import by_path
from models.frames import told
from search_spaces.base import HORIZON, SearchSpace
from search_spaces.knobs import Float
from search_spaces.registry import find_space

FORMS = "package.module:SPACE or path/to/file.py:SPACE"


def is_own(name: str) -> bool:
    """Whether the name is that of a space in a file of the user's."""
    return ":" in name


def longer(space: SearchSpace, factor: float) -> SearchSpace:
    """The space with its horizons ``factor`` times as long.

    Raises:
        ValueError: it searches no horizon.
    """
    if factor == 1:
        return space
    found = [knob for knob in space.knobs if knob.name == HORIZON and isinstance(knob, Float)]
    if not found:
        raise ValueError(
            f"longer must be 1 where space {space.name!r} searches no range of horizons, but got "
            f"{factor!r}"
        )
    low, high = found[0].low * factor, found[0].high * factor
    knobs = (
        dataclasses.replace(knob, low=low, high=high) if knob is found[0] else knob
        for knob in space.knobs
    )
    return dataclasses.replace(space, knobs=tuple(knobs))


def space_named(name: str) -> SearchSpace:
    """The space called ``name``.

    Raises:
        ValueError: there is none, or what is there is no space.
    """
    if not is_own(name):
        if name.endswith(".py"):
            raise ValueError(f"space {name!r} must have the form {FORMS}: add the space's name")
        return find_space(name)
    module_name, _, attribute = name.rpartition(":")
    try:
        if by_path.is_path(name):
            module = by_path.module_at(by_path.divided(name)[0])
        else:
            module = importlib.import_module(module_name)
    except by_path.NoFileError as error:
        raise ValueError(f"space {name!r} must be importable, but {error}") from error
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"space {name!r} must have the form {FORMS} and be importable, but importing "
            f"{module_name!r} raised {told(error)}"
        ) from error
    found = getattr(module, attribute, None)
    if found is None:
        raise ValueError(f"space {name!r} must name a SearchSpace, but {attribute} is not there")
    if not isinstance(found, SearchSpace):
        raise ValueError(
            f"space {name!r} must name a SearchSpace, but {attribute} is a {type(found).__name__}: "
            "make one as search_spaces/static_suffix.py does"
        )
    return found
