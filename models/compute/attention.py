"""Attention backends, forced one by one: what runs is what was asked for, or nothing runs.

torch chooses among several implementations of ``scaled_dot_product_attention`` by itself, call by
call, and falls back without a word. Inside ``forced`` there is one:

- math: plain products and a softmax, of which every device and dtype is capable;
- efficient: memory-efficient attention (Rabe and Staats 2021, arXiv 2112.05682);
- flash: FlashAttention (Dao 2023, arXiv 2307.08691), on a CPU torch's own kernel of that kind;
- cudnn: cuDNN's fused attention;
- flex: FlexAttention (Dong et al. 2024, arXiv 2412.05496), compiled; see ``attention_flex``.

Three things hold the promise. Torch's flags allow the forced backend alone, so that a call that it
does not take raises (for flex they allow none, so that a call that was not mapped raises). The
function is replaced in ``torch.nn.functional`` by one that names the shapes when it is refused; it
is also what ``torch.compile`` sees, which knows nothing of the flags: left alone it would reuse a
graph traced under another backend, even one that an earlier process left in its cache on disk. And
the fused inference path of ``nn.TransformerEncoderLayer`` is off.

Flags and functions are the process's: two threads cannot force different backends at once.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.backends import mha
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from models.compute.flex import flex
from models.compute.refusal import BackendRefused, describe, lacks_kernel, reasons

KERNELS: dict[str, list[SDPBackend]] = {
    "math": [SDPBackend.MATH],
    "efficient": [SDPBackend.EFFICIENT_ATTENTION],
    "flash": [SDPBackend.FLASH_ATTENTION],
    "cudnn": [SDPBackend.CUDNN_ATTENTION],
    "flex": [],
}
"""Which of torch's kernels each backend allows."""

BACKENDS = tuple(KERNELS)

_torch_attention: Callable[..., Tensor] = functional.scaled_dot_product_attention
_in_force: str | None = None


@contextlib.contextmanager
def forced(backend: str) -> Iterator[None]:
    """Make every ``scaled_dot_product_attention`` run on ``backend``; backward belongs inside.

    May be nested, the innermost one holds. Attention that a model spells out in products of its own
    is not touched.

    Raises:
        BackendRefused: a call inside that ``backend`` does not take.
        ValueError: there is no such backend.
    """
    global _in_force
    require_backend(backend)
    before = _in_force, functional.scaled_dot_product_attention, mha.get_fastpath_enabled()
    _in_force, functional.scaled_dot_product_attention = backend, _CALLS[backend]
    mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(KERNELS[backend]):
            yield
    except RuntimeError as error:
        if not lacks_kernel(error):
            raise
        raise _unseen(backend) from error
    finally:
        _in_force, functional.scaled_dot_product_attention = before[:2]
        mha.set_fastpath_enabled(before[2])


def in_force() -> str | None:
    """The backend that is forced now; None where torch chooses."""
    return _in_force


@contextlib.contextmanager
def traced() -> Iterator[None]:
    """State the backend in force inside a function that torch compiles: its graph carries it."""
    if _in_force is None:
        yield
    else:
        with sdpa_kernel(KERNELS[_in_force]):
            yield


def require_backend(backend: str) -> None:
    """Refuse a name that is none of ``BACKENDS``.

    Raises:
        ValueError: there is no such backend.
    """
    if backend not in KERNELS:
        raise ValueError(f"attention must be one of {', '.join(BACKENDS)}, but got {backend!r}")


def _unseen(backend: str) -> BackendRefused:
    """The error for a call that was not made through ``torch.nn.functional``, or that was made
    while it was compiled.
    """
    if backend == "flex":
        why = (
            "it must be called as functional.scaled_dot_product_attention, not by a name imported "
            "earlier"
        )
    else:
        why = "torch has no such kernel for it (a warning of its own may say why)"
    return BackendRefused(backend, "one", why)


def _call_of(backend: str) -> Callable[..., Tensor]:
    """What stands in for ``scaled_dot_product_attention`` while ``backend`` is forced."""

    @functools.wraps(_torch_attention)
    def scaled_dot_product_attention(*args: Any, **kwargs: Any) -> Tensor:
        if torch.compiler.is_compiling():
            with sdpa_kernel(KERNELS[backend]):
                return _torch_attention(*args, **kwargs)
        try:
            return _torch_attention(*args, **kwargs)
        except RuntimeError as error:
            if lacks_kernel(error):
                why = reasons(lambda: _torch_attention(*args, **kwargs))
                raise BackendRefused(backend, describe((*args, *kwargs.values())), why) from error
            raise

    return scaled_dot_product_attention


_CALLS: dict[str, Callable[..., Tensor]] = {
    backend: _call_of(backend) if kernels else flex for backend, kernels in KERNELS.items()
}
