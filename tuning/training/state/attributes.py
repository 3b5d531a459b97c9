"""State that a model or an optimizer keeps where ``state_dict`` does not look.

Counters, temperatures, queues and generators in plain attributes; buffers that are not persistent;
modules in a plain list; what a parameter carries beside its values, and what its hooks close over,
or a forward that was put in the place of the class's. A snapshot holds those that are no longer
what they were when the run began, each under the path by which a new model is asked for it.
"""

from __future__ import annotations

import enum
import functools
import logging
import os
import types
import weakref
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from models.source.users import is_users
from tuning.training.state.encoding import (
    MOST_ITEMS,
    PLAIN,
    Encoder,
    UnsaveableError,
    decode,
    generator_state,
)
from tuning.training.state.marks import mark_of, mark_of_other
from tuning.training.state.paths import Kind, Path, get, hooks_of, own_forward, own_of, put

DEEPEST = 8
OWN = frozenset(vars(nn.Module())) | {"forward", "_compiled_call_impl"}
"""Attributes that every module has, or that a lever puts there."""
LEVERS = "models.approximation"
"""The package of levers' modules. A new model has these by then, because it is brought into the
form that the saved one had.
"""
OPTIMIZERS_OWN = frozenset({"state", "param_groups", "defaults"})
CLOSED = (
    type, enum.Enum, logging.Logger, weakref.ref, types.ModuleType, types.BuiltinFunctionType,
    torch.dtype, torch.device,
    type(os.environ),  # the process's, which another must not take over
)  # fmt: skip
"""Types of values that are never looked into."""
CONTAINERS = (list, tuple, dict)
EXACT = (dict, list, set, deque, OrderedDict, Counter, defaultdict)
"""Containers that a checkpoint holds as they are."""
READ_BACK = (
    *PLAIN, list, tuple, set, frozenset, deque, dict, OrderedDict, Counter, bytes, np.ndarray,
    torch.Tensor,
)  # fmt: skip
"""Types that a checkpoint gives back where the new model has nothing yet; of other classes it gives
back only the contents.
"""


@dataclass(frozen=True)
class Leaf:
    """One value that is saved as a whole, or that cannot be saved.

    Attributes:
        path: the way to it from the model or the optimizer.
        value: the value itself.
        encoded: the value as a checkpoint holds it; None where no checkpoint can.
        saveable: whether a checkpoint can hold it.
        placed: whether a new model has a place to put it.
    """

    path: Path
    value: Any
    encoded: Any
    saveable: bool = True
    placed: bool = True

    @property
    def lost(self) -> bool:
        """Whether a training that is loaded from a checkpoint goes on without it."""
        return not (self.saveable and self.placed)

    @property
    def mark(self) -> Any:
        """A mark that equals that of another time as long as the value is the same."""
        return mark_of(self.encoded) if self.saveable else mark_of_other(self.value)


class Attributes:
    """What the attributes of a model and its optimizer were when a run began, to tell what changed.

    Args:
        model: as it is before the first step.
        optimizer: likewise.
    """

    def __init__(self, model: nn.Module, optimizer: Any) -> None:
        walk = _Walk(model)
        self._marks = {leaf.path: leaf.mark for leaf in walk.leaves(optimizer)}
        self._kinds = walk.kinds

    def changed(self, model: nn.Module, optimizer: Any) -> list[Leaf]:
        """Values that differ from those of the start, were not there then, or are no longer
        there.
        """
        missing, walk = object(), _Walk(model)
        found = {leaf.path: leaf for leaf in walk.leaves(optimizer)}
        return [
            leaf if self._has_place(leaf, walk.kinds) else replace(leaf, placed=False)
            for leaf in found.values()
            if self._marks.get(leaf.path, missing) != leaf.mark
            and (leaf.saveable or not _is_levers(leaf.path, walk.kinds))
        ] + [
            Leaf(path, None, None, saveable=False)
            for path in self._marks.keys() - walk.kinds.keys()
            if not any(path[:length] in found for length in range(1, len(path)))
        ]

    def _has_place(self, leaf: Leaf, kinds: Mapping[Path, type]) -> bool:
        """Whether a new model, which is as this one was when the run began, can be given the value.
        What holds the value must be there already, and be of the same class: nothing makes it.
        """
        path, kind = leaf.path, type(leaf.value)
        if _is_levers(path, kinds):
            return True
        outer = [path[:length] for length in range(1, len(path))]
        if any(self._kinds.get(each) is not kinds[each] for each in outer):
            return False
        there = self._kinds.get(path)
        if issubclass(kinds[outer[-1]], tuple):  # none of its items can be replaced
            return there is kind and (_is_filled(leaf.value) or self._is_of_form(leaf))
        if path[-1][0] == "index" and there is None:
            return False
        return there is kind or kind in READ_BACK

    def _is_of_form(self, leaf: Leaf) -> bool:
        """Whether it is a tensor with the shape and type that it had at the start."""
        tensor = isinstance(leaf.value, torch.Tensor)
        return tensor and leaf.mark[:2] == self._marks.get(leaf.path, ())[:2]


