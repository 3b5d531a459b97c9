"""MLPs with fewer hidden units: which layers make one, which units stay, what remains.

An MLP is an up layer (or several), an activation that acts on each unit by itself, and a down
layer. An up layer has as many rows as there are hidden units, or a multiple where it makes gates
and values at once, stacked (SwiGLU: two). Removing a unit takes its rows from the up layers and its
column from the down layer; what is computed between need not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.approximation.matching import linears, listed
from models.approximation.modules import Structured, as_linear, factor
from models.approximation.transposed import is_linear

UPS_OF = {
    "down": ("up", "gate"),
    "down_proj": ("up_proj", "gate_proj"),
    "fc2": ("fc1",),
    "linear2": ("linear1",),
    "c_proj": ("c_fc",),
    "w2": ("w1", "w3"),
    "dense_4h_to_h": ("dense_h_to_4h",),
}
"""Names of a down layer, and of the up layers beside it in the same module."""

FAR = {"output.dense": ("intermediate.dense",)}
"""The same where they lie in modules beside one another, as BERT's do."""

BY_UNIT = (
    nn.ReLU,
    nn.GELU,
    nn.SiLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.LeakyReLU,
    nn.ELU,
    nn.Dropout,
    nn.Identity,
)
"""What may stand between two linear layers of an ``nn.Sequential`` for them to be an MLP."""


@dataclass(frozen=True)
class MLP:
    """The linear layers of one MLP, by their dotted names.

    Attributes:
        ups: each with a multiple of ``hidden`` outputs.
        down: with ``hidden`` inputs.
    """

    ups: Mapping[str, nn.Linear]
    down_name: str
    down: nn.Linear

    @property
    def hidden(self) -> int:
        """Number of hidden units."""
        return self.down.in_features


def find_mlps(model: nn.Module, layers: Mapping[str, nn.Linear]) -> list[MLP]:
    """The MLPs of ``model`` whose linear layers are among ``layers``.

    Raises:
        ValueError: there is none, or only a part of one was given.
    """
    touched = [mlp for mlp in _mlps(model) if {*mlp.ups, mlp.down_name} & set(layers)]
    if not touched:
        names = ", ".join(f"{ups[0]}/{down}" for down, ups in {**UPS_OF, **FAR}.items())
        raise ValueError(
            f"hidden_units needs the layers of an MLP ({names}, or Linear, activation, Linear in a "
            "Sequential), "
            f"but got {listed(layers)}: match an MLP, or choose another kind"
        )
    if missing := [
        name for mlp in touched for name in (*mlp.ups, mlp.down_name) if name not in layers
    ]:
        raise ValueError(
            "hidden_units needs every layer of an MLP, but no pattern matches "
            f"{listed(missing)}: add one"
        )
    return touched


def _mlps(model: nn.Module) -> Iterator[MLP]:
    layers = linears(model)
    for name, down in layers.items():
        parent, dot, last = name.rpartition(".")
        beside = [parent + dot + up for up in UPS_OF.get(last, ())]
        if isinstance(owner := model.get_submodule(parent), nn.Sequential):
            beside = [parent + dot + up for up in _up_in_sequence(owner, last)]
        beside += [
            name.removesuffix(down_path) + up
            for down_path, ups_of in FAR.items()
            for up in ups_of
            if f".{name}".endswith(f".{down_path}")
        ]
        ups = {up: layers[up] for up in beside if up in layers}
        if ups and not any(up.out_features % down.in_features for up in ups.values()):
            yield MLP(ups, name, down)


def _up_in_sequence(sequence: nn.Sequential, last: str) -> list[str]:
    """The first of a sequence of two linear layers, whose second is ``last``."""
    children = dict(sequence.named_children())
    found = [name for name, child in children.items() if is_linear(child)]
    if len(found) != 2 or found[1] != last:
        return []
    names = list(children)
    between = names[names.index(found[0]) + 1 : names.index(last)]
    return found[:1] if all(isinstance(children[name], BY_UNIT) for name in between) else []


def units_kept(hidden: int, share: float) -> int:
    """How many units are kept: ``share`` of ``hidden``, rounded.

    Raises:
        ValueError: none would be left.
    """
    kept = round(share * hidden)
    if kept < 1:
        raise ValueError(
            f"at least one hidden unit must stay, but got share={share} of {hidden} units: "
            f"choose a share of at least {1 / hidden:.2g}"
        )
    return kept


