"""What a workload's code is given beside its source, in words: values that two sessions compare.

An option in a table, the slope of a loss, a dropout's probability, what a batch holds. Values that
change while the code runs (counters, caches, generators) are states and no settings.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import functools
import hashlib
import inspect
import io
import logging
import re
import textwrap
import types
import zlib
from array import array
from collections import defaultdict, deque
from collections.abc import Hashable, Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from operator import attrgetter, itemgetter, methodcaller
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.batches import Batch, plain_parts, values_of
from models.source.definitions import module_name, name_of
from models.source.naming import assigned_in
from models.source.origins import (
    base_of,
    changed_by,
    is_store,
    loaded_as,
    origin_of,
    tree_of,
)
from models.source.surroundings import class_values, surroundings
from models.source.users import CONSTANTS, is_constant, is_users

DEEPEST = 5
MOST_ITEMS = 1000
"""Of a container; one with more is data, told by its length."""
MOST_ELEMENTS = 2**22
"""Of a tensor that is summed up."""
MOST_SUMMED = 1000
"""Elements of a parameter that are."""
LONGEST = 60
"""Characters of a value that is shown; of a longer one its digest stands."""
FIXED = (range, slice, Decimal, Fraction, timedelta, itemgetter, attrgetter, methodcaller)
"""Values of the standard library that say all of themselves; the time of day is no setting."""
BEGIN = ("__init__", "__post_init__", "__new__", "__setstate__")
ADAPTERS = "models.adapters"
"""Its objects hold what a user gave: data, a criterion."""
OF_ANY_MODULE = frozenset(vars(nn.Module())) | {"forward"}
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def settings_of(roots: Iterable[Any]) -> dict[str, str]:
    """Every value that the roots' code reads from outside of itself, by name.

    Args:
        roots: functions, methods, classes or callable objects.
    """
    found = {}
    for name, value in surroundings(roots):
        module, _, last = name.partition(" (")[0].rpartition(".")
        changed = last in _changed_in(module)
        if not changed:
            found[name] = short(told(value))
            if isinstance(value, nn.Module) and (tensors := _tensors_of(value)):
                found[f"tensors of {name}"] = tensors
        if (changed or _keeps_back(value)) and (origin := origin_of(module, last)):
            found[f"what makes {module}.{last}"] = short(origin)
    for kind, name, value in class_values(roots):
        if not (isinstance(kind, enum.EnumMeta) or name in _changed_through(module_name(kind))):
            found[f"{name_of(kind)}.{name}"] = short(told(value))
    return found


def _keeps_back(value: Any) -> bool:
    """Whether words do not tell all of a value: of an iterator only its kind, of an object not what
    its methods assign.
    """
    if isinstance(value, (logging.Logger, io.IOBase)):
        return False
    if isinstance(value, defaultdict):  # what it gives for what it has not
        return isinstance(value.default_factory, types.FunctionType)
    if _is_plain_object(value):
        own = getattr(value, "__dict__", {})
        return not _states_of(type(value)).isdisjoint(own)  # type: ignore[arg-type]
    return told(value) == type(value).__name__


def modules_of(model: nn.Module) -> dict[str, str]:
    """What every module of a model says of itself, and its attributes that are plain values.

    >>> modules_of(nn.Sequential(nn.Dropout(0.1)))
    {'0': 'Dropout(p=0.1, inplace=False)'}
    """
    named = {name: _module(each) for name, each in model.named_modules()}
    return {name: short(text) for name, text in named.items() if not text.endswith("()")}


def batch_values(batch: Batch) -> str:
    """The values of a batch as text, with a summary of each tensor."""
    return short("; ".join(map(told, values_of(batch))))


def weights_of(model: nn.Module) -> str:
    """A summary of the values of a model's parameters; of a large one its first elements count."""
    return _first_of(model.parameters())


def _tensors_of(module: nn.Module) -> str:
    """The values of a module that is no model, summed up as in ``weights_of``; its buffers too,
    which may be weights of classes.
    """
    return _first_of([*module.parameters(), *module.buffers()])


