"""Batches that hold their values where no tensor is seen, or in tensors of other layouts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.workload import Workload
from tests.support import tiny

Pair = tuple[Tensor, Tensor]


class Slotted:
    """No ``to``, no table of attributes."""

    __slots__ = ("x", "y")

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y


class Keyed(dict[str, Any]):
    """Answers None for any attribute that it has not."""

    __getattr__ = dict.get


def records(x: Tensor, y: Tensor) -> Any:
    kind = np.dtype([("x", np.float32, x.shape[1:]), ("y", np.float32, y.shape[1:])])
    found = np.zeros(len(x), kind)
    found["x"], found["y"] = x.numpy(), y.numpy()
    return found


def jagged(x: Tensor, y: Tensor) -> Any:
    return torch.nested.nested_tensor(list(x), layout=torch.jagged), y


def taken(batch: dict[str, Tensor]) -> Pair:
    """As a trainer's loss takes the labels out of its inputs."""
    return batch.pop("x"), batch.pop("y")


KINDS: dict[str, tuple[Callable[[Tensor, Tensor], Any], Callable[[Any], Pair]]] = {
    "arrays": (lambda x, y: (x.numpy(), y.numpy()), lambda b: (torch.tensor(b[0]), b[1])),
    "a namespace": (lambda x, y: SimpleNamespace(x=x, y=[y]), lambda b: (b.x, b.y[0])),
    "slots": (Slotted, lambda b: (b.x, b.y)),
    "texts": (
        lambda x, y: {"x": [" ".join(map(str, row.tolist())) for row in x], "y": y},
        lambda b: (torch.tensor([list(map(float, t.split())) for t in b["x"]]), b["y"]),
    ),
    "records": (records, lambda b: (torch.tensor(b["x"]), torch.tensor(b["y"]))),
    "attributes for keys": (lambda x, y: Keyed(x=x, y=y), lambda b: (b.x, b.y)),
    "sparse": (lambda x, y: (x.to_sparse(), y), lambda b: (b[0].to_dense(), b[1])),
    "nested": (jagged, lambda b: (torch.stack(list(b[0].unbind())), b[1])),
    "taken apart": (lambda x, y: {"x": x, "y": y}, taken),
}
"""How a batch is made of inputs and targets, and how a loss takes them from it."""


def workload(kind: str, scale: float = 1.0) -> Workload:
    """``tiny`` on batches of a kind; its inputs multiplied by ``scale``."""
    make, back = KINDS[kind]

    def batch_at(seed: int, step: int) -> Any:
        x, y = tiny.batch_at(seed, step)
        return make(x * scale, y)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = back(batch)
        return tiny.loss(model, (x, torch.as_tensor(y)))

    return replace(tiny.tiny(), batch_at=batch_at, loss=loss)
