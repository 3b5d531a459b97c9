"""Floating-point operations of a step, counted while it runs.

Every matrix product, convolution and attention that is executed counts, 2·m·n·k for a product, so
work that a frozen prefix saves is not counted. Attention counts as the full square, causal or not,
as is the convention.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

Sizes = tuple[int, ...]


def count_flops(step: Callable[[], object]) -> float:
    """Run ``step`` once and return the floating-point operations it took, forward and backward."""
    counter = FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION)
    counter.mod_tracker = _Untracked()  # type: ignore[assignment]
    with counter:
        step()
    return float(counter.get_total_flops())


class _Untracked:
    """In place of the counter's tracker of modules: the total is all that is asked for, and its
    hooks on what modules are given do not bear a loss that takes gradients of its inputs
    (``torch.autograd.grad``: forces, gradient penalties).
    """

    def __init__(self) -> None:
        self.parents = {"Global"}

    def __enter__(self) -> None:
        """Nothing to track."""

    def __exit__(self, *_: object) -> None:
        """Nothing was tracked."""


def _attention(query: Sizes, key: Sizes, value: Sizes, *_: object, **__: object) -> int:
    return sdpa_flop_count(query, key, value)  # type: ignore[no-any-return, no-untyped-call]


def _attention_backward(
    grad: Sizes, query: Sizes, key: Sizes, value: Sizes, *_: object, **__: object
) -> int:
    return sdpa_backward_flop_count(grad, query, key, value)  # type: ignore[no-any-return, no-untyped-call]


# torch's counter knows the attention kernels of accelerators; without these the CPU's would count
# as nothing.
CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
