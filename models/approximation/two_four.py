"""2:4 sparsity: of every four weights in a row at most two are not zero, which tensor cores
multiply at twice the rate.

Mishra et al. 2021, arXiv 2104.08378. The gain is the hardware's: elsewhere the zeros are multiplied
like any number.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.sparse import to_sparse_semi_structured

CAPABILITY = (8, 0)
"""The first compute capability with sparse tensor cores (Ampere)."""

MULTIPLES = {torch.float32: (32, 32), torch.float16: (32, 64), torch.bfloat16: (32, 64)}
"""(rows, columns) of which a weight's sides must be multiples for torch's sparse kernels, by
type.
"""


def two_four_fault(device: torch.device) -> str | None:
    """Why ``device`` cannot gain from 2:4 sparsity; None where it can."""
    rule = "two_four needs an NVIDIA GPU of compute capability 8.0 or more"
    if device.type != "cuda" or torch.version.cuda is None:
        return f"{rule}, but got device {device.type!r}: choose another kind"
    if (found := torch.cuda.get_device_capability(device)) < CAPABILITY:
        return f"{rule}, but {device} has {found[0]}.{found[1]}: choose another kind"
    return None


def require_two_four(layer: nn.Linear) -> None:
    """Refuse a layer that 2:4 sparsity would not make faster.

    Raises:
        ValueError: its device has no sparse tensor cores, or torch has no kernel for its type or
            sides.
    """
    if fault := two_four_fault(layer.weight.device) or _kernel_fault(layer.weight):
        raise ValueError(fault)


def _kernel_fault(weight: Tensor) -> str | None:
    multiples = MULTIPLES.get(weight.dtype)
    if multiples is None:
        return (
            f"two_four needs a weight of float32, float16 or bfloat16, but got {weight.dtype}: "
            "convert the model"
        )
    if any(side % multiple for side, multiple in zip(weight.shape, multiples, strict=True)):
        return (
            f"two_four needs sides that are multiples of {multiples} in {weight.dtype}, but got "
            f"{tuple(weight.shape)}: leave the layer out"
        )
    return None


def two_four_mask(weight: Tensor) -> Tensor:
    """True for the two greatest magnitudes of every four in a row, the first where they tie: the
    closest 2:4 matrix.

    Args:
        weight: (m, n).

    Returns:
        bool (m, n).

    Raises:
        ValueError: n is not a multiple of four.
    """
    if weight.shape[1] % 4:
        raise ValueError(
            f"two_four needs a multiple of 4 inputs, but got {weight.shape[1]}: leave the layer out"
        )
    fours = weight.detach().abs().reshape(len(weight), -1, 4)
    kept = fours.argsort(dim=-1, descending=True, stable=True)[..., :2]
    return torch.zeros_like(fours, dtype=torch.bool).scatter_(-1, kept, value=True).flatten(1)


def sparse_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``functional.linear`` with a 2:4 ``weight``, through the sparse kernels where the device has
    them.

    The weight is packed in each call, since it changes with each step. Only the forward product
    gains: the two of the backward need the weight's transpose, which is not 2:4, and a dense
    gradient.
    """
    if two_four_fault(x.device) is not None:
        return functional.linear(x, weight, bias)
    if torch.is_autocast_enabled("cuda"):
        half = torch.get_autocast_dtype("cuda")
        x, weight, bias = x.to(half), weight.to(half), bias if bias is None else bias.to(half)
    product: Tensor = _SparseProduct.apply(x.flatten(0, -2), weight)  # type: ignore[no-untyped-call]
    product = product.reshape(*x.shape[:-1], len(weight))
    return product if bias is None else product + bias


class _SparseProduct(torch.autograd.Function):
    """x Wᵀ with W packed: (rows, n), (m, n) -> (rows, m)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        packed = to_sparse_semi_structured(weight.detach().contiguous())
        return functional.linear(x, packed)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        (grad,) = grads
        into_x = grad @ weight if ctx.needs_input_grad[0] else None
        return into_x, grad.T @ x if ctx.needs_input_grad[1] else None
