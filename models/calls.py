"""Which of a user's functions was being called where an error has no line of theirs.

A function with too few arguments fails at its caller's line, which is this project's, and a model
of a library's layers fails in the library. What the caller's line calls says more.
"""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Iterator
from itertools import islice
from types import TracebackType
from typing import Any

Call = tuple[str, str, Any]
"""The file of the line that calls, the function's name, and the function."""


def calls(trace: TracebackType | None) -> Iterator[Call]:
    """What each line was calling, the innermost first.

    The name is empty and the function None where the line calls what no name, or attribute of one,
    stands for.
    """
    for step in reversed(list(_steps(trace))):
        function = _called(step)
        found = None if function is None else _resolved(function, step.tb_frame.f_locals)
        name = "" if function is None or found is None else ast.unparse(function)
        yield step.tb_frame.f_code.co_filename, name.split(".")[-1], found


def _steps(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _called(step: TracebackType) -> ast.expr | None:
    """What stands before the parenthesis of the call that a frame is in."""
    code = step.tb_frame.f_code
    positions = next(islice(code.co_positions(), step.tb_lasti // 2, None), None)
    if positions is None or None in positions:
        return None
    first, last, start, end = (int(value or 0) for value in positions)
    lines = [linecache.getline(code.co_filename, number) for number in range(first, last + 1)]
    if not lines or not all(lines):
        return None
    lines[-1] = lines[-1].encode()[:end].decode(errors="ignore")
    lines[0] = lines[0].encode()[start:].decode(errors="ignore")
    return _function(f"({''.join(lines)})")


def _function(text: str) -> ast.expr | None:
    try:
        found = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        return None
    return found.func if isinstance(found, ast.Call) else None


def _resolved(function: ast.expr, names: Any) -> Any:
    """What a name, or attributes of one, stand for; None where it cannot be looked up safely."""
    if isinstance(function, ast.Name):
        return names.get(function.id)
    if not isinstance(function, ast.Attribute):
        return None
    owner = _resolved(function.value, names)
    # Without running anything: a property would be code of somebody's.
    return None if owner is None else inspect.getattr_static(owner, function.attr, None)
