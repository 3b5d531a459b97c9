"""Models of all the shapes that a cut in the graph would get wrong, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 6
INPUT = 3
ROWS = 5

Side = Literal["none", "parameter", "embedding", "module"]


@dataclass(frozen=True)
class Shape:
    """How a model is built.

    Attributes:
        num_blocks: its blocks.
        passes: how often all of them run, one after the other.
        side: what every block gets beside its input, registered after the blocks.
        long_skip: whether the stem's output is added to the head's input.
        over: block whose input is added to the output of the block above it; None for no such skip.
        shared: whether the stem runs again halfway up, as a decoder's embedding.
        tied: whether the output is projected with the stem's weight.
        table: whether a parameter of the model itself, registered last, is added below the blocks.
        late_stem: whether the stem is registered after the blocks and the norm of the head before.
        carried: whether blocks take and give a tuple with a dict in it.
        outputs: how many outputs there are; the second comes from halfway up.
        norm: whether blocks have batch norm.
        dropout: rate in blocks, stem and head.
        penalty: whether the loss needs the gradient of the input.
    """

    num_blocks: int
    passes: int
    side: Side
    long_skip: bool
    over: int | None
    shared: bool
    tied: bool
    table: bool
    late_stem: bool
    carried: bool
    outputs: int
    norm: bool
    dropout: float
    penalty: bool


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """A shape of one to four blocks."""
    num_blocks = draw(st.integers(1, 4))
    return Shape(
        num_blocks=num_blocks,
        passes=draw(st.integers(1, 2)),
        side=draw(st.sampled_from(["none", "parameter", "embedding", "module"])),
        over=draw(st.none() | st.integers(0, num_blocks - 2)) if num_blocks > 1 else None,
        outputs=draw(st.integers(1, 2)),
        dropout=draw(st.sampled_from([0.0, 0.3])),
        **{name: draw(st.booleans()) for name in FLAGS},
    )


FLAGS = (
    "long_skip", "shared", "tied", "table", "late_stem", "carried", "norm", "penalty",
)  # fmt: skip


class Block(nn.Module):
    """A residual block that may take something beside its input."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.carried = shape.carried
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.BatchNorm1d(WIDTH) if shape.norm else nn.Identity()
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, carried: Any, side: Tensor | None = None) -> Any:
        x = carried[0] if self.carried else carried
        moved = x if side is None else x + side
        x = x + self.dropout(torch.tanh(self.linear(self.norm(moved))))
        return (x, {"seen": [*carried[1]["seen"], x]}) if self.carried else x


class Model(nn.Module):
    """Stem, blocks and head as a shape says."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        if shape.late_stem:
            self.head_norm = nn.LayerNorm(WIDTH)
        else:
            self._make_stem()
        self.blocks = nn.ModuleList([Block(shape) for _ in range(shape.num_blocks)])
        if shape.late_stem:
            self._make_stem()
        else:
            self.head_norm = nn.LayerNorm(WIDTH)
        if not shape.tied:
            self.head = nn.Linear(WIDTH, INPUT)
        if shape.side == "parameter":
            self.query = nn.Parameter(torch.randn(ROWS, WIDTH))
        if shape.side == "embedding":
            self.queries = nn.Embedding(ROWS, WIDTH)
        if shape.side == "module":
            self.condition = nn.Linear(INPUT, WIDTH)
        if shape.table:
            self.table = nn.Parameter(torch.randn(ROWS, WIDTH))

    def _make_stem(self) -> None:
        self.stem = nn.Linear(INPUT, WIDTH)
        self.stem_dropout = nn.Dropout(self.shape.dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        first = self.stem_dropout(self.stem(x))
        h = first + self.table if self.shape.table else first
        side, middle = self._side(x), h
        for _ in range(self.shape.passes):
            h, middle = self._climb(x, h, side)
        if self.shape.long_skip:
            h = h + first
        h = self.head_norm(h)
        out = h @ self.stem.weight if self.shape.tied else self.head(h)
        return (out, middle)[: self.shape.outputs]

    def _side(self, x: Tensor) -> Tensor | None:
        if self.shape.side == "none":
            return None
        if self.shape.side == "parameter":
            return self.query
        side: Tensor = self.queries.weight if self.shape.side == "embedding" else self.condition(x)
        return side

    def _climb(self, x: Tensor, h: Tensor, side: Tensor | None) -> tuple[Tensor, Tensor]:
        inputs, middle = [], h
        for index, block in enumerate(self.blocks):
            if self.shape.shared and index and index == self.shape.num_blocks // 2:
                h = h + self.stem(x)
                middle = h
            inputs.append(h)
            carried: Any = (h, {"seen": []}) if self.shape.carried else h
            out = block(carried, side=side)
            h = out[0] + 0 * out[1]["seen"][-1] if self.shape.carried else out
            if self.shape.over is not None and index == self.shape.over + 1:
                h = h + inputs[self.shape.over]
        return h, middle


def loss_of(model: Model, seed: int) -> Tensor:
    """A loss over every output, with a penalty on the input's gradient where the shape has one."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(ROWS, INPUT, generator=draw).requires_grad_(model.shape.penalty)
    outputs = model(x)
    loss = sum((functional.mse_loss(out, torch.ones_like(out)) for out in outputs), torch.zeros(()))
    if model.shape.penalty:
        (slope,) = torch.autograd.grad(outputs[0].sum(), x, create_graph=True)
        loss = loss + slope.square().mean()
    return loss
