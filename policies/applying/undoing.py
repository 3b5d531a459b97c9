"""A forward that only looks: whatever it does to a model and to the generators is undone."""

from __future__ import annotations

import contextlib
import random
import types
from collections import deque
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

DEEPEST = 4
"""Objects within objects that are looked into."""
MOST_ITEMS = 1000
"""Of a container; the items of one with more are not looked into."""
_OWN = frozenset(vars(nn.Module())) - {"training"}
_HOOKS = ("_forward_pre_hooks", "_forward_hooks")
"""Of a module's own attributes, those with functions that a forward calls."""
_CLOSED = (type, types.ModuleType, str, bytes)
Undo = Callable[[], object]


@contextlib.contextmanager
def undone(model: nn.Module) -> Iterator[None]:
    """Afterwards the model's tensors, gradients and attributes and all generators are as before.

    Containers and objects in its attributes keep their identity and get their contents back; so do
    what its tensors carry, what its hooks close over and modules that are not registered.
    """
    generators = [_global_generators(), *map(_device_generator, _devices(model))]
    undo = [*_modules(model, set()), *generators]
    try:
        yield
    finally:
        with torch.no_grad():
            for each in reversed(undo):  # what was met twice is first as it was before the first
                each()


def _modules(model: nn.Module, seen: set[int], depth: int = DEEPEST) -> Iterator[Undo]:
    """What brings a model back, or a part that nobody registered."""
    modules = [module for module in model.modules() if id(module) not in seen]
    seen.update(map(id, modules))
    yield from _tensors(model, seen, depth)
    for module in modules:
        yield from _attributes(module, seen, depth)


def _tensors(model: nn.Module, seen: set[int], depth: int) -> Iterator[Undo]:
    for parameter in model.parameters():
        yield partial(setattr, parameter, "grad", parameter.grad)
        parameter.grad = None  # else a backward within would add to it in place
    for tensor in {id(t): t for t in (*model.parameters(), *model.buffers())}.values():
        yield _value(tensor)
        yield from _own(tensor, seen, depth)
    for module in model.modules():  # what a first forward registers is gone again
        for table in (module._buffers, module._modules, module._parameters):
            yield _contents(table)


def _attributes(module: nn.Module, seen: set[int], depth: int) -> Iterator[Undo]:
    yield partial(_put, vars(module), dict(vars(module)))
    yield from _slots(module, seen, depth)
    for name, value in list(vars(module).items()):
        if name not in _OWN:
            yield from _within(value, seen, depth)
        elif name in _HOOKS:
            yield from _within(dict(value), seen, depth)


def _own(value: Any, seen: set[int], depth: int) -> Iterator[Undo]:
    """What brings the attributes of an object back, in its table and in its slots."""
    yield from _slots(value, seen, depth)
    table = getattr(value, "__dict__", None)
    if isinstance(table, dict):
        yield partial(_put, table, dict(table))
        yield from _each(table.values(), seen, depth - 1)


def _slots(value: Any, seen: set[int], depth: int) -> Iterator[Undo]:
    kinds = [kind for kind in type(value).__mro__ if "__slots__" in vars(kind)]
    for slot in (each for kind in kinds for each in vars(kind).values()):
        if isinstance(slot, types.MemberDescriptorType):
            try:
                held = slot.__get__(value)
            except AttributeError:
                yield partial(_empty, slot, value)
                continue
            yield partial(slot.__set__, value, held)
            yield from _within(held, seen, depth - 1)


def _empty(slot: Any, holder: Any) -> None:
    with contextlib.suppress(AttributeError):
        slot.__delete__(holder)


def _within(value: Any, seen: set[int], depth: int) -> Iterator[Undo]:
    """What brings a value back that may be changed in place, and those in it."""
    if depth == 0 or id(value) in seen or isinstance(value, _CLOSED):
        return
    if isinstance(value, nn.Module):
        yield from _modules(value, seen, depth - 1)
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        yield _value(value)
    elif isinstance(value, np.ndarray):
        if value.flags.writeable and not isinstance(value, np.memmap):  # a file is no state
            yield _array(value)
    elif isinstance(value, (dict, list, set, deque)):
        yield _contents(value)
        yield from _each(value.values() if isinstance(value, dict) else value, seen, depth - 1)
        if type(value).__module__ != "builtins":
            yield from _own(value, seen, depth)
    elif isinstance(value, tuple):
        yield from _each(value, seen, depth - 1)
    elif (undo := _generator(value)) is not None:
        yield undo
    elif isinstance(value, types.FunctionType):
        yield from _function(value, seen, depth)
    elif isinstance(value, types.MethodType):
        yield from _within(value.__self__, seen, depth)
    elif isinstance(value, partial):
        yield from _each((value.func, *value.args, *value.keywords.values()), seen, depth)
    else:
        yield from _own(value, seen, depth)


def _each(values: Collection[Any], seen: set[int], depth: int) -> Iterator[Undo]:
    if len(values) <= MOST_ITEMS:
        for each in list(values):
            yield from _within(each, seen, depth)


def _function(function: Any, seen: set[int], depth: int) -> Iterator[Undo]:
    """What a function closes over, has for defaults and carries; torch's keep what they compile."""
    if str(function.__globals__.get("__name__")).partition(".")[0] == "torch":
        return
    yield partial(_put, vars(function), dict(vars(function)))
    held = [*vars(function).values(), *(function.__defaults__ or ())]
    held += (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # not filled yet
            held.append(cell.cell_contents)
            yield partial(setattr, cell, "cell_contents", cell.cell_contents)
    yield from _each(held, seen, depth - 1)


def _value(tensor: Tensor) -> Undo:
    if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized:
        return int
    value = tensor.detach().clone()

    def undo() -> None:
        # Where nothing was written nothing is: a write is seen by whoever watches the tensor.
        if not torch.equal(tensor.detach(), value):
            tensor.detach().copy_(value)

    return undo


def _array(array: np.ndarray[Any, Any]) -> Undo:
    kept = array.copy()

    def undo() -> None:
        if array.dtype.hasobject or not np.array_equal(array, kept):
            np.copyto(array, kept)

    return undo


def _contents(container: Any) -> Undo:
    return partial(_put, container, container.copy())


def _put(container: Any, contents: Any) -> None:
    container.clear()
    (container.extend if isinstance(container, (list, deque)) else container.update)(contents)


def _generator(value: Any) -> Undo | None:
    """What brings a generator back to where it stands; None of what is none."""
    if isinstance(value, torch.Generator):
        return partial(value.set_state, value.get_state())
    if isinstance(value, random.Random):
        return partial(value.setstate, value.getstate())
    if isinstance(value, np.random.RandomState):
        return partial(value.set_state, value.get_state())
    if isinstance(value, np.random.Generator):
        return partial(setattr, value.bit_generator, "state", value.bit_generator.state)
    return None


def _global_generators() -> Undo:
    numpys, python, torchs = np.random.get_state(), random.getstate(), torch.get_rng_state()

    def undo() -> None:
        np.random.set_state(numpys)
        random.setstate(python)
        torch.set_rng_state(torchs)

    return undo


def _devices(model: nn.Module) -> set[torch.device]:
    return {p.device for p in model.parameters() if p.is_cuda}


def _device_generator(device: torch.device) -> Undo:
    return partial(torch.cuda.set_rng_state, torch.cuda.get_rng_state(device), device)
