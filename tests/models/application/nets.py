"""Small models with everything that a lever must tell apart."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH, KINDS_OF_INPUT = 8, 11


class Block(nn.Module):
    """x + attention-like and MLP branches, with a fused projection and dropout."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.mix = nn.ModuleDict(
            {"qkv": nn.Linear(WIDTH, 3 * WIDTH, bias=False), "out": nn.Linear(WIDTH, WIDTH)}
        )
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 2 * WIDTH), nn.SiLU(), nn.Dropout(dropout), nn.Linear(2 * WIDTH, WIDTH)
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.mix["qkv"](self.norm(x)).chunk(3, dim=-1)
        x = x + self.mix["out"](torch.sigmoid(q) * k + v)
        return x + self.mlp(x)  # type: ignore[no-any-return]


class Net(nn.Module):
    """Tokens (B, T) -> logits (B, T, KINDS_OF_INPUT)."""

    def __init__(self, depth: int = 4, seed: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem = nn.Embedding(KINDS_OF_INPUT, WIDTH)
        self.blocks = nn.ModuleList(Block(dropout) for _ in range(depth))
        self.layers: list[Any] = list(self.blocks)
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, KINDS_OF_INPUT))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.stem(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(x)  # type: ignore[no-any-return]


class ConvBlock(nn.Module):
    """A residual block with batch statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.norm(self.conv(x)))


class TupleBlock(nn.Module):
    """A block as some libraries have them: named argument in, tuple out."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, mask: Tensor, *, hidden: Tensor) -> tuple[Tensor, Tensor | None]:
        return hidden + self.linear(hidden) * mask, None


class TupleNet(nn.Module):
    """(B, WIDTH) -> (B, WIDTH)."""

    def __init__(self, depth: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(TupleBlock() for _ in range(depth))
        self.head = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x, _ = layer(torch.ones(()), hidden=x)
        return self.head(x)  # type: ignore[no-any-return]


def batch(step: int, size: int = 6) -> Tensor:
    """Tokens of one step, (size, 5)."""
    generator = torch.Generator().manual_seed(step)
    return torch.randint(KINDS_OF_INPUT, (size, 5), generator=generator)


def loss(model: nn.Module, tokens: Tensor) -> Tensor:
    """Of the next token."""
    logits: Tensor = model(tokens[:, :-1])
    return functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    """Take plain steps."""
    for step in steps:
        loss(model, batch(step)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def same(one: nn.Module, other: nn.Module) -> bool:
    """Whether two models have the same values to the bit."""
    states = one.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(value, states[1][name]) for name, value in states[0].items()
    )


def values(model: nn.Module) -> dict[str, Any]:
    """A copy of a model's state."""
    return {name: value.clone() for name, value in model.state_dict().items()}
