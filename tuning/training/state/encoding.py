"""What a checkpoint may hold beside tensors and JSON's values, written so that no pickle is needed
to read it.

``torch.load(..., weights_only=True)`` reads tensors, numbers, text, lists, tuples and dicts.
Scalars and arrays of NumPy, sets, queues, counters and generators become dicts of those with
``KIND`` in them, and are what they were again after ``decode``.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

KIND = "__kind__"
PLAIN = (type(None), bool, int, float, complex, str, torch.Size, torch.dtype, torch.device)
NUMERIC = "biufc"
"""Kinds of NumPy's dtypes that hold numbers."""
MOST_ITEMS = 10_000
"""The most items of a container in an attribute; one with more is data, not state."""


MAKE: dict[str, Callable[[Any], Any]] = {
    "set": set,
    "frozenset": frozenset,
    "dict": dict,
    "Counter": lambda pairs: Counter(dict(pairs)),
}
"""What makes a container of its items again, by kind."""


class UnsaveableError(ValueError):
    """A value that no checkpoint can hold; the message names its type and where it stands."""


def _refuse(value: Any, where: str) -> Any:
    kind = type(value)
    raise UnsaveableError(f"{where} is a {kind.__module__}.{kind.__qualname__}")


def as_it_is(value: Any, where: str) -> Any:
    """Leave a value of no known type to ``torch.save``; reading it back may fail."""
    return value


@dataclass(frozen=True)
class Encoder:
    """Turns values into what a checkpoint may hold.

    Attributes:
        stranger: what a value of no known type becomes, given where it stands; by default it is
            refused with ``UnsaveableError``.
        takes: returns whether a tensor may be part of the result; one that may not is treated as a
            value of no known type.
        generators: whether random generators may be part of it; as for tensors.
    """

    stranger: Callable[[Any, str], Any] = _refuse
    takes: Callable[[torch.Tensor], bool] = lambda tensor: True
    generators: bool = True

    def encode(self, value: Any, where: str = "state") -> Any:
        """``value`` as tensors and plain values; ``decode`` is the inverse."""
        if type(value) in PLAIN:
            return value
        if isinstance(value, torch.Tensor):
            return value.detach() if self.takes(value) else self.stranger(value, where)
        if isinstance(value, Mapping):
            return self._mapping(value, where)
        if type(value) in (list, tuple):
            return type(value)(self._items(value, where))
        if type(value) in (set, frozenset):
            if list(type(value)(list(value))) != list(value):  # made anew it has another order
                return self.stranger(value, where)
            return {KIND: type(value).__name__, "items": self._items(value, where)}
        if type(value) is deque:
            return {KIND: "deque", "items": self._items(value, where), "maxlen": value.maxlen}
        return self._special(value, where)

    def _items(self, values: Any, where: str) -> list[Any]:
        return [self.encode(value, f"{where}[{index}]") for index, value in enumerate(values)]

    def _mapping(self, value: Mapping[Any, Any], where: str) -> Any:
        if any(isinstance(key, torch.Tensor) for key in value):
            return self.stranger(value, where)
        pairs = [
            (self.encode(k, f"a key of {where}"), self.encode(v, f"{where}[{k!r}]"))
            for k, v in value.items()
        ]
        with contextlib.suppress(TypeError):  # a key that is written as a table can be no key
            if type(value) is dict and KIND not in value:
                return dict(pairs)
            if type(value) is OrderedDict:
                ordered = OrderedDict(pairs)
                ordered.__dict__.update(vars(value))  # a model's state keeps its version there
                return ordered
        if type(value) in (dict, Counter, defaultdict):
            return {KIND: "Counter" if type(value) is Counter else "dict", "items": pairs}
        return self.stranger(value, where)

    def _special(self, value: Any, where: str) -> Any:
        if isinstance(value, np.generic) and value.dtype.kind in NUMERIC:
            return {KIND: "scalar", "dtype": value.dtype.str, "value": value.item()}
        if type(value) is np.ndarray and value.dtype.kind in NUMERIC:
            return {KIND: "array", "dtype": value.dtype.str, "value": _as_tensor(value)}
        if isinstance(value, bytes):
            return {KIND: "bytes", "value": torch.tensor(list(value), dtype=torch.uint8)}
        state = generator_state(value) if self.generators else None
        if state is None:
            return self.stranger(value, where)
        name = type(value).__name__
        return {KIND: "generator", "name": name, "state": self.encode(state, where)}


def _as_tensor(array: np.ndarray[Any, Any]) -> torch.Tensor:
    raw = np.frombuffer(np.ascontiguousarray(array).tobytes(), dtype=np.uint8)
    return torch.from_numpy(raw.copy()).reshape(*array.shape, array.itemsize)


def _as_array(bytes_of: torch.Tensor, dtype: str) -> np.ndarray[Any, Any]:
    raw = np.frombuffer(bytes_of.numpy().tobytes(), dtype=np.dtype(dtype))
    return raw.reshape(bytes_of.shape[:-1]).copy()


def generator_state(value: Any) -> Any:
    """The state of a random generator of torch, NumPy or Python; None where it is none of them."""
    if isinstance(value, torch.Generator):
        return value.get_state()
    if isinstance(value, np.random.Generator):
        return dict(value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return value.get_state(legacy=False)
    if isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
        return python_state(value.getstate())
    return None


def set_generator(generator: Any, state: Any) -> None:
    """Bring a generator to where ``generator_state`` was read, in place."""
    if isinstance(generator, torch.Generator):
        generator.set_state(state)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.setstate(from_python_state(state))


def python_state(state: Any) -> dict[str, Any]:
    """The result of ``random.getstate()`` with its numbers as a tensor."""
    version, words, gauss = state
    return {"version": version, "words": torch.tensor(words), "gauss": gauss}


def from_python_state(state: Mapping[str, Any]) -> Any:
    """The argument that ``random.setstate()`` takes."""
    return state["version"], tuple(state["words"].tolist()), state["gauss"]


@dataclass(frozen=True)
class GeneratorState:
    """A generator's state as it was read from a checkpoint, for ``set_generator``."""

    name: str
    state: Any


def decode(value: Any) -> Any:
    """What ``Encoder.encode`` was given; a generator comes back as its ``GeneratorState``."""
    if type(value) is dict:
        return _decoded(value) if KIND in value else {k: decode(v) for k, v in value.items()}
    if type(value) is OrderedDict:
        ordered = OrderedDict((k, decode(v)) for k, v in value.items())
        ordered.__dict__.update(vars(value))
        return ordered
    return type(value)(map(decode, value)) if type(value) in (list, tuple) else value


def _decoded(value: dict[str, Any]) -> Any:
    match value[KIND]:
        case "scalar":
            return np.dtype(value["dtype"]).type(value["value"])
        case "array":
            return _as_array(value["value"], value["dtype"])
        case "bytes":
            return bytes(value["value"].tolist())
        case "generator":
            return GeneratorState(value["name"], decode(value["state"]))
        case "deque":
            return deque(decode(value["items"]), maxlen=value["maxlen"])
    return MAKE[value[KIND]](decode(value["items"]))


PLAINLY = Encoder(stranger=as_it_is)
"""The encoder for whole checkpoints: a value of no known type is left as it is."""
