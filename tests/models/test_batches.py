"""Batches of any kind come to the device whole, and are cut tensor by tensor."""

from __future__ import annotations

from collections import OrderedDict, UserDict, namedtuple
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from models.batches import map_tensors, same_values, tensors_of, to_device

Pair = namedtuple("Pair", "x y")
META = torch.device("meta")


@dataclass(frozen=True)
class Sample:
    x: Tensor
    text: str = "kept"
    rest: list[Any] = field(default_factory=lambda: [torch.ones(2), None])
    made: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "made", self.made + 1)


class Encoding(UserDict[str, Any]):
    """Moves itself, in place."""

    def to(self, device: torch.device) -> Encoding:
        self.data = {key: value.to(device) for key, value in self.data.items()}
        return self


class Silent:
    """Moves itself in place and returns nothing."""

    def __init__(self) -> None:
        self.x = torch.ones(1)

    def to(self, device: torch.device) -> None:
        self.x = self.x.to(device)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Slotted:
    """A field is set by nobody so far."""

    x: Tensor
    later: Any = field(init=False)


class Couple(tuple[Any, Any]):
    """Takes its parts one by one, and carries something."""

    def __new__(cls, one: Any, other: Any) -> Couple:
        return super().__new__(cls, (one, other))


class Row(list[Any]):
    def __init__(self, one: Any, other: Any) -> None:
        super().__init__([one, other])


class Strict(dict[str, Any]):
    """Its attributes are its keys, and another is a KeyError."""

    __getattr__ = dict.__getitem__


class Lenient(dict[str, Any]):
    """Its attributes are its keys, and any other is None."""

    __getattr__ = dict.get


class Final(OrderedDict[str, Any]):
    """As outputs of Hugging Face's models."""

    def update(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError("takes no update")


X = torch.arange(4.0)
BATCHES: dict[str, Any] = {
    "tensor": X,
    "tuple": (X, 3),
    "named tuple": Pair(X, {"a": [X]}),
    "list": [X, (X, None)],
    "dict": {"input": X, "text": ["a", "b"], "none": None, "n": 3},
    "ordered": OrderedDict(b=X, a=X),
    "read only": MappingProxyType({"a": X}),
    "dataclass": Sample(X),
    "user's mapping": UserDict(a=X),
    "slots": Slotted(X),
    "user's tuple": Couple(X, 1),
    "user's list": Row(X, 1),
    "strict attributes": Strict(a=X),
    "lenient attributes": Lenient(a=X),
    "no update": Final(a=X),
    "torch's tuple": X.reshape(2, 2).max(0),
}


@pytest.mark.parametrize("name", BATCHES)
def test_every_tensor_moves_and_the_rest_stays(name: str) -> None:
    """Moves to another device; the batch itself keeps its tensors, the copy its kind."""
    batch = BATCHES[name]
    moved = to_device(batch, META)
    assert all(tensor.is_meta for tensor in tensors_of(moved))
    assert not any(tensor.is_meta for tensor in tensors_of(batch))
    assert len(tensors_of(moved)) == len(tensors_of(batch)) > 0
    assert type(moved) is type(batch) or name == "read only"


def test_what_is_no_tensor_is_untouched() -> None:
    """Text, None, numbers and fields that a constructor would set again."""
    moved = to_device(BATCHES["dict"], META)
    assert (moved["text"], moved["none"], moved["n"]) == (["a", "b"], None, 3)
    sample = to_device(BATCHES["dataclass"], META)
    assert (sample.text, sample.rest[1], sample.made) == ("kept", None, 1)


def test_what_moves_itself_does_so_on_a_copy() -> None:
    """Mappings that move in place, objects that return nothing, and packed sequences."""
    encoding, silent = Encoding(a=X), Silent()
    assert to_device(encoding, META)["a"].is_meta
    assert not encoding["a"].is_meta
    assert to_device(silent, META).x.is_meta
    assert not silent.x.is_meta
    packed = to_device(pack_sequence([X, X[:2]]), META)
    assert isinstance(packed, PackedSequence)
    assert packed.data.is_meta


def test_tensors_are_changed_one_by_one() -> None:
    """Halves of a batch of several kinds."""
    half = map_tensors({"a": Pair(X, (X, "t"))}, lambda tensor: tensor[:2])
    assert half["a"].x.tolist() == [0.0, 1.0]
    assert half["a"].y[1] == "t"


NAN = float("nan")
SPARSE = torch.eye(2).to_sparse()


def objects(*values: Any) -> Any:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


RECORD = np.dtype([("count", np.int32), ("value", np.float64)])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"x": torch.tensor([1.0, NAN])}, {"x": torch.tensor([1.0, NAN])}, True),
        ((torch.zeros(2),), (torch.tensor([0.0, NAN]),), False),
        ([torch.zeros(1), "a", 3], [torch.zeros(1), "a", 3], True),
        ([torch.zeros(1), "a"], [torch.zeros(1), "b"], False),
        ([torch.zeros(1)], [torch.zeros(1), torch.zeros(1)], False),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64), False),
        (torch.zeros(2), np.zeros(2, np.float32), False),
        (np.array([NAN, 1.0]), np.array([NAN, 1.0]), True),
        (np.array(["a"]), np.array(["b"]), False),
        (np.array([(1, NAN)], RECORD), np.array([(1, NAN)], RECORD), True),
        (np.array([(1, 2.0)], RECORD), np.array([(1, 3.0)], RECORD), False),
        (objects(np.ones(2), None), objects(np.ones(2), None), True),
        (objects(np.ones(2), None), objects(np.zeros(2), None), False),
        (SPARSE, torch.eye(2).to_sparse(), True),
        (SPARSE, (2 * torch.eye(2)).to_sparse(), False),
        (SPARSE, torch.eye(2), False),
        (object(), object(), False),
        (NAN, NAN, True),
        (None, 0, False),
    ],
    ids=[
        "like numbers that are none",
        "a number and none",
        "tensors and plain values",
        "another text",
        "one more",
        "another kind of number",
        "a tensor and an array",
        "arrays with none",
        "arrays of text",
        "arrays of records",
        "another record",
        "arrays of objects",
        "another object",
        "sparse",
        "sparse and another",
        "sparse and dense",
        "nothing to compare by",
        "plain numbers that are none",
        "none and zero",
    ],
)
def test_the_same_values(one: Any, other: Any, same: bool) -> None:
    """By hand: numbers that are none are like one another, kinds of numbers are not."""
    assert same_values(one, other) is same
    assert same_values(other, one) is same
    assert same_values(one, one)
