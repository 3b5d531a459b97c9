"""Linear layers that keep their weight the other way round, as GPT-2's ``Conv1D`` does."""

from __future__ import annotations

import torch
from torch import nn

from models.approximation.modules import Structured


def is_linear(module: nn.Module) -> bool:
    """Whether a module is a plain linear layer, its weight (out, in) or (in, out).

    Subclasses are none: what owns them may use their weight in a way of its own
    (``nn.MultiheadAttention`` does).
    """
    return type(module) is nn.Linear or is_transposed(module)


def is_transposed(module: nn.Module) -> bool:
    """Whether it is the ``Conv1D`` of Hugging Face's GPT models, known without the library."""
    weight = getattr(module, "weight", None)
    return (
        type(module).__name__ == "Conv1D"
        and isinstance(weight, nn.Parameter)
        and weight.dim() == 2
        and getattr(module, "nf", None) == weight.shape[1]
    )


def linear_of(module: nn.Module) -> nn.Linear:
    """The layer as ``nn.Linear``: itself, or one whose weight looks at the same values."""
    if isinstance(module, nn.Linear):
        return module
    weight: nn.Parameter = module.weight  # type: ignore[assignment]
    rows, columns = weight.shape
    linear = nn.Linear(rows, columns, bias=False, device="meta")
    linear.weight = nn.Parameter(weight.detach().T, requires_grad=weight.requires_grad)
    linear.bias = module.bias  # type: ignore[assignment]
    return linear


def again(layer: Structured) -> nn.Module:
    """The layer that it stands for, of the kind that was there, with weights of its own."""
    linear = layer.dense()
    if layer.kind is nn.Linear:
        return linear
    with torch.device("meta"):  # where nothing is drawn
        module = layer.kind(linear.out_features, linear.in_features)
    module.weight = nn.Parameter(
        linear.weight.detach().T.contiguous(), requires_grad=linear.weight.requires_grad
    )
    module.bias = linear.bias
    return module
