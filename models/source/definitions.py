"""The definitions that a workload's functions rest on.

From a function on to what it names, calls, holds or inherits from, as far as that is the user's.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import sys
import types
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from models.source.naming import named_by
from models.source.text import text_of
from models.source.users import CONSTANTS, function_in, is_librarys, is_users

MOST = 1000
"""Definitions that are looked at."""
MOST_HELD = 100
"""Values in one table or object."""
DEEPEST = 6
"""Tables and objects in one another."""


def definitions(roots: Iterable[Any]) -> Iterator[tuple[Any, str, list[tuple[str, Any]]]]:
    """Every function and class of the user's that the roots rest on: itself, its source as text,
    and what it names.
    """
    waiting: list[tuple[Any, int]] = [(root, 0) for root in roots]
    seen, met = set[int](), dict[int, Any]()  # what was met stays, so that no other has its place
    while waiting and len(seen) < MOST:
        value, depth = waiting.pop()
        if id(value) in met or isinstance(value, CONSTANTS):
            continue
        met[id(value)] = value
        if depth < DEEPEST and not (isinstance(value, type) and not is_users(value)):
            waiting += [(each, depth + 1) for each in _held_by(value)]
        for code in _layers(value):
            if id(code) in seen or not is_users(code):
                continue
            seen.add(id(code))
            inner, text = list(named_by(code)), text_of(code)
            waiting += [(each, 0) for _, each in (*inner, *defaults_of(code))]
            if isinstance(code, type):  # met as that of an object, say
                waiting += [(each, 1) for each in _held_by(code)]
            if text is not None:
                yield code, text, inner


def _held_by(value: Any) -> list[Any]:
    """What a table or list holds, and what an object or function carries: a data set whose
    ``__getitem__`` is the user's, say.
    """
    held: Collection[Any] = ()
    if isinstance(value, (dict, types.MappingProxyType)):
        held = value.values()
    elif isinstance(value, (list, tuple)):
        held = value
    elif isinstance(value, functools.partial):
        held = (*value.args, *value.keywords.values())
    elif isinstance(value, types.MethodType):
        held = (value.__self__,)
    elif isinstance(value, type):
        held = [each for name, each in vars(value).items() if not name.startswith("__")]
        held = [each for each in held if not isinstance(function_in(each), types.FunctionType)]
    elif not isinstance(value, types.ModuleType):
        with contextlib.suppress(AttributeError):  # what stands in for another answers otherwise
            held = object.__getattribute__(value, "__dict__").values()
    return list(held) if len(held) <= MOST_HELD else []


def _layers(value: Any) -> Iterator[Any]:
    """The function or class that a value is, and the user's own functions that it is wrapped in."""
    if isinstance(value, functools.partial):
        yield from _layers(value.func)
        return
    inner = value
    while callable(inner) and (next_one := getattr(inner, "__wrapped__", None)) is not None:
        if isinstance(inner, types.FunctionType) and not is_librarys(inner):
            yield inner  # what a decorator made
        inner = next_one
    yield definition_of(value)


def definition_of(value: Any) -> Any:
    """The function or class that a value is, or is an instance of."""
    if isinstance(value, functools.partial):
        return definition_of(value.func)
    value = inspect.unwrap(value) if callable(value) else value
    if isinstance(value, types.MethodType):
        return value.__func__
    return value if isinstance(value, (types.FunctionType, type)) else type(value)


def name_of(value: Any) -> str:
    """Of the definition that a value is, or is an instance of, with its module."""
    definition = definition_of(value)
    return f"{module_name(definition)}.{definition.__qualname__}"


def module_name(value: Any) -> str:
    """The module's name; of one that was loaded by its path the file's, wherever that lies."""
    name = str(value.__module__)
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    stem = Path(file).stem
    return stem if re.fullmatch(f"{re.escape(stem)}_[0-9a-f]{{8}}", name) else name


def defaults_of(value: Any) -> Iterator[tuple[str, Any]]:
    """The defaults of a function's arguments, or of the arguments of a class's methods."""
    if isinstance(value, type):
        members = (getattr(each, "__func__", each) for each in vars(value).values())
        for each in members:
            if isinstance(each, types.FunctionType):
                yield from ((f"{each.__name__}.{n}", v) for n, v in defaults_of(each))
        return
    names = value.__code__.co_varnames[: value.__code__.co_argcount]
    defaults = value.__defaults__ or ()
    yield from zip(names[len(names) - len(defaults) :], defaults, strict=True)
    yield from (value.__kwdefaults__ or {}).items()
    yield from vars(value).items()
