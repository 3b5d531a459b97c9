"""What code refers to, by name."""

from __future__ import annotations

import ast
import dis
import functools
import inspect
import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from models.source.users import CONSTANTS, function_in, is_own, is_users_module

MOST_CODES = 1000
"""Functions whose imports are remembered."""


def named_by(value: Any) -> Iterator[tuple[str, Any]]:
    """What a function or a class refers to, by name."""
    if isinstance(value, type):
        yield from ((base.__name__, base) for base in (*value.__mro__[1:], type(value)))
        for name, member in vars(value).items():
            inner = function_in(member)
            if isinstance(inner, types.FunctionType):
                if not is_own(value, inner):
                    yield name, inner  # put there from elsewhere
                yield from named_by(inner)
            elif isinstance(inner, CONSTANTS) and not name.startswith("__"):
                yield name, inner
        return
    if value.__closure__:
        cells = zip(value.__code__.co_freevars, value.__closure__, strict=True)
        yield from ((name, inner) for name, cell in cells for inner in _content(cell))
    yield from _globals_of(value.__code__, value.__globals__)


def _content(cell: Any) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # not filled yet
        return ()


def _globals_of(code: types.CodeType, names: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    found = {name: names[name] for name in code.co_names if name in names}
    found |= _imported_in(code, names)
    yield from found.items()
    for module in modules_in(code, found.values()):
        yield from ((n, getattr(module, n)) for n in code.co_names if hasattr(module, n))
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _globals_of(inner, names)


def modules_in(code: types.CodeType, values: Iterable[Any]) -> list[types.ModuleType]:
    """The user's modules among the values, and those that the code names as parts of one:
    ``package.part.RATE``.
    """
    waiting, found = deque(values), list[types.ModuleType]()
    while waiting:
        module = waiting.popleft()
        known = not isinstance(module, types.ModuleType) or module in found
        if not known and is_users_module(module):
            found.append(module)
            waiting += [vars(module)[name] for name in code.co_names if name in vars(module)]
    return found


def _imported_in(code: types.CodeType, names: Mapping[str, Any]) -> dict[str, types.ModuleType]:
    """Modules that a function imports where it runs, those of them that are loaded."""
    asked = _asked_in(code)
    paths = {path: path for path in asked}
    paths |= {f"{names.get('__package__')}.{path}".rstrip("."): path for path in asked}
    return {path: sys.modules[full] for full, path in paths.items() if full in sys.modules}


@functools.lru_cache(maxsize=MOST_CODES)
def _asked_in(code: types.CodeType) -> tuple[str, ...]:
    return tuple(i.argval for i in dis.get_instructions(code) if i.opname == "IMPORT_NAME")


@functools.cache
def assigned_in(module: str) -> frozenset[str]:
    """Globals that a module's functions assign: states and no constants, a counter say."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError, SyntaxError):
        return frozenset()
    stated = (node.names for node in ast.walk(tree) if isinstance(node, ast.Global))
    return frozenset(name for names in stated for name in names)