def _is_levers(path: Path, kinds: Mapping[Path, type]) -> bool:
    """Whether the path leads through a module that a lever's form put into the model."""
    return kinds[path[:1]].__module__.startswith(LEVERS)


def _is_filled(value: Any) -> bool:
    """Whether the contents of another such value can be put into it."""
    return isinstance(value, (dict, set, list, deque)) or generator_state(value) is not None


def written(changed: Iterable[Leaf]) -> list[Any]:
    """What changed and can be saved, for a checkpoint: [path, value] of each."""
    return [[[list(step) for step in leaf.path], leaf.encoded] for leaf in changed if leaf.saveable]


def restore(state: list[Any], model: nn.Module, optimizer: Any) -> None:
    """Put what ``written`` gave into a new model and its optimizer."""
    modules, parameters = dict(model.named_modules()), dict(model.named_parameters())
    for steps, encoded in state:
        path: Path = tuple(
            ("key", parameters.get(key)) if kind == "parameter" else (kind, key)
            for kind, key in steps
        )
        (first, name), *inner = path
        holder: Any = optimizer if first == "optimizer" else modules.get(name)
        for step in inner[:-1]:
            holder = get(holder, step)
        if holder is not None:
            put(holder, inner[-1], decode(encoded))


def leaves(model: nn.Module, optimizer: Any) -> Iterator[Leaf]:
    """Every value outside of the state that a model and its optimizer save themselves."""
    return _Walk(model).leaves(optimizer)


def outer_leaves(named: Iterable[tuple[str, Any]], model: nn.Module) -> Iterator[Leaf]:
    """Values that functions read from outside of themselves, to tell later what changed.

    Args:
        named: values by name, as ``models.source.surroundings`` gives them.
        model: what is registered in it is left out.
    """
    walk = _Walk(model)
    for name, each in named:
        yield from walk.value((("outside", name),), each)


def _beside(holder: Any) -> frozenset[str]:
    """The attributes that an object saves itself: an optimizer's; none for any other object."""
    # A table that answers for attributes by its keys may raise KeyError.
    if "param_groups" not in own_of(holder) and not isinstance(holder, torch.optim.Optimizer):
        return frozenset()
    hooks = (name for name in vars(holder) if name.startswith(("_optimizer_", "_zero_grad_")))
    return OPTIMIZERS_OWN.union(hooks)