def _first_of(tensors: Iterable[Tensor]) -> str:
    flat = [t.detach().reshape(-1)[:MOST_SUMMED] for t in tensors if _is_plain(t)]
    return _summed(torch.cat([each.float().cpu() for each in flat])) if flat else ""


def short(text: str) -> str:
    """``text``, or a digest of it where it is long."""
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST - 20]}… #{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"


def told(value: Any, depth: int = DEEPEST) -> str:
    """A value in words that are the same in every process; of what cannot be told its kind."""
    if isinstance(value, (*CONSTANTS, torch.dtype, torch.device, enum.Enum)):
        return repr(value) if is_constant(value) or not isinstance(value, str) else "a path"
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        return f"{value.shape} {value.dtype}{_inside(value.ravel().tolist(), depth)}"
    if isinstance(value, (Tensor, np.ndarray, np.generic)):
        return _tensor(value)
    if isinstance(value, nn.Module):
        return ", ".join(map(_module, value.modules()))
    if isinstance(value, (types.FunctionType, types.BuiltinFunctionType, type)):
        return str(getattr(value, "__qualname__", value))
    if isinstance(value, re.Pattern):
        return f"Pattern({value.pattern!r}, {value.flags})"
    if isinstance(value, FIXED):
        return repr(value)
    return f"{type(value).__name__}{_inside(value, depth)}"


def _inside(value: Any, depth: int) -> str:
    """What is in an object, in brackets."""
    if depth == 0:
        return ""
    if isinstance(value, (bytearray, memoryview)):
        return f" {bytes(value)!r}"
    if isinstance(value, (Mapping, list, tuple, set, frozenset, deque, array)):
        return _items(value, depth - 1) if len(value) <= MOST_ITEMS else f" of {len(value)}"
    if isinstance(value, functools.partial):
        return _items((value.func, value.args, value.keywords), depth - 1)
    if dataclasses.is_dataclass(value) or _is_plain_object(value):
        return _items(_fields(value), depth - 1)
    return ""


def _items(values: Any, depth: int) -> str:
    if isinstance(values, Mapping):
        return f"({', '.join(f'{key}={told(each, depth)}' for key, each in values.items())})"
    texts = [told(each, depth) for each in values]
    return f"({', '.join(sorted(texts) if isinstance(values, (set, frozenset)) else texts)})"


@functools.cache
def _changed_in(module: str) -> frozenset[str]:
    """Names that a module's functions assign, store something in, or tell to take something."""
    return frozenset(filter(None, map(base_of, _changes_in(module)))) | assigned_in(
        loaded_as(module)
    )


@functools.cache
def _changed_through(module: str) -> frozenset[str]:
    """Attributes that they do so with, whatever has them."""
    chains = [node for each in _changes_in(module) for node in ast.walk(each)]
    return frozenset(node.attr for node in chains if isinstance(node, ast.Attribute))


@functools.cache
def _changes_in(module: str) -> tuple[ast.expr, ...]:
    tree = tree_of(module)
    nodes = [] if tree is None else list(ast.walk(tree))
    functions = [n for n in nodes if isinstance(n, (ast.FunctionDef, ast.Lambda))]
    return tuple(changed_by({node for each in functions for node in ast.walk(each)}))


def _is_plain_object(value: Any) -> bool:
    """An object of the user's own class, what it was handed to, or a bare bag of attributes."""
    kind = type(value)
    if not (hasattr(value, "__dict__") or _slots_of(kind)):
        return False
    if callable(getattr(kind, "__next__", None)):
        return False
    bare = kind.__name__ in ("Namespace", "SimpleNamespace")
    return bare or is_users(kind) or kind.__module__.startswith(ADAPTERS)


def _fields(value: Any) -> dict[str, Any]:
    """Its attributes, those aside that its methods assign."""
    names = [field.name for field in dataclasses.fields(value)] if _has_fields(value) else []
    names += [name for name in _slots_of(type(value)) if hasattr(value, name)]
    own = {**{n: getattr(value, n, None) for n in names}, **getattr(value, "__dict__", {})}
    states = _states_of(type(value))  # type: ignore[arg-type]
    return {name: each for name, each in own.items() if name not in states}


