"""Which attention backends a device has, found by running them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from models.compute.attention import forced, require_backend
from models.compute.refusal import BackendRefused, first_line, name_of

PROBE = (1, 2, 32, 32)
"""Batch, heads, tokens and head size of a call that every backend takes where it works at all."""


@functools.cache
def backend_fault(
    backend: str, device: torch.device, dtype: torch.dtype, shape: tuple[int, int, int, int] = PROBE
) -> str | None:
    """Why ``backend`` cannot train with causal attention of ``shape`` (B, H, T, D) on ``device``;
    None where it can.

    Forward and backward really run, and the operations that ran are compared with those of the
    backend.

    Raises:
        ValueError: there is no such backend.
        torch.OutOfMemoryError: the device was too full to tell.
    """
    require_backend(backend)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is in the reason
        why = _why_not(backend, device, dtype, shape)
    kind = f"{name_of(dtype)} on {device}, shape {shape}"
    return (
        None
        if why is None
        else f"attention {backend!r} must run forward and backward in {kind}, but got: {why}"
    )


def _why_not(
    backend: str, device: torch.device, dtype: torch.dtype, shape: tuple[int, ...]
) -> str | None:
    try:
        with forced(backend):
            _step(device, dtype, shape)  # as it is trained: FlexAttention compiled
            used = kernels_used(lambda: _step(device, dtype, shape))
    except torch.OutOfMemoryError:
        raise
    except BackendRefused as refusal:
        return refusal.why
    except Exception as error:  # whatever torch says, in whatever class, is the reason
        return first_line(error)
    expected = {"math"} if backend == "math" else {backend, f"{backend} backward"}
    return (
        None if used == expected else f"{', '.join(sorted(used)) or 'no known kernel'} ran instead"
    )


def _step(device: torch.device, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    q, k, v = (torch.ones(shape, device=device, dtype=dtype, requires_grad=True) for _ in range(3))
    out: Tensor = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    out.float().sum().backward()  # type: ignore[no-untyped-call]
    assert all(each.grad is not None for each in (q, k, v))


OPERATIONS = {
    "_safe_softmax": "math",
    "_scaled_dot_product_attention_math_for_mps": "math",
    "_scaled_dot_product_flash_attention": "flash",
    "_scaled_dot_product_flash_attention_for_cpu": "flash",
    "_scaled_dot_product_efficient_attention": "efficient",
    "_scaled_dot_product_cudnn_attention": "cudnn",
    "_scaled_dot_product_fused_attention_overrideable": "overrideable",
    "flex_attention": "flex",
}
"""Operations that stand for a backend. The backward of each has its name and ``_backward``.

That of math has none.
"""


def kernels_used(step: Callable[[], object]) -> frozenset[str]:
    """Run ``step`` and name the backends that took its attention; ``"flash backward"`` where a
    fused backward ran.

    Nothing can be compiled while it is watched: what is compiled elsewhere runs here as it is
    written.
    """
    watch = _Watch()
    with watch:
        step()
    return frozenset(watch.seen)


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    supports_higher_order_operators = True  # FlexAttention is one

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[str] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = func.__name__.split(".")[0]
        backend = OPERATIONS.get(name.removesuffix("_backward"))
        if backend is not None:
            self.seen.add(f"{backend} backward" if name.endswith("_backward") else backend)
        return func(*args, **(kwargs or {}))
