"""What a workload's functions are given from outside of themselves and that is no code."""

from __future__ import annotations

import functools
import threading
import types
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import Any

from models.source.definitions import defaults_of, definitions, module_name, name_of
from models.source.naming import modules_in
from models.source.users import function_in, is_constant, is_users


def surroundings(roots: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """What the same definitions are given from outside of themselves and that is no code, by name.

    Globals, what is closed over, defaults, arguments of partials, and the objects whose methods
    they are. Of several that share a name (what one factory closed over in each of its functions)
    all but the first have a number.
    """
    known, seen = [root for root in roots if callable(root)], defaultdict[str, list[Any]](list)
    named = [(name_of(value), value) for value in known]
    for value, _, inner in definitions(known):
        named += [(f"{module_name(value)}.{name}", each) for name, each in inner]
        named += [(f"{name_of(value)}.{name}", each) for name, each in defaults_of(value)]
    for name, each in (pair for whole in named for pair in _carried_by(*whole)):
        if not any(each is other for other in seen[name]):
            seen[name].append(each)
            yield name if len(seen[name]) == 1 else f"{name} ({len(seen[name])})", each


def class_tables(roots: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """What the same definitions' classes hold for all of their objects, by name: containers and
    objects, which change in place. Numbers and words are in ``surroundings``.
    """
    for definition, name, value in class_values(roots):
        if _changes_in_place(value):
            yield f"{name_of(definition)}.{name}", value


def class_values(roots: Iterable[Any]) -> Iterator[tuple[type, str, Any]]:
    """All that they hold beside code: the class, the attribute's name and its value."""
    for definition, _, _ in definitions([root for root in roots if callable(root)]):
        if isinstance(definition, type):
            for name, value in vars(definition).items():
                if not name.startswith("__") and not _is_code(function_in(value)):
                    yield definition, name, value


def _changes_in_place(value: Any) -> bool:
    if isinstance(value, (dict, list, set, deque, threading.local, types.SimpleNamespace)):
        return True
    is_object = not (_is_code(value) or callable(value) or isinstance(value, types.ModuleType))
    return is_object and bool(getattr(value, "__dict__", {})) and is_users(type(value))


def assign_outside(roots: Iterable[Any], name: str, value: Any) -> None:
    """Give a global, an attribute of a class or function, or what is closed over another value, by
    its name in ``surroundings``.
    """
    for definition, _, inner in definitions([root for root in roots if callable(root)]):
        prefix, _, last = name.rpartition(".")
        if prefix == module_name(definition) and last in dict(inner):
            _assign(definition, last, value)
        own = vars(definition) if isinstance(definition, types.FunctionType) else {}
        if prefix == name_of(definition) and last in own:
            own[last] = value


def _assign(definition: Any, name: str, value: Any) -> None:
    if isinstance(definition, type):
        for member in vars(definition).values():
            inner = function_in(member)
            if isinstance(inner, types.FunctionType):
                _assign(inner, name, value)
        if is_constant(vars(definition).get(name, definition)):
            setattr(definition, name, value)
        return
    code, names = definition.__code__, definition.__globals__
    if name in code.co_freevars:
        definition.__closure__[code.co_freevars.index(name)].cell_contents = value
    elif name in names:
        names[name] = value
    for module in modules_in(code, names.values()):
        if name in code.co_names and name in vars(module):
            setattr(module, name, value)


def _carried_by(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """What a value holds that is no code: itself, or what is in a partial, a wrapper or behind a
    method.
    """
    if (inner := getattr(value, "__dict__", {}).get("__wrapped__")) is not None:
        yield from _carried_by(f"{name}.wrapped", inner)
    if isinstance(value, functools.partial):
        held = [*enumerate(value.args), *value.keywords.items()]
        for key, each in (("function", value.func), *held):
            yield from _carried_by(f"{name}.{key}", each)
    elif isinstance(value, types.MethodType):
        yield from _carried_by(f"{name}.self", value.__self__)
    elif not (_is_code(value) or isinstance(value, (type, types.ModuleType))):
        yield name, value


def _is_code(value: Any) -> bool:
    return isinstance(value, (types.FunctionType, types.MethodType, types.BuiltinFunctionType))
