"""Which attention kernels a computation really ran, read off the operations that torch dispatched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

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
"""Operations that stand for a backend. The backward of each has its name and ``_backward``; that of math has none."""


def kernels_used(step: Callable[[], object]) -> frozenset[str]:
    """Run ``step`` and name the backends that took its attention; ``"flash backward"`` where a fused backward ran.

    Nothing can be compiled while it is watched: what is compiled elsewhere runs here as it is written.
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
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.__name__.split(".")[0]
        backend = OPERATIONS.get(name.removesuffix("_backward"))
        if backend is not None:
            self.seen.add(f"{backend} backward" if name.endswith("_backward") else backend)
        return func(*args, **(kwargs or {}))
