"""State that a model or an optimizer keeps where ``state_dict`` does not look.

Counters, temperatures, queues and generators in plain attributes; buffers that are not persistent;
modules in a plain list. A snapshot holds those that are no longer what they were when the run
began, each under the path by which a new model is asked for it.
"""

from __future__ import annotations

import enum
import functools
import logging
import types
import weakref
import zlib
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from tuning.training.encoding import (
    MOST_ITEMS,
    Encoder,
    GeneratorState,
    UnsaveableError,
    decode,
    set_generator,
)

Kind = Literal["module", "optimizer", "outside", "attribute", "key", "index", "buffer"]
Path = tuple[tuple[Kind, Any], ...]
DEEPEST = 8
HASHED = 2**22
"""Elements of a tensor; of a larger one its version tells whether it changed."""
OWN = frozenset(vars(nn.Module())) | {"forward", "_compiled_call_impl"}
"""Attributes that every module has, or that a lever puts there."""
OPTIMIZERS_OWN = frozenset({"state", "param_groups", "defaults"})
CLOSED = (
    type, enum.Enum, functools.partial, logging.Logger, weakref.ref, types.ModuleType,
    types.FunctionType, types.MethodType, types.BuiltinFunctionType, torch.dtype, torch.device,
)  # fmt: skip
"""What is never looked into."""
CONTAINERS = (list, tuple, dict, OrderedDict)


@dataclass(frozen=True)
class Leaf:
    """One value that is saved as a whole, or cannot be.

    Attributes:
        path: how to come to it from the model or the optimizer.
        value: itself.
        encoded: as a checkpoint holds it; None where none can.
    """

    path: Path
    value: Any
    encoded: Any
    saveable: bool = True

    @property
    def mark(self) -> Any:
        """Equal to another time's as long as the value is the same."""
        return _mark(self.encoded) if self.saveable else _Same(self.value)


class _Same:
    """Equal by identity, and an iterator by where it stands; holds on to the value, so that no
    other can take its place.
    """

    def __init__(self, value: Any) -> None:
        self.value, self.position = value, _position(value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Same):
            return NotImplemented
        return other.value is self.value and other.position == self.position

    __hash__ = None  # type: ignore[assignment]


def _position(value: Any) -> Any:
    if type(value).__module__ == "itertools":
        return repr(value)
    hint = getattr(type(value), "__length_hint__", None)
    return hint(value) if hint is not None else None


class Attributes:
    """What the attributes of a model and its optimizer were when a run began, to tell what changed.

    Args:
        model: as it is before the first step.
        optimizer: likewise.
    """

    def __init__(self, model: nn.Module, optimizer: Any) -> None:
        self._marks = {leaf.path: leaf.mark for leaf in leaves(model, optimizer)}

    def changed(self, model: nn.Module, optimizer: Any) -> list[Leaf]:
        """What is not what it was, or was not there."""
        missing = object()
        return [
            leaf
            for leaf in leaves(model, optimizer)
            if self._marks.get(leaf.path, missing) != leaf.mark
        ]

    def state(self, model: nn.Module, optimizer: Any) -> list[Any]:
        """What changed, for a checkpoint: [path, value] of each."""
        return [
            [[list(step) for step in leaf.path], leaf.encoded]
            for leaf in self.changed(model, optimizer)
            if leaf.saveable
        ]


def restore(state: list[Any], model: nn.Module, optimizer: Any) -> None:
    """Put what ``Attributes.state`` gave into a new model and its optimizer."""
    modules = dict(model.named_modules())
    for steps, encoded in state:
        path: Path = tuple((kind, key) for kind, key in steps)
        (first, name), *inner = path
        holder: Any = optimizer if first == "optimizer" else modules.get(name)
        for step in inner[:-1]:
            holder = _get(holder, step)
        if holder is not None:
            _put(holder, inner[-1], decode(encoded))


def told(path: Path) -> str:
    """A path as a reader would write it.

    >>> told((("module", "blocks.0"), ("attribute", "seen"), ("key", "a")))
    "blocks.0.seen['a']"
    """
    text = "optimizer" if path[0][0] == "optimizer" else path[0][1]
    for kind, key in path[1:]:
        text += f".{key}" if kind in ("attribute", "buffer") else f"[{key!r}]"
    return text.lstrip(".")


def leaves(model: nn.Module, optimizer: Any) -> Iterator[Leaf]:
    """Every value outside of the state that a model and its optimizer save themselves."""
    walk = _Walk(model)
    for name, module in model.named_modules():
        root: Path = (("module", name),)
        for buffer in module._non_persistent_buffers_set:
            value = module._buffers.get(buffer)
            yield from walk.value((*root, ("buffer", buffer)), value, top=True)
        yield from walk.attributes(root, module, OWN)
    yield from walk.attributes((("optimizer", ""),), optimizer, _beside(optimizer))


def outer_marks(named: Iterable[tuple[str, Any]], model: nn.Module) -> dict[Path, Any]:
    """Marks of what functions read from outside of themselves, to tell later what changed.

    Args:
        named: values by name, as ``models.source.surroundings`` gives them.
        model: what is registered in it is not of interest.
    """
    walk = _Walk(model)
    found = (leaf for name, each in named for leaf in walk.value((("outside", name),), each))
    return {leaf.path: leaf.mark for leaf in found}


