"""Which linear layers of a model are meant, by patterns on dotted names or by their purpose."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from typing import Literal

from torch import nn

from models.approximation.transposed import is_linear, linear_of

Placement = Literal["all", "mlp", "attention"]
# fmt: off
PARTS = {
    "attention": {
        "qkv",
        "q_proj", "k_proj", "v_proj", "o_proj", "in_proj", "out_proj", "query", "key", "value",
        "wq", "wk", "wv",
        "wo"
    },
    "mlp": {
        "mlp", "ffn", "ff", "feed_forward", "feedforward", "up", "down", "gate", "up_proj",
        "down_proj",
        "gate_proj", "fc1", "fc2", "c_fc", "c_proj", "linear1", "linear2", "w1", "w2", "w3",
        "dense_h_to_4h",
        "dense_4h_to_h", "densereludense", "wi", "wi_0", "wi_1",
        "intermediate", "output"
    },
}
# fmt: on
"""Names that layers go by in models that people train; the first part of a dotted name that is
known decides.
"""
ATTENTION = ("attention", "attn")
"""What a part is known by wherever it stands in it: SelfAttention, cross_attn, c_attn."""
NO_LINEAR = "no linear layer (nn.Linear, or Conv1D of Hugging Face), and no other kind is replaced"
THEMSELVES = (
    "none within them: they are linear layers themselves, and a block itself is not replaced"
)


def linears(model: nn.Module) -> dict[str, nn.Linear]:
    """Every plain linear layer below ``model`` by its dotted name, in order.

    One that keeps its weight (in, out) comes as an ``nn.Linear`` that looks at the same values.
    """
    return {
        name: linear_of(module)
        for name, module in model.named_modules()
        if name and is_linear(module)
    }


def matching(model: nn.Module, patterns: Sequence[str]) -> dict[str, nn.Linear]:
    """The linear layers whose dotted names match any of ``patterns`` (``fnmatch``, case counts), in
    the model's order.

    Raises:
        ValueError: a pattern matches no layer, or a layer that matches shares its weight with
            another part.
    """
    layers = linears(model)
    idle = [
        pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in layers)
    ]
    if idle or not patterns:
        raise ValueError(
            f"every pattern must match a linear layer, but got {idle or 'no pattern'}: "
            f"this model has {listed(layers) or 'none'}"
        )
    matched = {
        name: each
        for name, each in layers.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }
    _refuse_shared(model, matched)
    for layer in matched.values():  # kernels want rows that lie together
        layer.weight.data = layer.weight.data.contiguous()
    return matched


def _refuse_shared(model: nn.Module, layers: dict[str, nn.Linear]) -> None:
    # A replaced layer has a weight of its own: a tie would be cut without a word.
    uses = Counter(id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False))
    shared = [
        name
        for name in layers
        if any(uses[id(each)] > 1 for each in model.get_submodule(name).parameters())
    ]
    if shared:
        raise ValueError(
            f"a layer to be replaced must own its weight alone, but {listed(shared)} share "
            "theirs: leave them out"
        )


def placement_patterns(
    model: nn.Module, placement: Placement, blocks: Sequence[nn.Module]
) -> tuple[str, ...]:
    """Patterns for the linear layers of ``blocks``: all, those of MLPs, or those of attention.

    What a layer is for is told by the parts of its name below its block (``PARTS``), the outer one
    first, so ``attention.gate`` is attention and ``mlp.wo`` is not. In a block whose names tell
    nothing every linear layer is an MLP's. Layers outside the blocks, so the stem and the head,
    never match.

    Raises:
        ValueError: the placement is unknown, or no layer is of that sort.
    """
    if placement not in (known := ("all", *sorted(PARTS))):
        raise ValueError(f"placement must be one of {', '.join(known)}, but got {placement!r}")
    names = {id(module): name for name, module in model.named_modules()}
    purposes = {
        names[id(layer)]: purpose for block in blocks for layer, purpose in _purposes(block).items()
    }
    chosen = [name for name, purpose in purposes.items() if placement in ("all", purpose)]
    if not chosen:
        none = THEMSELVES if any(is_linear(block) for block in blocks) else NO_LINEAR
        raise ValueError(
            f"placement {placement!r} must match a linear layer of a block, but none does: "
            f"the blocks have {listed(list(purposes)) or none}"
        )
    return tuple(glob.escape(name) for name in chosen)


def _purposes(block: nn.Module) -> dict[nn.Module, str | None]:
    """What each linear layer of a block is for, as far as it is known."""
    found = {
        layer: _purpose(below)
        for below, layer in block.named_modules()
        if below and is_linear(layer)
    }
    return found if any(found.values()) else dict.fromkeys(found, "mlp")


def _purpose(name: str) -> str | None:
    """The purpose of the first part of a dotted name that is known; None where no part is.

    >>> [_purpose(name) for name in ("layer.0.SelfAttention.q", "layer.1.DenseReluDense.wo", "wo")]
    ['attention', 'mlp', 'attention']
    """
    known = (_purpose_of(part) for part in name.lower().split("."))
    return next((purpose for purpose in known if purpose is not None), None)


def _purpose_of(part: str) -> str | None:
    if any(word in part for word in ATTENTION):
        return "attention"
    return next((purpose for purpose, words in PARTS.items() if part in words), None)


def listed(names: Collection[str], most: int = 8) -> str:
    """The first names, and how many more there are."""
    shown = list(names)
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")
