"""How values that code changes later were made: what their module, or the function that they are
local to, does with their names itself.

Of a counter or a table that a training changes the value is a state. What it began with is none.
"""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import re
import sys
import types
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from models.source.definitions import definitions
from models.source.naming import assigned_in
from models.source.users import is_constant

TAKING = (
    "append", "extend", "insert", "appendleft", "add", "update", "setdefault", "pop", "popitem",
    "remove", "discard", "clear", "sort", "reverse",
)  # fmt: skip
"""Methods by which a container is changed."""
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def origin_of(module: str, name: str) -> str:
    """The statements that make a global of a module what it is when the module is loaded; of a name
    that is none those of the functions that have it for a local. Nothing where no source tells.
    """
    tree = tree_of(module)
    if tree is None:
        return ""
    scopes = [tree.body]
    if name not in vars(sys.modules[loaded_as(module)]):
        bodies = [node.body for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]
        scopes = [body for body in bodies if any(_binds(each, name) for each in body)]
    changing, asked, found = _changing(tree), [name], dict[str, None]()
    for one in asked:
        made = [each for body in scopes for each in body if _makes(each, one, changing)]
        found |= dict.fromkeys(map(_text_of, made))
        found |= dict.fromkeys(_looked_up(made, module))
        asked += dict.fromkeys(each for each in _read_by(made) if each not in asked)
    return "; ".join(found)


@functools.cache
def tree_of(module: str) -> ast.Module | None:
    """A module's source; None where there is none."""
    try:
        return ast.parse(inspect.getsource(sys.modules[loaded_as(module)]))
    except (KeyError, OSError, TypeError, SyntaxError):
        return None


def loaded_as(module: str) -> str:
    """The name under which a module is loaded; one that was loaded by its path has more to it."""
    by_path = re.compile(f"{re.escape(module)}_[0-9a-f]{{8}}")
    if module in sys.modules:
        return module
    return next(filter(by_path.fullmatch, list(sys.modules)), module)


def changed_by(nodes: Iterable[ast.AST]) -> Iterator[ast.expr]:
    """What is stored in, or told to take something."""
    for node in nodes:
        if is_store(node):
            yield node  # type: ignore[misc]
        elif isinstance(node, ast.Call) and is_taking(node.func):
            yield node.func


def is_store(node: ast.AST) -> bool:
    """Whether it is an attribute or an item that is assigned."""
    return isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load)


def is_taking(function: ast.AST) -> bool:
    """Whether it is a method by which a container is changed."""
    return isinstance(function, ast.Attribute) and function.attr in TAKING


def base_of(node: ast.AST) -> str | None:
    """The name with which a chain of attributes and items begins."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _makes(statement: ast.stmt, name: str, changing: dict[str, set[str]]) -> bool:
    """Whether a statement gives the name a value, changes it, or calls what does."""
    if _binds(statement, name):
        return True
    nodes = list(_own_nodes(statement))
    called = {base_of(n.func) or "" for n in nodes if isinstance(n, ast.Call)}
    through = any(name in changing.get(each, ()) for each in called)
    return through or name in map(base_of, changed_by(nodes))


def _binds(statement: ast.stmt, name: str) -> bool:
    nodes = (node for node in _own_nodes(statement) if isinstance(node, ast.Name))
    return any(node.id == name and not isinstance(node.ctx, ast.Load) for node in nodes)


def _own_nodes(statement: ast.AST) -> Iterator[ast.AST]:
    """A statement's nodes, without those in functions and classes or in a script's main part."""
    if isinstance(statement, (*FUNCTIONS, ast.Lambda, ast.ClassDef, ast.Return)):
        return
    if isinstance(statement, ast.If) and "__name__" in map(base_of, ast.walk(statement.test)):
        return
    yield statement
    for child in ast.iter_child_nodes(statement):
        yield from _own_nodes(child)


def _changing(tree: ast.Module) -> dict[str, set[str]]:
    """The names that each function of a module changes, by its name."""
    functions = [node for node in tree.body if isinstance(node, FUNCTIONS)]
    return {f.name: set(filter(None, map(base_of, changed_by(ast.walk(f))))) for f in functions}


def _read_by(statements: Iterable[ast.AST]) -> Iterator[str]:
    for node in (inner for each in statements for inner in ast.walk(each)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id


def _looked_up(statements: Iterable[ast.stmt], module: str) -> Iterator[str]:
    """What they read that no statement of the module makes: constants of other files, and what the
    user's functions say that they call.
    """
    names = vars(sys.modules[loaded_as(module)])
    for node in (inner for each in statements for inner in ast.walk(each)):
        if base_of(node) in _bound_in(module) or not isinstance(node, (ast.Name, ast.Attribute)):
            continue
        value = _value_of(node, names)
        if isinstance(value, types.FunctionType):
            texts = ((code.__qualname__, text) for code, text, _ in definitions([value]))
            yield from (f"{name} {zlib.crc32(text.encode()):08x}" for name, text in sorted(texts))
        elif is_constant(value) and value is not None:
            yield f"{ast.unparse(node)} is {value!r}"


@functools.cache
def _bound_in(module: str) -> frozenset[str]:
    """Names that a module's own statements give values."""
    names = (node for node in ast.walk(tree_of(module) or ast.Pass()) if isinstance(node, ast.Name))
    return frozenset(node.id for node in names if not isinstance(node.ctx, ast.Load))


def _value_of(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """What a name is in a module, or a chain of names through modules that no code assigns to;
    None where it is neither, or what the module itself is called.
    """
    if isinstance(node, ast.Name):
        return None if node.id.startswith("__") else names.get(node.id)
    if not isinstance(node, ast.Attribute):
        return None
    module = _value_of(node.value, names)
    if not isinstance(module, types.ModuleType) or node.attr in assigned_in(module.__name__):
        return None
    return vars(module).get(node.attr)


def _text_of(statement: ast.stmt) -> str:
    return ast.unparse(_WithoutPaths().visit(copy.deepcopy(statement)))


class _WithoutPaths(ast.NodeTransformer):
    """Replaces paths in source: where something lies is not what it is."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return node if is_constant(node.value) else ast.Constant("a path")
