"""Digests of the source that a workload's functions are made of.

From a function on to what it names, calls or inherits from, as far as that is the user's own:
libraries have versions. Comments, blank lines and docstrings do not count.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import dis
import functools
import hashlib
import inspect
import io
import re
import sys
import textwrap
import threading
import tokenize
import types
from collections import defaultdict, deque
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from models.frames import in_library, is_ours, is_users_file

MOST = 1000
"""Definitions that are looked at."""
MOST_HELD = 100
"""Values in one table or object."""
DEEPEST = 6
"""Tables and objects in one another."""
CONSTANTS = (bool, int, float, complex, str, bytes, type(None))


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


def source_digests(roots: Iterable[Any]) -> dict[str, str]:
    """The digest of every definition and constant that the roots rest on, by its name.

    Args:
        roots: functions, methods, classes or callable objects; what has no source is left out.

    Raises:
        ValueError: a file was edited after this process had read it.
    """
    found: dict[str, str] = {}
    for value, text, inner in _definitions(roots):
        _refuse_edited(value)
        kept = assigned_in(str(value.__module__))
        constants = {n: each for n, each in inner if n not in kept and is_constant(each)}
        digest = _digest(f"{text}\n{sorted(constants.items(), key=lambda pair: pair[0])!r}")
        name = f"{_module_name(value)}.{value.__qualname__}"
        # Lambdas share a name; together they have one digest.
        found[name] = digest if name not in found else _digest(found[name] + digest)
    return found


def edited_since(roots: Iterable[Any], known: Mapping[str, str], moment: float) -> list[str]:
    """Names of definitions that have another digest here than where ``known`` was made.

    Args:
        roots: as of ``source_digests``.
        known: what that gave.
        moment: seconds since 1970; of files that are older a digest differs by a constant that is
            another in each process, the device's name say.
    """
    roots = list(roots)
    here = source_digests(roots)
    late = {
        _name(each)
        for each, _, _ in _definitions(roots)
        if (_stamp(each) or (0,))[0] > moment * 1e9
    }
    return [name for name in here if name in late and here[name] != known.get(name, here[name])]


def surroundings(roots: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """What the same definitions are given from outside of themselves and that is no code, by name.

    Globals, what is closed over, defaults, arguments of partials, and the objects whose methods
    they are. Of several that share a name (what one factory closed over in each of its functions)
    all but the first have a number.
    """
    known, seen = [root for root in roots if callable(root)], defaultdict[str, list[Any]](list)
    named = [(_name(value), value) for value in known]
    for value, _, inner in _definitions(known):
        named += [(f"{_module_name(value)}.{name}", each) for name, each in inner]
        named += [(f"{_name(value)}.{name}", each) for name, each in _defaults_of(value)]
    for name, each in (pair for whole in named for pair in _carried_by(*whole)):
        if not any(each is other for other in seen[name]):
            seen[name].append(each)
            yield name if len(seen[name]) == 1 else f"{name} ({len(seen[name])})", each


def class_tables(roots: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """What the same definitions' classes hold for all of their objects, by name: containers and
    objects, which change in place. Numbers and words are in ``surroundings``.
    """
    for definition, _, _ in _definitions([root for root in roots if callable(root)]):
        if isinstance(definition, type):
            for name, value in vars(definition).items():
                if not name.startswith("__") and _changes_in_place(value):
                    yield f"{_name(definition)}.{name}", value


def _changes_in_place(value: Any) -> bool:
    if isinstance(value, (dict, list, set, deque, threading.local, types.SimpleNamespace)):
        return True
    is_object = not (_is_code(value) or callable(value) or isinstance(value, types.ModuleType))
    return is_object and bool(getattr(value, "__dict__", {})) and is_users(type(value))


def assign_outside(roots: Iterable[Any], name: str, value: Any) -> None:
    """Give a global, a class's attribute or what is closed over another value, by its name in
    ``surroundings``.
    """
    for definition, _, inner in _definitions([root for root in roots if callable(root)]):
        prefix, _, last = name.rpartition(".")
        if prefix == _module_name(definition) and last in dict(inner):
            _assign(definition, last, value)


def _assign(definition: Any, name: str, value: Any) -> None:
    if isinstance(definition, type):
        for member in vars(definition).values():
            inner = _function_in(member)
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
    for module in _modules_in(code, names.values()):
        if name in code.co_names and name in vars(module):
            setattr(module, name, value)


def _name(value: Any) -> str:
    definition = _definition(value)
    return f"{_module_name(definition)}.{definition.__qualname__}"


def _defaults_of(value: Any) -> Iterator[tuple[str, Any]]:
    """The defaults of a function's arguments, or of the arguments of a class's methods."""
    if isinstance(value, type):
        members = (getattr(each, "__func__", each) for each in vars(value).values())
        for each in members:
            if isinstance(each, types.FunctionType):
                yield from ((f"{each.__name__}.{n}", v) for n, v in _defaults_of(each))
        return
    names = value.__code__.co_varnames[: value.__code__.co_argcount]
    defaults = value.__defaults__ or ()
    yield from zip(names[len(names) - len(defaults) :], defaults, strict=True)
    yield from (value.__kwdefaults__ or {}).items()
    yield from vars(value).items()


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


def _module_name(value: Any) -> str:
    """The module's name; of one that was loaded by its path the file's, wherever that lies."""
    name = str(value.__module__)
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    stem = Path(file).stem
    return stem if re.fullmatch(f"{re.escape(stem)}_[0-9a-f]{{8}}", name) else name


def _is_code(value: Any) -> bool:
    return isinstance(value, (types.FunctionType, types.MethodType, types.BuiltinFunctionType))


def _definitions(roots: Iterable[Any]) -> Iterator[tuple[Any, str, list[tuple[str, Any]]]]:
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
            inner, text = list(_named_by(code)), _text(code)
            waiting += [(each, 0) for _, each in (*inner, *_defaults_of(code))]
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
        held = [each for each in held if not isinstance(_function_in(each), types.FunctionType)]
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
        if isinstance(inner, types.FunctionType) and not _is_librarys(inner):
            yield inner  # what a decorator made
        inner = next_one
    yield _definition(value)


def _is_librarys(function: types.FunctionType) -> bool:
    """By its code: what it wraps has lent it its name and module."""
    file = function.__code__.co_filename
    return is_ours(file) or in_library(file)


def is_constant(value: Any) -> bool:
    """Numbers and words; not a path, which is where something lies and not what it is."""
    return isinstance(value, CONSTANTS) and not (isinstance(value, str) and "/" in value)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _definition(value: Any) -> Any:
    """The function or class that a value is, or is an instance of."""
    if isinstance(value, functools.partial):
        return _definition(value.func)
    value = inspect.unwrap(value) if callable(value) else value
    if isinstance(value, types.MethodType):
        return value.__func__
    return value if isinstance(value, (types.FunctionType, type)) else type(value)


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
        return any(is_users_file(code.co_filename) for code in _codes_of(value))
    return not (is_ours(file) or in_library(file))


def _text(value: Any) -> str | None:
    """The source without what does not count; None where there is none."""
    try:
        held = _READ.get(value)
    except TypeError:  # a class whose own class takes hashes away
        return _read(value)
    codes, stamp = _codes_of(value), _stamp(value)
    same = held is not None and list(map(id, held.codes)) == list(map(id, codes))
    if held is None or not same or held.stamp != stamp:
        text = _read(value)
        held = _READ[value] = _Reading(codes, stamp, text, held.runs if held and same else text)
    return held.text


def _refuse_edited(value: Any) -> None:
    """What this process goes on with is not what those that it starts would read."""
    held = _READ.get(value) if isinstance(value, Hashable) else None
    if held is not None and held.text != held.runs:
        raise ValueError(
            f"what a process runs must be what its files say, but {Path(_file_of(value)).name} was "
            f"edited at {value.__qualname__} after it was read: begin a new process (in a "
            "notebook, restart the kernel), as the workers would train what it says now"
        )


def _codes_of(value: Any) -> tuple[types.CodeType, ...]:
    functions = _methods_of(value) if isinstance(value, type) else [value]
    return tuple(function.__code__ for function in functions)


def _methods_of(kind: type) -> list[types.FunctionType]:
    """The functions that stand in a class's own text, in the user's words."""
    found = []
    for member in map(_function_in, vars(kind).values()):
        while isinstance(member, types.FunctionType) and _is_librarys(member):
            member = getattr(member, "__wrapped__", None)
        if isinstance(member, types.FunctionType) and _is_own(kind, member):
            found.append(member)
    return found


def _is_own(kind: type, function: types.FunctionType) -> bool:
    return function.__qualname__.startswith(f"{kind.__qualname__}.")


def _function_in(member: Any) -> Any:
    """What a property, a cached one, a class's or a static method calls; the member itself."""
    for name in ("fget", "__func__", "func"):
        if (inner := getattr(member, name, None)) is not None:
            return inner
    return member


