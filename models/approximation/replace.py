"""Replace linear layers of a model by cheaper ones, in place, and go back.

Replaced at the start of training, the factors are the SVD of the initial weights (spectral
initialisation, Khodak et al. 2021, arXiv 2105.01029); replaced later they fit what was learned, and
training goes on in them. ``to_dense`` opens a dense tail.

An optimizer made before holds parameters that are gone: make it anew after each call, or move its
state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from models.approximation import hidden_units, low_rank, monarch
from models.approximation.inputs import Moments
from models.approximation.matching import matching
from models.approximation.modules import (
    LowRankDiagonalLinear,
    LowRankLinear,
    MonarchLinear,
    Structured,
    TwoFourLinear,
)
from models.approximation.transposed import again
from models.approximation.two_four import require_two_four, two_four_mask

Kind = Literal["svd", "data_aware", "low_rank_diagonal", "monarch", "hidden_units", "two_four"]
KINDS: tuple[Kind, ...] = get_args(Kind)
USES_INPUTS = ("data_aware", "low_rank_diagonal")
TWO_FOUR_SHARE = 0.5


@torch.no_grad()
def approximate(
    model: nn.Module,
    kind: Kind,
    patterns: Sequence[str],
    share: float,
    inputs: Mapping[str, Moments] | None = None,
) -> None:
    """Replace the matching layers by fits to their weights; on a CPU reproducible to the bit.

    The weights keep type, device, bias, mode and ``requires_grad``; no random number is drawn.

    Args:
        model: changed in place, or not at all if anything is refused.
        kind: ``svd``, ``data_aware``: ``low_rank.truncated_svd``, ``whitened``;
            ``low_rank_diagonal``: ``low_rank.with_diagonal``; ``monarch``: ``monarch.project``;
            ``hidden_units``: whole units of MLPs, the strongest stay; ``two_four``: 2:4 sparsity.
        patterns: of dotted names, as in ``matching``.
        share: above 0, at most 1. Of the full rank (``rank_of``), which saves operations below m n
            / (m + n); for ``monarch`` what costs as much (``monarch.grid``); for ``hidden_units``
            of the units, kept; for ``two_four`` 0.5 and nothing else.
        inputs: second moments of the layers' inputs (``collect_inputs``). ``data_aware`` needs
            them, ``low_rank_diagonal`` uses them if there are any.

    Raises:
        ValueError: the kind is unknown; the share is out of range; a pattern matches no layer; a
            layer's sides do not allow the structure; no whole MLP matches, or no unit of one would
            be left; inputs are missing or fewer than the rank; the device has no 2:4 hardware.
    """
    if kind == "data_aware" and inputs is None:
        raise ValueError(
            "data_aware needs second moments of the inputs, but got none: collect_inputs gives them"
        )

    def fit(name: str, layer: nn.Linear) -> Structured:
        return _fitted(kind, layer, share, _moments_of(kind, name, layer, share, inputs))

    _replace(model, _planned(model, kind, patterns, share, fit, hidden_units.strongest))


@torch.no_grad()
def skeleton(model: nn.Module, kind: Kind, patterns: Sequence[str], share: float) -> None:
    """Replace the layers as ``approximate`` does, but fit nothing: a state is to be loaded.

    Makes the same modules with parameters and buffers of the same names, shapes and types. They are
    finite.

    Raises:
        ValueError: as ``approximate``, inputs aside.
    """

    def empty(_: str, layer: nn.Linear) -> Structured:
        return _empty(kind, layer, share)

    _replace(model, _planned(model, kind, patterns, share, empty, hidden_units.first_units))


@torch.no_grad()
def to_dense(model: nn.Module) -> None:
    """Make every replaced layer linear again, with the weight and bias it stands for.

    Outputs stay the same up to rounding.
    """
    _replace(model, {name: again(layer) for name, layer in structured(model).items()})


def structured(model: nn.Module) -> dict[str, Structured]:
    """The layers of a model that stand for linear ones, by dotted name, in order."""
    return {
        name: module for name, module in model.named_modules() if isinstance(module, Structured)
    }


def rank_of(layer: nn.Linear, share: float) -> int:
    """The rank that ``share`` stands for: that part of the smaller side, rounded, at least 1."""
    return max(1, round(share * min(layer.weight.shape)))


Make = Callable[[str, nn.Linear], Structured]
Choose = Callable[[hidden_units.MLP, int], Tensor]


def _planned(
    model: nn.Module, kind: Kind, patterns: Sequence[str], share: float, make: Make, choose: Choose
) -> dict[str, Structured]:
    """Every new layer by its name.

    The model is as it was, so that a fault found late leaves nothing half done.
    """
    _require(kind, share)
    layers = matching(model, patterns)
    if kind != "hidden_units":
        _require_places(kind, layers, share)
        return {name: make(name, layer) for name, layer in layers.items()}
    counts = [
        (mlp, hidden_units.units_kept(mlp.hidden, share))
        for mlp in hidden_units.find_mlps(model, layers)
    ]
    pruned = [hidden_units.prune(mlp, choose(mlp, count)) for mlp, count in counts]
    return {name: layer for mlp in pruned for name, layer in mlp.items()}


def _require(kind: str, share: float) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, but got {kind!r}")
    if not 0 < share <= 1:
        raise ValueError(f"0 < share <= 1 must hold, but got share={share}")
    if kind == "two_four" and share != TWO_FOUR_SHARE:
        raise ValueError(
            f"two_four keeps two weights of four: share must be {TWO_FOUR_SHARE}, but got {share}"
        )


def _require_places(kind: Kind, layers: Mapping[str, nn.Linear], share: float) -> None:
    for name, layer in layers.items():
        try:
            if kind == "monarch":
                monarch.grid(layer.out_features, layer.in_features, share)
            if kind == "two_four":
                require_two_four(layer)
        except ValueError as fault:
            raise ValueError(f"{name}: {fault}") from None


def _moments_of(
    kind: Kind, name: str, layer: nn.Linear, share: float, inputs: Mapping[str, Moments] | None
) -> Moments | None:
    if inputs is None or kind not in USES_INPUTS:
        return None
    if name not in inputs:
        raise ValueError(
            f"{name} needs second moments of its inputs, but got none: collect them with the same "
            "patterns"
        )
    moments = Moments(*inputs[name])
    if not moments.samples:
        raise ValueError(
            f"a data-aware fit needs the inputs of {name}, but none were seen: either no forward "
            "reached it, or it is part of a model that is compiled, whose hooks do not run; leave "
            "torch.compile out of make_model, the knob compiled does it"
        )
    if moments.samples < (rank := rank_of(layer, share)):
        raise ValueError(
            "a data-aware fit needs at least as many samples as its rank, but got "
            f"{moments.samples} samples for rank "
            f"{rank} of {name}: collect more, or lower the share"
        )
    return moments


def _fitted(kind: Kind, layer: nn.Linear, share: float, moments: Moments | None) -> Structured:
    weight, rank = layer.weight, rank_of(layer, share)
    if kind == "data_aware":
        assert moments is not None, "approximate() asks for them"
        return LowRankLinear(layer, *low_rank.whitened(weight, moments.gram, rank))
    if kind == "low_rank_diagonal":
        gram = None if moments is None else moments.gram
        return LowRankDiagonalLinear(layer, *low_rank.with_diagonal(weight, rank, gram))
    if kind == "monarch":
        return MonarchLinear(
            layer,
            *monarch.project(weight, *monarch.grid(layer.out_features, layer.in_features, share)),
        )
    if kind == "two_four":
        return TwoFourLinear(layer, two_four_mask(weight))
    return LowRankLinear(layer, *low_rank.truncated_svd(weight, rank))


def _empty(kind: Kind, layer: nn.Linear, share: float) -> Structured:
    weight, rank = layer.weight, rank_of(layer, share)
    rows, columns = weight.shape
    a, b = weight.new_zeros(rows, rank), weight.new_zeros(rank, columns)
    if kind == "low_rank_diagonal":
        return LowRankDiagonalLinear(layer, a, b, weight.new_zeros(min(rows, columns)))
    if kind == "monarch":
        blocks, block_rank = monarch.grid(rows, columns, share)
        right = weight.new_zeros(blocks, blocks * block_rank, columns // blocks)
        return MonarchLinear(
            layer, right, weight.new_zeros(blocks, rows // blocks, blocks * block_rank)
        )
    if kind == "two_four":
        return TwoFourLinear(layer, two_four_mask(torch.zeros_like(weight)))
    return LowRankLinear(layer, a, b)


def _replace(model: nn.Module, layers: Mapping[str, nn.Module]) -> None:
    for name, layer in layers.items():
        if isinstance(layer, Structured):
            layer.kind = type(model.get_submodule(name))
        model.set_submodule(name, layer.train(model.get_submodule(name).training), strict=True)