def strongest(mlp: MLP, count: int) -> Tensor:
    """The ``count`` units of greatest norm, in order: int64 (count,).

    A unit's norm is the product of the norms of its rows and of its column, the L2 norm of the
    paths through it (Neyshabur et al. 2015, arXiv 1506.02617): unlike that of its rows alone it
    does not change when a factor moves from one layer to the other. Ties go to the first.
    """
    norms = [mlp.down.weight.detach().double().norm(dim=0)]
    for up in mlp.ups.values():
        norms.extend(up.weight.detach().double().norm(dim=1).view(-1, mlp.hidden))
    score = torch.stack(norms).prod(dim=0)
    return score.argsort(descending=True, stable=True)[:count].sort().values


def prune(mlp: MLP, kept: Tensor) -> dict[str, Structured]:
    """The layers of the MLP with the units ``kept`` alone, by their names."""
    ups = {name: PrunedUp(up, kept, mlp.hidden) for name, up in mlp.ups.items()}
    return {**ups, mlp.down_name: PrunedDown(mlp.down, kept)}


class PrunedUp(Structured):
    """An up layer with the rows of the units kept.

    The rows removed are remembered as they were, out of the optimizer's reach. Dense again, the
    removed units act as before while their columns below are zero: the function is the same, yet
    those columns have gradients and can learn.
    """

    kept: Tensor
    removed_weight: Tensor
    removed_bias: Tensor | None

    def __init__(self, linear: nn.Linear, kept: Tensor, hidden: int) -> None:
        super().__init__(linear.in_features, linear.out_features)
        self.hidden = hidden
        self.register_buffer("kept", kept)
        rows, others = self._rows()
        self.kept_weight = factor(linear.weight.detach()[rows], linear.weight)
        self.register_buffer("removed_weight", linear.weight.detach()[others])
        has_bias = linear.bias is not None
        self.kept_bias = factor(linear.bias.detach()[rows], linear.bias) if has_bias else None
        self.register_buffer("removed_bias", linear.bias.detach()[others] if has_bias else None)

    def _rows(self) -> tuple[Tensor, Tensor]:
        """Rows of the units kept and of those removed, in every part of the layer."""
        stays = _stays(self.kept, self.hidden).repeat(self.out_features // self.hidden)
        return stays.nonzero().flatten(), (~stays).nonzero().flatten()

    @property
    def weight(self) -> Tensor:
        """All rows, those removed as they were, (out, in)."""
        return self._whole(self.kept_weight, self.removed_weight)

    @property
    def bias(self) -> Tensor | None:
        """All entries, (out,)."""
        if self.kept_bias is None or self.removed_bias is None:
            return None
        return self._whole(self.kept_bias, self.removed_bias)

    def _whole(self, kept: Tensor, removed: Tensor) -> Tensor:
        rows, others = self._rows()
        whole = kept.new_empty((self.out_features, *kept.shape[1:]))
        return whole.index_copy(0, rows, kept).index_copy(0, others, removed)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., parts · units kept)."""
        return functional.linear(x, self.kept_weight, self.kept_bias)

    def flops(self, rows: int) -> int:
        """2·rows times the weights kept."""
        return 2 * rows * self.kept_weight.numel()

    def dense(self) -> nn.Linear:
        """The linear layer of all rows."""
        bias = (
            None
            if self.bias is None or self.kept_bias is None
            else factor(self.bias.detach(), self.kept_bias)
        )
        return as_linear(self.weight, bias, requires_grad=self.kept_weight.requires_grad)


class PrunedDown(Structured):
    """A down layer with the columns of the units kept; the others are zero."""

    kept: Tensor

    def __init__(self, linear: nn.Linear, kept: Tensor) -> None:
        super().__init__(linear.in_features, linear.out_features)
        self.register_buffer("kept", kept)
        self.kept_weight = factor(linear.weight.detach()[:, kept], linear.weight)
        self.bias = linear.bias

    @property
    def weight(self) -> Tensor:
        """All columns, (out, in)."""
        zeros = self.kept_weight.new_zeros(self.out_features, self.in_features)
        return zeros.index_copy(1, self.kept, self.kept_weight)

    def forward(self, x: Tensor) -> Tensor:
        """(..., units kept) -> (..., out)."""
        return functional.linear(x, self.kept_weight, self.bias)

    def flops(self, rows: int) -> int:
        """2·rows times the weights kept."""
        return 2 * rows * self.kept_weight.numel()

    def dense(self) -> nn.Linear:
        """The linear layer of all columns."""
        return as_linear(self.weight, self.bias, requires_grad=self.kept_weight.requires_grad)


def first_units(mlp: MLP, count: int) -> Tensor:
    """Indices of the first ``count`` units, chosen without looking at the weights.

    They serve a model whose state is loaded afterwards.
    """
    return torch.arange(count, device=mlp.down.weight.device)


def _stays(kept: Tensor, hidden: int) -> Tensor:
    mask = torch.zeros(hidden, dtype=torch.bool, device=kept.device)
    return mask.index_fill(0, kept, True)