def _slots_of(kind: type) -> list[str]:
    found = [vars(each).get("__slots__", ()) for each in kind.__mro__]
    names = [(each,) if isinstance(each, str) else tuple(each) for each in found]
    return [name for each in names for name in each if not name.startswith("__")]


def _has_fields(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


@functools.cache
def _states_of(kind: Hashable) -> frozenset[str]:
    """Attributes that methods assign after an object was made; all are, where no source tells."""
    found: set[str] = set()
    for each in inspect.getmro(kind)[:-1]:  # type: ignore[arg-type]
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(each)))
        except (OSError, TypeError, SyntaxError):
            continue
        methods = [
            node
            for node in ast.walk(tree)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name not in BEGIN
        ]
        found |= {name for method in methods for name in _assigned_by(method)}
    return frozenset(found)


def _assigned_by(method: ast.AST) -> set[str]:
    """Names ``x`` for which ``self.x`` is stored, or something in it."""
    stores = filter(is_store, ast.walk(method))
    return {name for node in stores if (name := _attribute_of_self(node)) is not None}


def _attribute_of_self(node: ast.AST) -> str | None:
    last = None
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        last = node.attr if isinstance(node, ast.Attribute) else last
        node = node.value
    return last if isinstance(node, ast.Name) and node.id == "self" else None


def _module(module: nn.Module) -> str:
    own = {name: value for name, value in vars(module).items() if name not in OF_ANY_MODULE}
    plain = [f"{n}={told(v, 2)}" for n, v in own.items() if is_setting(v)]
    said = _ADDRESS.sub("", module.extra_repr()).replace("\n", " ")
    # What a module says of itself are mostly its plain attributes.
    parts = [said] if said else plain
    parts += [text for text in plain if said and text.partition("=")[0] not in said]
    return f"{type(module).__name__}({', '.join(parts)})"


def is_setting(value: Any) -> bool:
    """Whether an attribute of a module is told beside what the module says of itself."""
    if isinstance(value, (list, tuple)):
        return len(value) <= MOST_ITEMS and all(map(is_setting, value))
    if isinstance(value, Mapping):
        return len(value) <= MOST_ITEMS and all(map(is_setting, value.values()))
    return isinstance(value, (*CONSTANTS, types.FunctionType, types.BuiltinFunctionType))


def _tensor(value: Any) -> str:
    """Its form; of one that is not too large its values too, floats only roughly: the last bits
    differ between machines.
    """
    if not isinstance(value, Tensor) and value.dtype.kind not in "biufc":
        form = f"{value.shape} {value.dtype}"  # of texts, records, dates
        if not 0 < value.size <= MOST_ELEMENTS:
            return form
        return f"{form} #{zlib.crc32(np.ascontiguousarray(value).tobytes()):08x}"
    tensor = value.detach() if isinstance(value, Tensor) else torch.tensor(np.asarray(value))
    if len(parts := plain_parts(tensor)) != 1:
        return f"{str(tensor.layout).removeprefix('torch.')} of {', '.join(map(_tensor, parts))}"
    form = f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
    if not _is_plain(tensor) or not 0 < tensor.numel() <= MOST_ELEMENTS:
        return form
    return f"{form} {_summed(tensor.cpu().reshape(-1))}"


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_meta and not tensor.is_quantized


def _summed(flat: Tensor) -> str:
    if flat.is_complex():
        flat = torch.view_as_real(flat.resolve_conj()).reshape(-1)
    if not flat.is_floating_point():
        return f"#{zlib.crc32(flat.contiguous().view(torch.uint8).numpy().tobytes()):08x}"
    wide = flat.double()
    size = float(wide.abs().mean())
    turned = float((wide * torch.linspace(0.5, 1.5, len(wide), dtype=wide.dtype)).mean())
    return f"{size:.4g} {turned / (size or 1.0):.3f}"
