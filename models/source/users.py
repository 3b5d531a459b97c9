"""Which functions and classes are the user's own: libraries have versions."""

from __future__ import annotations

import sys
import types
from typing import Any

from models.frames import in_library, is_ours, is_users_file

CONSTANTS = (bool, int, float, complex, str, bytes, type(None))


def is_users(value: Any) -> bool:
    """Whether a function or class is the user's own: of a file that is neither a library's nor this
    project's, which has a version; its workloads are looked at all the same.
    """
    module = str(getattr(value, "__module__", ""))
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return module not in sys.builtin_module_names and module != "builtins"
    if is_ours(file) and isinstance(value, (types.FunctionType, type)):
        # What the user has in a ``models.py``, or a package's ``__init__``, says it is of ours.
        return any(is_users_file(code.co_filename) for code in codes_of(value))
    return not (is_ours(file) or in_library(file))


def is_constant(value: Any) -> bool:
    """Whether a value is a constant: a number or text, but no path, which says where something
    lies.
    """
    return isinstance(value, CONSTANTS) and not (isinstance(value, str) and "/" in value)


def is_librarys(function: types.FunctionType) -> bool:
    """Whether a function is a library's, by its code: what it wraps has lent it its name and
    module.
    """
    file = function.__code__.co_filename
    return is_ours(file) or in_library(file)


def is_users_module(module: types.ModuleType) -> bool:
    """Whether a module is the user's own."""
    return is_users(types.SimpleNamespace(__module__=module.__name__))


def codes_of(value: Any) -> tuple[types.CodeType, ...]:
    """The code of a function, or of all that stand in a class's text."""
    functions = _methods_of(value) if isinstance(value, type) else [value]
    return tuple(function.__code__ for function in functions)


def _methods_of(kind: type) -> list[types.FunctionType]:
    """The functions that stand in a class's own text, in the user's words."""
    found = []
    for member in map(function_in, vars(kind).values()):
        while isinstance(member, types.FunctionType) and is_librarys(member):
            member = getattr(member, "__wrapped__", None)
        if isinstance(member, types.FunctionType) and is_own(kind, member):
            found.append(member)
    return found


def is_own(kind: type, function: types.FunctionType) -> bool:
    """Whether a function stands in a class's own text."""
    return function.__qualname__.startswith(f"{kind.__qualname__}.")


def function_in(member: Any) -> Any:
    """What a property, a cached one, a class's or a static method calls; the member itself."""
    for name in ("fget", "__func__", "func"):
        if (inner := getattr(member, name, None)) is not None:
            return inner
    return member
