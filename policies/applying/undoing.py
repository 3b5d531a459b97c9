"""A forward that only looks: whatever it does to a model and to the generators is undone."""

from __future__ import annotations

import contextlib
import random
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
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
_CLOSED = (nn.Module, type, types.ModuleType, types.FunctionType, types.MethodType, str, bytes)
Undo = Callable[[], object]


@contextlib.contextmanager
def undone(model: nn.Module) -> Iterator[None]:
    """Afterwards the model's tensors, gradients and attributes and all generators are as before.

    Containers and objects in its attributes keep their identity and get their contents back.
    """
    generators = [_global_generators(), *map(_device_generator, _devices(model))]
    undo = [*_tensors(model), *_attributes(model.modules()), *generators]
    try:
        yield
    finally:
        with torch.no_grad():
            for each in undo:
                each()


def _tensors(model: nn.Module) -> Iterator[Undo]:
    for parameter in model.parameters():
        yield partial(setattr, parameter, "grad", parameter.grad)
        parameter.grad = None  # else a backward within would add to it in place
    for tensor in {id(t): t for t in (*model.parameters(), *model.buffers())}.values():
        yield _value(tensor)
    for module in model.modules():
        yield _contents(module._buffers)


def _attributes(modules: Iterable[nn.Module]) -> Iterator[Undo]:
    seen: set[int] = set()
    for module in modules:
        own = vars(module)
        yield partial(_put, own, dict(own))
        for name, value in own.items():
            if name not in _OWN:
                yield from _within(value, seen, DEEPEST)


def _within(value: Any, seen: set[int], depth: int) -> Iterator[Undo]:
    """What brings a value back that may be changed in place, and those in it."""
    if depth == 0 or id(value) in seen or isinstance(value, _CLOSED):
        return
    seen.add(id(value))
    inner: Iterable[Any] = ()
    if isinstance(value, Tensor):
        yield _value(value)
    elif isinstance(value, (dict, list, set, deque)):
        yield _contents(value)
        inner = value.values() if isinstance(value, dict) else value
    elif isinstance(value, tuple):
        inner = value
    elif (undo := _generator(value)) is not None:
        yield undo
    elif isinstance(getattr(value, "__dict__", None), dict):
        yield partial(_put, vars(value), dict(vars(value)))
        inner = vars(value).values()
    if inner and len(inner) <= MOST_ITEMS:  # type: ignore[arg-type]
        for each in list(inner):
            yield from _within(each, seen, depth - 1)


def _value(tensor: Tensor) -> Undo:
    if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized:
        return int
    value = tensor.detach().clone()

    def undo() -> None:
        # Where nothing was written nothing is: a write is seen by whoever watches the tensor.
        if not torch.equal(tensor.detach(), value):
            tensor.detach().copy_(value)

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