def _beside(holder: Any) -> frozenset[str]:
    """The attributes of an object that it saves itself: an optimizer's, or none."""
    if not hasattr(holder, "param_groups"):
        return frozenset()
    hooks = (name for name in vars(holder) if name.startswith(("_optimizer_", "_zero_grad_")))
    return OPTIMIZERS_OWN.union(hooks)


class _Walk:
    """Goes through attributes, each object once; what the model registers is not of interest."""

    def __init__(self, model: nn.Module) -> None:
        self._seen = {id(module) for module in model.modules()}
        loose = {
            id(buffer)
            for module in model.modules()
            for name, buffer in module._buffers.items()
            if name in module._non_persistent_buffers_set
        }
        tensors = (*model.parameters(), *model.buffers())
        self._registered = {id(tensor) for tensor in tensors} - loose
        self._encoder = Encoder(
            takes=lambda t: not isinstance(t, nn.Parameter) and id(t) not in self._registered
        )

    def attributes(self, path: Path, holder: Any, but: frozenset[str]) -> Iterator[Leaf]:
        for name, value in list(vars(holder).items()):
            if name not in but:
                yield from self.value((*path, ("attribute", name)), value)

    def value(self, path: Path, value: Any, *, top: bool = False) -> Iterator[Leaf]:
        if id(value) in self._registered or id(value) in self._seen:
            return
        if isinstance(value, nn.Parameter) or (top and isinstance(value, torch.Tensor)):
            yield Leaf(path, value, value.detach())
            return
        try:
            if isinstance(value, (Mapping, list, tuple, set, deque)) and len(value) > MOST_ITEMS:
                raise UnsaveableError("too long")
            encoded = self._encoder.encode(value)
        except (UnsaveableError, RecursionError):
            yield from self._inner(path, value)
        else:
            yield Leaf(path, value, encoded)

    def _inner(self, path: Path, value: Any) -> Iterator[Leaf]:
        """What is in something that cannot be saved as a whole."""
        self._seen.add(id(value))
        if len(path) <= DEEPEST and type(value) in CONTAINERS and len(value) <= MOST_ITEMS:
            yield from self._items(path, value)
        elif len(path) <= DEEPEST and hasattr(value, "__dict__") and not isinstance(value, CLOSED):
            yield from self.attributes(path, value, _beside(value))
        else:
            yield Leaf(path, value, None, saveable=False)

    def _items(self, path: Path, values: Any) -> Iterator[Leaf]:
        kind: Kind = "key" if isinstance(values, Mapping) else "index"
        pairs = values.items() if kind == "key" else enumerate(values)
        for key, value in list(pairs):
            if isinstance(key, (str, int, bool)):
                yield from self.value((*path, (kind, key)), value)


def _mark(encoded: Any) -> Any:
    if isinstance(encoded, torch.Tensor):
        return _mark_of_tensor(encoded)
    if isinstance(encoded, Mapping):
        return tuple((_mark(key), _mark(value)) for key, value in encoded.items())
    if isinstance(encoded, (list, tuple)) and not isinstance(encoded, torch.Size):
        return (type(encoded), *map(_mark, encoded))
    return (type(encoded), encoded)


def _mark_of_tensor(tensor: torch.Tensor) -> Any:
    about = (tuple(tensor.shape), str(tensor.dtype))
    if tensor.layout is not torch.strided or tensor.numel() > HASHED:
        return (*about, tensor.data_ptr() if tensor.layout is torch.strided else 0, tensor._version)
    raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return (*about, zlib.crc32(raw.tobytes()))


def _get(holder: Any, step: tuple[Kind, Any]) -> Any:
    """What is one step further, or None."""
    kind, key = step
    if kind in ("key", "index"):
        try:
            return holder[key]
        except (LookupError, TypeError):
            return None
    return holder._buffers.get(key) if kind == "buffer" else getattr(holder, key, None)


def _put(holder: Any, step: tuple[Kind, Any], value: Any) -> None:
    """Give the holder a value, in place where there is something that others may hold as well."""
    kind, key = step
    current = _get(holder, step)
    if _changed_in_place(current, value):
        return
    if isinstance(value, torch.Tensor) and isinstance(current, torch.Tensor):
        value = value.to(current.device)
    if kind == "buffer":
        holder._buffers[key] = value
    elif kind == "attribute":
        vars(holder)[key] = value
    elif isinstance(holder, (MutableMapping, list)):
        holder[key] = value


def _changed_in_place(current: Any, value: Any) -> bool:
    """Whether what there is could take the value."""
    if isinstance(value, GeneratorState):
        if type(current).__name__ == value.name:
            set_generator(current, value.state)
    elif isinstance(value, torch.Tensor) and _same_form(current, value):
        with torch.no_grad():
            current.data.copy_(value)
    elif any(isinstance(current, kind) and isinstance(value, kind) for kind in (dict, set)):
        current.clear()
        current.update(value)
    elif any(isinstance(current, kind) and isinstance(value, kind) for kind in (list, deque)):
        current.clear()
        current.extend(value)
    else:
        return False
    return True


def _same_form(current: Any, value: torch.Tensor) -> bool:
    return (
        isinstance(current, torch.Tensor)
        and current.is_leaf
        and (current.shape, current.dtype) == (value.shape, value.dtype)
    )
