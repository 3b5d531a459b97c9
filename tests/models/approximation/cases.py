"""What the tests of approximations share: random matrices, a small model, and how to fit it.

The model has every sort of layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from models.approximation.inputs import collect_inputs
from models.approximation.replace import KINDS, Kind, approximate

Array = np.ndarray[Any, np.dtype[np.float64]]
ON_A_CPU: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind != "two_four")
MLPS = ("blocks.*.up", "blocks.*.down")
WIDTH = 12

sides = st.integers(1, 14)
seeds = st.integers(0, 2**32 - 1)


def random_matrix(seed: int, rows: int, columns: int) -> Array:
    """Normal entries, float64."""
    return np.random.default_rng(seed).standard_normal((rows, columns))


class Gated(nn.Module):
    """x + down(silu(gate) * value), with both from ``up``."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.up = nn.Linear(WIDTH, 4 * WIDTH, bias=bias)
        self.down = nn.Linear(2 * WIDTH, WIDTH, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., WIDTH) -> (..., WIDTH)."""
        gate, value = self.up(x).chunk(2, dim=-1)
        return x + self.down(functional.silu(gate) * value)  # type: ignore[no-any-return]


class Plain(nn.Module):
    """x + down(gelu(up(x)))."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.up = nn.Linear(WIDTH, 3 * WIDTH, bias=bias)
        self.down = nn.Linear(3 * WIDTH, WIDTH, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., WIDTH) -> (..., WIDTH)."""
        return x + self.down(functional.gelu(self.up(x)))  # type: ignore[no-any-return]


class Net(nn.Module):
    """Stem, a gated and two plain blocks, with and without bias, head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(5, WIDTH)
        self.blocks = nn.Sequential(Gated(bias=False), Plain(bias=True), Gated(bias=True))
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(..., 5) -> (..., 3)."""
        return self.head(self.blocks(self.stem(x)))  # type: ignore[no-any-return]


def net(dtype: torch.dtype = torch.float64) -> Net:
    """A net with random weights of its own generator."""
    made = Net().to(dtype)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0.0, 0.3, generator=generator)
    return made


def points(dtype: torch.dtype = torch.float64, rows: int = 20) -> Tensor:
    """Inputs of ``net``, (2, rows / 2, 5)."""
    return torch.randn(
        2, rows // 2, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    ).to(dtype)


def fit(model: Net, kind: Kind, share: float = 0.4) -> Net:
    """Approximate the MLPs of ``model`` in place, with inputs from ``points``."""
    x = points(model.head.weight.dtype, rows=100)
    approximate(model, kind, MLPS, share, collect_inputs(model, MLPS, lambda: model(x)))
    return model
