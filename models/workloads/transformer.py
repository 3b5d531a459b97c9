"""A decoder-only transformer over tokens: stem, blocks, head.

Pre-norm blocks (Xiong et al. 2020, arXiv 2002.04745) of causal attention with rotary positions (Su
et al. 2021, arXiv 2104.09864) and a SwiGLU MLP (Shazeer 2020, arXiv 2002.05202). The head is not
tied to the embedding, so that the stem can be frozen while the head learns.

Shapes: B windows, T tokens, W width, H heads, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

ROTARY_BASE = 10_000.0
EMBEDDING_STD = 0.5
HEAD_STD = 0.02
"""So small that the first prediction is nearly uniform: the first loss is about ln V."""


@dataclass(frozen=True)
class Shape:
    """How large a model is.

    Attributes:
        width: a multiple of 2 · ``heads``.
        window: the most tokens it takes.
    """

    vocabulary: int
    depth: int
    width: int
    heads: int
    window: int

    @property
    def hidden(self) -> int:
        """Width inside an MLP: the weights of a plain one four times as wide, by 16s."""
        return math.ceil(8 * self.width / 3 / 16) * 16


class Attention(nn.Module):
    """Causal self-attention, (B, T, W) -> (B, T, W)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Mix each token with those before it; ``cos`` and ``sin`` are (T, W / H)."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        qk, v = qkv.permute(2, 0, 3, 1, 4).split((2, 1))
        q, k = rotate(qk, cos, sin)  # both at once: half as many calls
        mixed = functional.scaled_dot_product_attention(q, k, v[0], is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class SwiGLU(nn.Module):
    """W2 (silu(W1 x) * W3 x), (B, T, W) -> (B, T, W); W1 and W3 are one product."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.up = nn.Linear(shape.width, 2 * shape.hidden, bias=False)
        self.up.matrices = 2  # type: ignore[assignment]  # gate and value, see application.roles
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each token by itself."""
        gate, value = self.up(x).chunk(2, dim=-1)
        return self.down(functional.silu(gate) * value)  # type: ignore[no-any-return]


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): the unit that a policy may freeze."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(shape.width, bias=False)
        self.attention = Attention(shape)
        self.mlp_norm = nn.LayerNorm(shape.width, bias=False)
        self.mlp = SwiGLU(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(B, T, W) -> (B, T, W)."""
        x = x + self.attention(self.attention_norm(x), cos, sin)
        return x + self.mlp(self.mlp_norm(x))  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """Tokens (B, T) -> logits (B, T, V).

    Made by ``make_transformer``, which gives it its weights.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.stem = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.head = nn.Sequential(
            nn.LayerNorm(shape.width, bias=False),
            nn.Linear(shape.width, shape.vocabulary, bias=False),
        )
        table = (shape.window, shape.width // shape.heads)
        self.register_buffer("cos", torch.empty(table), persistent=False)
        self.register_buffer("sin", torch.empty(table), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Predict the next token at each position."""
        length = tokens.shape[1]
        cos, sin = self.cos[:length], self.sin[:length]
        x = self.stem(tokens)
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.head(x)  # type: ignore[no-any-return]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (i, i + W/2H) of ``x``, (..., T, W/H), by its position (equation 34)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def make_transformer(shape: Shape, seed: int) -> Transformer:
    """Build a model whose weights depend on ``seed`` alone.

    Torch's global generator is not touched.
    """
    # Not on the meta device: leaving it loads sympy, a third as long as torch itself takes.
    with torch.random.fork_rng(devices=[]):
        model = Transformer(shape)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _initialise(name, parameter, shape.depth, generator)
    angles = _angles(shape)
    model.cos, model.sin = angles.cos(), angles.sin()
    return model


def _initialise(name: str, parameter: Tensor, depth: int, generator: torch.Generator) -> None:
    if parameter.dim() == 1:
        parameter.fill_(1.0)
    else:
        std = {"stem": EMBEDDING_STD, "head": HEAD_STD}.get(
            name.split(".")[0], parameter.shape[1] ** -0.5
        )
        if name.endswith(("out.weight", "down.weight")):
            # Each block adds two branches to the stream; so scaled, their sum does not grow with
            # the depth.
            std /= math.sqrt(2 * depth)
        parameter.normal_(0.0, std, generator=generator)


def _angles(shape: Shape) -> Tensor:
    """Angles (T, W/H) of each position and feature, the second half as the first."""
    size = shape.width // shape.heads
    frequencies = ROTARY_BASE ** (-torch.arange(0, size, 2) / size)
    return torch.outer(torch.arange(shape.window), frequencies).repeat(1, 2)