class _Walk:
    """Goes through attributes, each object once. What the model registers is left out.

    Attributes:
        kinds: classes of the values met so far, and of what holds them, by path.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model, self.kinds = model, dict[Path, type]()
        self._seen = {id(module) for module in model.modules()}
        self._carriers: set[int] = set()
        loose = {
            id(buffer)
            for module in model.modules()
            for name, buffer in module._buffers.items()
            if name in module._non_persistent_buffers_set
        }
        self._names = {id(each): name for name, each in model.named_parameters()}
        tensors = (*model.parameters(), *model.buffers())
        self._registered = {id(tensor) for tensor in tensors} - loose
        self._encoder = Encoder(
            takes=lambda t: not isinstance(t, nn.Parameter) and id(t) not in self._registered,
            generators=False,  # each is one value, to be set where the new model has it
        )

    def leaves(self, optimizer: Any) -> Iterator[Leaf]:
        """All values of the model and of its optimizer."""
        self._seen.add(id(optimizer))
        for name, module in self._model.named_modules():
            root: Path = (("module", name),)
            self.kinds[root] = type(module)
            for buffer in module._non_persistent_buffers_set:
                value = module._buffers.get(buffer)
                yield from self.value((*root, ("buffer", buffer)), value, top=True)
            yield from self._mode(root, module)
            yield from self.attributes(root, module, OWN)
            if (forward := own_forward(module)) is not None:
                yield from self.value((*root, ("forward", "forward")), forward)
            for name, tensor in (*module._parameters.items(), *module._buffers.items()):
                if tensor is not None:
                    yield from self._beside_values((*root, ("attribute", name)), tensor)
        own: Path = (("optimizer", ""),)
        self.kinds[own] = type(optimizer)
        yield from self.attributes(own, optimizer, _beside(optimizer))

    def _mode(self, root: Path, module: nn.Module) -> Iterator[Leaf]:
        """Whether the module is in training mode: a norm may be put in evaluation mode during
        training. While the whole model is being evaluated that cannot be told, and it counts as
        training.
        """
        mode = module.training or not self._model.training
        yield from self.value((*root, ("attribute", "training")), mode)

    def _beside_values(self, path: Path, tensor: torch.Tensor) -> Iterator[Leaf]:
        """What a registered tensor carries beside its values: attributes, and hooks for its
        gradient.
        """
        if id(tensor) not in self._carriers:
            self._carriers.add(id(tensor))
            self.kinds[path] = type(tensor)
            yield from self.attributes(path, tensor, frozenset())

    def attributes(self, path: Path, holder: Any, but: frozenset[str]) -> Iterator[Leaf]:
        for name, value in own_of(holder).items():
            if name not in but:
                yield from self.value((*path, ("attribute", name)), value)
        for hook in hooks_of(holder):
            yield from self.value((*path, ("hook", hook)), get(holder, ("hook", hook)))

    def value(self, path: Path, value: Any, *, top: bool = False) -> Iterator[Leaf]:
        if id(value) in self._registered or id(value) in self._seen:
            return
        self.kinds[path] = type(value)
        if isinstance(value, nn.Parameter) or (top and isinstance(value, torch.Tensor)):
            yield Leaf(path, value, value.detach())
            return
        if generator_state(value) is not None:
            yield Leaf(path, value, Encoder().encode(value))
            return
        try:
            if isinstance(value, (Mapping, list, tuple, set, deque)) and len(value) > MOST_ITEMS:
                raise UnsaveableError("too long")
            encoded = self._encoder.encode(_without_class(value))
        except (UnsaveableError, RecursionError):
            yield from self._inner(path, value)
        else:
            yield Leaf(path, value, encoded)

    def _inner(self, path: Path, value: Any) -> Iterator[Leaf]:
        """What is in something that cannot be saved as a whole."""
        self._seen.add(id(value))
        if _depth(path) > DEEPEST or isinstance(value, CLOSED):
            yield Leaf(path, value, None, saveable=False)
        elif isinstance(value, CONTAINERS) and len(value) <= MOST_ITEMS:
            yield from self._items(path, value)
            yield from self.attributes(path, value, frozenset())
        elif isinstance(value, (types.FunctionType, types.MethodType, functools.partial)):
            yield from self._function(path, value)
        elif own_of(value):
            trained = path[0][0] == "optimizer"  # another one, in a model, nobody else saves
            yield from self.attributes(path, value, _beside(value) if trained else frozenset())
        else:
            yield Leaf(path, value, None, saveable=False)

    def _function(self, path: Path, value: Any) -> Iterator[Leaf]:
        """What a user's function closes over, has as defaults, or is bound to."""
        if isinstance(value, types.MethodType):
            yield from self.value((*path, ("attribute", "__self__")), value.__self__)
        elif isinstance(value, functools.partial):
            yield from self.value((*path, ("attribute", "func")), value.func)
            yield from self._items((*path, ("attribute", "args")), value.args)
            yield from self._items((*path, ("attribute", "keywords")), value.keywords)
        elif is_users(value):
            for name in value.__code__.co_freevars:
                yield from self.value((*path, ("cell", name)), get(value, ("cell", name)))
            for name in ("__defaults__", "__kwdefaults__"):
                yield from self._items((*path, ("attribute", name)), getattr(value, name) or ())
            yield from self.attributes(path, value, frozenset())

    def _items(self, path: Path, values: Any) -> Iterator[Leaf]:
        kind: Kind = "key" if isinstance(values, Mapping) else "index"
        self.kinds[path] = type(values)
        pairs = values.items() if kind == "key" else enumerate(values)
        for key, value in list(pairs):
            if isinstance(key, (str, int, bool)):
                yield from self.value((*path, (kind, key)), value)
            elif id(key) in self._names:
                yield from self.value((*path, ("parameter", self._names[id(key)])), value)
            else:
                self.kinds[*path, (kind, repr(key))] = type(value)
                yield Leaf((*path, (kind, repr(key))), value, None, saveable=False)


def _depth(path: Path) -> int:
    """The number of steps of a path without those from a module to one in it: models may be deep,
    but they end.
    """
    return len(path) - 2 * path.count(("attribute", "_modules"))


def _without_class(value: Any) -> Any:
    """A table, list, queue or set of a class of its own, as the plain one."""
    if type(value) in EXACT or own_of(value):
        return value
    kinds = (kind for kind in (dict, list, deque, set) if isinstance(value, kind))
    kind: Any = next(kinds, None)
    if kind is None:
        return value
    return deque(value, value.maxlen) if kind is deque else kind(value)