def _file_of(value: Any) -> str:
    codes = _codes_of(value)
    own = getattr(sys.modules.get(value.__module__), "__file__", None)
    return codes[0].co_filename if codes else own or ""


def _stamp(value: Any) -> tuple[int, int] | None:
    try:
        found = Path(_file_of(value)).stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size


def _read(value: Any) -> str | None:
    if isinstance(value, types.FunctionType):
        return _plain(_source(value.__code__)[0])  # of code it is not what it wraps
    if (found := _own_source(value)) is not None:
        return _plain(found)
    texts = [_plain(_source(code)[0]) for code in _codes_of(value)]
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
    codes = [code for code in _codes_of(kind) if not code.co_filename.startswith("<")]
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
    """Words of a line or two that hold a lambda."""
    words: list[str] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            words += [token.string.strip()] if token.type != tokenize.COMMENT else []
    except (tokenize.TokenError, IndentationError):
        pass  # the end of an expression that goes on
    return " ".join(filter(None, words))


def _named_by(value: Any) -> Iterator[tuple[str, Any]]:
    """What a function or a class refers to, by name."""
    if isinstance(value, type):
        yield from ((base.__name__, base) for base in (*value.__mro__[1:], type(value)))
        for name, member in vars(value).items():
            inner = _function_in(member)
            if isinstance(inner, types.FunctionType):
                if not _is_own(value, inner):
                    yield name, inner  # put there from elsewhere
                yield from _named_by(inner)
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
    for module in _modules_in(code, found.values()):
        yield from ((n, getattr(module, n)) for n in code.co_names if hasattr(module, n))
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _globals_of(inner, names)


def _modules_in(code: types.CodeType, values: Iterable[Any]) -> list[types.ModuleType]:
    """The user's modules among the values, and those that the code names as parts of one:
    ``package.part.RATE``.
    """
    waiting, found = deque(values), list[types.ModuleType]()
    while waiting:
        module = waiting.popleft()
        known = not isinstance(module, types.ModuleType) or module in found
        if not known and _is_users_module(module):
            found.append(module)
            waiting += [vars(module)[name] for name in code.co_names if name in vars(module)]
    return found


def _imported_in(code: types.CodeType, names: Mapping[str, Any]) -> dict[str, types.ModuleType]:
    """Modules that a function imports where it runs, those of them that are loaded."""
    asked = _asked_in(code)
    paths = {path: path for path in asked}
    paths |= {f"{names.get('__package__')}.{path}".rstrip("."): path for path in asked}
    return {path: sys.modules[full] for full, path in paths.items() if full in sys.modules}


@functools.lru_cache(maxsize=MOST)
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


def _is_users_module(module: types.ModuleType) -> bool:
    return is_users(types.SimpleNamespace(__module__=module.__name__))
