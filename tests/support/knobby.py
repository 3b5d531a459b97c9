"""A tiny workload with three knobs of its own: one free of cost, two that change the model."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from torch import Tensor, nn

from models.knobs import Choice, Float, Int
from models.workload import Workload
from tests.support.tiny import FEATURES, tiny


class Block(nn.Module):
    """x + W2 f(W1 x): (batch, width) -> (batch, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        up, down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.inner = nn.Sequential(up, nn.GELU(), down)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, of its input's shape."""
        return x + self.inner(x)  # type: ignore[no-any-return]


class Net(nn.Module):
    """Stem, blocks, head: (batch, FEATURES) -> (batch, 1)."""

    def __init__(self, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(FEATURES, width), nn.Dropout(dropout))
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.head = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the prediction."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)  # type: ignore[no-any-return]


def make(
    *,
    dropout: Annotated[float, Float(0.0, 0.5, changes_cost=False)] = 0.0,
    width: Annotated[int, Int(16, 64, log=True, unit="features", meaning="of the model")] = 16,
    layers: Annotated[int, Choice((2, 4))] = 4,
) -> Workload:
    """Fit the tiny regression with a model of this dropout, width and depth."""

    def model(seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Net(width, layers, dropout)

    return replace(tiny(), name="knobby", make_model=model)
