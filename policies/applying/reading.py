"""What is read from the device about a step: its loss, on a probe the relevance of blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

EPS = 1e-8
"""Added to a block's weight norm, so that a block of zeros has a finite relevance."""


def has_gradients(parameters: Iterable[nn.Parameter]) -> bool:
    """Whether a backward has reached any of them; one whose hook takes its gradient away counts
    too.
    """
    return any(p.grad is not None or _is_hooked(p) for p in parameters)


def has_taken_gradients(parameters: Iterable[nn.Parameter]) -> bool:
    """Whether hooks may take the gradients of some away within the backward, and step."""
    return any(map(_is_hooked, parameters))


def _is_hooked(parameter: nn.Parameter) -> bool:
    hooks = getattr(parameter, "_post_accumulate_grad_hooks", None)
    return parameter.requires_grad and bool(hooks)


def gradient_norm(gradient: Tensor) -> Tensor:
    """The L2 norm of one gradient, dense or sparse; nothing is waited for."""
    return _norms([_values(gradient)], 2)[0]


def relevance(blocks: Sequence[Sequence[nn.Parameter]], metric: str) -> tuple[float, ...]:
    """One score a block from its present gradients, with one synchronisation of the device for all.

    ``ratio`` is ||g||_2 / (||W||_2 + EPS) over all parameters of a block, ``saliency`` is sum |g ·
    W|. A parameter without a gradient counts as one with a gradient of zero.

    Args:
        blocks: the parameters of each block.
        metric: one of ``RELEVANCE_METRICS``.

    Raises:
        RuntimeError: hooks have taken the gradients away, as a backward with fused steps does.
    """
    every = [p for block in blocks for p in block]
    if all(p.grad is None for p in every) and has_taken_gradients(every):
        raise RuntimeError(
            "relevance must be read from gradients, but hooks of "
            "register_post_accumulate_grad_hook took them away in the backward (a fused optimizer "
            "step?); step after the backward, or use a policy that does not probe (static_suffix)"
        )
    measure = {"ratio": _ratio_norms, "saliency": _saliency_norms}[metric]
    with torch.no_grad():
        norms = [measure(block) for block in blocks]
    values = iter(_read([norm for pair in norms for group in pair for norm in group]))
    taken = [tuple([next(values) for _ in group] for group in pair) for pair in norms]
    if metric == "saliency":
        return tuple(sum(products) for products, _ in taken)
    return tuple(math.hypot(*grads) / (math.hypot(*weights) + EPS) for grads, weights in taken)


Norms = tuple[Sequence[Tensor], Sequence[Tensor]]


def _ratio_norms(block: Sequence[nn.Parameter]) -> Norms:
    return _norms([_values(p.grad) for p in block if p.grad is not None], 2), _norms(list(block), 2)


def _saliency_norms(block: Sequence[nn.Parameter]) -> Norms:
    # The products of one block at a time, so that at most one block's worth of memory is taken.
    return _norms([_wide(_dense(p.grad)) * _wide(p) for p in block if p.grad is not None], 1), ()


def _norms(tensors: Sequence[Tensor], order: int) -> Sequence[Tensor]:
    """The norm of each tensor, by the fused kernel that ``clip_grad_norm_`` uses."""
    norms: Sequence[Tensor] = (
        torch._foreach_norm([_wide(t) for t in tensors], order) if tensors else ()
    )
    return norms


def _values(gradient: Tensor) -> Tensor:
    """What a gradient holds apart from zeros, of a sparse one each entry once."""
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def _dense(gradient: Tensor) -> Tensor:
    return gradient.to_dense() if gradient.layout is not torch.strided else gradient


def _wide(tensor: Tensor) -> Tensor:
    """A half-precision tensor as float32, in which a square cannot overflow so soon."""
    return tensor.float() if tensor.dtype.itemsize < 4 else tensor


def _read(scalars: Sequence[Tensor]) -> list[float]:
    """The values of scalar tensors, which may lie on several devices, in one transfer."""
    if not scalars:
        return []
    device = scalars[0].device
    values: list[float] = torch.stack([s.to(device, torch.float64) for s in scalars]).tolist()
    return values


def later(loss: Tensor | float) -> Callable[[], float]:
    """A loss to be read later: copied behind the backward, so that the device need not be waited
    for now.

    Raises:
        ValueError: it is no scalar.
    """
    _refuse_no_scalar(loss)
    if not isinstance(loss, Tensor) or not loss.is_cuda:
        value = float(loss.detach() if isinstance(loss, Tensor) else loss)
        return lambda: value
    host = torch.empty((), dtype=loss.dtype, pin_memory=True)
    host.copy_(loss.detach().reshape(()), non_blocking=True)
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrived.record()

    def read() -> float:
        arrived.synchronize()
        return float(host)

    return read


def _refuse_no_scalar(loss: Any) -> None:
    if isinstance(loss, Tensor):
        fault = None if loss.numel() == 1 else f"a tensor of shape {tuple(loss.shape)}"
    else:
        fault = None if hasattr(loss, "__float__") else f"{type(loss).__name__}"
    if fault is not None:
        raise ValueError(
            f"step.observe(loss) must be given the loss that backward() was called on, a scalar, "
            f"but got {fault}: give loss.mean() of several values, output.loss of a model's output"
        )
