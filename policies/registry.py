"""The policies there are: every ``UpdatePolicy`` with a ``name`` in a module of this package, one a
file.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

import policies as package
from policies.base import Scalar, UpdatePolicy

_SKIPPED = {"apply", "applying"}
"""Modules that import torch, which deciding must not need."""


def policies() -> dict[str, type[UpdatePolicy[Any]]]:
    """Every policy by name.

    >>> sorted(policies())[:2]
    ['dynamic_suffix', 'full_update']
    """
    return dict(_found())


@functools.cache
def _found() -> Mapping[str, type[UpdatePolicy[Any]]]:
    names = sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name not in _SKIPPED)
    modules = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    found: dict[str, type[UpdatePolicy[Any]]] = {}
    for module in modules:
        for value in vars(module).values():
            if _is_policy(value) and value.__module__ == module.__name__:
                if value.name in found:
                    raise TypeError(
                        f"two policies are named {value.name!r}: {found[value.name]}, {value}"
                    )
                found[value.name] = value
    return found


def _is_policy(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, UpdatePolicy) and "name" in vars(value)


def make_policy(name: str, knobs: Mapping[str, Scalar]) -> UpdatePolicy[Any]:
    """The policy ``name`` with its settings; a knob that is not given has its default.

    Raises:
        ValueError: an unknown policy or knob, or a value that breaks its rule; the message names
            every one.
    """
    if name not in _found():
        raise ValueError(f"policy must be one of {sorted(_found())}, but got {name!r}")
    kind = _found()[name]
    known = {field.name for field in dataclasses.fields(kind)}
    faults = [
        f"{name} has no knob {knob!r}; its knobs are {sorted(known) or 'none'}"
        for knob in knobs
        if knob not in known
    ]
    try:
        policy = kind(**{knob: value for knob, value in knobs.items() if knob in known})
    except ValueError as error:
        faults.append(str(error))
    if faults:
        raise ValueError("; ".join(faults))
    return policy
