"""The text of a function or class, without what does not count, as this process runs it."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import sys
import textwrap
import tokenize
import types
from collections.abc import Hashable, MutableMapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from models.source.users import codes_of


@dataclasses.dataclass(frozen=True)
class _Reading:
    """The text of a function or class, and what it was read for.

    Attributes:
        codes: that it ran then. A notebook's autoreload gives it others in place.
        stamp: of its file.
        text: what the file says.
        runs: what it said when these codes were first read: what this process runs.
    """

    codes: tuple[types.CodeType, ...]
    stamp: tuple[int, int] | None
    text: str | None
    runs: str | None


_READ: MutableMapping[Any, _Reading] = WeakKeyDictionary()
"""Of functions and classes: to find a class Python parses all of its file."""


def text_of(value: Any) -> str | None:
    """The source without what does not count; None where there is none."""
    try:
        held = _READ.get(value)
    except TypeError:  # a class whose own class takes hashes away
        return _read(value)
    codes, stamp = codes_of(value), stamp_of(value)
    same = held is not None and list(map(id, held.codes)) == list(map(id, codes))
    if held is None or not same or held.stamp != stamp:
        text = _read(value)
        held = _READ[value] = _Reading(codes, stamp, text, held.runs if held and same else text)
    return held.text


def refuse_edited(value: Any) -> None:
    """What this process goes on with is not what those that it starts would read."""
    held = _READ.get(value) if isinstance(value, Hashable) else None
    if held is not None and held.text != held.runs:
        raise ValueError(
            f"what a process runs must be what its files say, but {Path(_file_of(value)).name} was "
            f"edited at {value.__qualname__} after it was read: begin a new process (in a "
            "notebook, restart the kernel), as the workers would train what it says now"
        )


def stamp_of(value: Any) -> tuple[int, int] | None:
    """Nanoseconds since 1970 and bytes of its file; None where there is none."""
    try:
        found = Path(_file_of(value)).stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size


def _file_of(value: Any) -> str:
    codes = codes_of(value)
    own = getattr(sys.modules.get(value.__module__), "__file__", None)
    return codes[0].co_filename if codes else own or ""


def _read(value: Any) -> str | None:
    if isinstance(value, types.FunctionType):
        return _plain(_source(value.__code__)[0])  # of code it is not what it wraps
    if (found := _own_source(value)) is not None:
        return _plain(found)
    texts = [_plain(_source(code)[0]) for code in codes_of(value)]
    return "\n".join(filter(None, texts)) or None


def _source(value: Any) -> tuple[str | None, range]:
    """The source that Python finds, and its lines."""
    try:
        lines, first = inspect.getsourcelines(value)
    except (OSError, TypeError, IndentationError, SyntaxError):
        return None, range(0)
    return "".join(lines), range(first, first + len(lines))


def _own_source(kind: type) -> str | None:
    """A class's source, if it is what Python finds: of a notebook's it finds none, and of two in
    one file that have the same name the first.
    """
    source, lines = _source(kind)
    if source is None:
        return None
    file = Path(inspect.getsourcefile(kind) or "").resolve()
    codes = [code for code in codes_of(kind) if not code.co_filename.startswith("<")]
    inside = (
        Path(code.co_filename).resolve() == file and code.co_firstlineno in lines for code in codes
    )
    return source if all(inside) else None


def _plain(source: str | None) -> str | None:
    if source is None:
        return None
    source = textwrap.dedent(source)
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return _without_comments(source)
    return ast.dump(_NoDocstrings().visit(tree))


class _NoDocstrings(ast.NodeTransformer):
    def generic_visit(self, node: ast.AST) -> ast.AST:
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            first = body[0].value
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                node.body = body[1:]  # type: ignore[attr-defined]
        return super().generic_visit(node)


def _without_comments(source: str) -> str:
    """The tokens of a line or two that hold a lambda, without comments, separated by spaces."""
    words: list[str] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            words += [token.string.strip()] if token.type != tokenize.COMMENT else []
    except (tokenize.TokenError, IndentationError):
        pass  # the end of an expression that goes on
    return " ".join(filter(None, words))
