"""In which dtype a model computes: float32, or bfloat16 by autocast with its weights in float32.

float16 is left out: its gradients underflow without loss scaling, which would be a part of the
training loop.
"""

from __future__ import annotations

import contextlib
import functools
from contextlib import AbstractContextManager

import torch
from torch import nn

from models.compute.refusal import first_line
from models.levers.computing import DTYPES as DTYPES


def precision(dtype: str, device: torch.device) -> AbstractContextManager[object]:
    """A context for forward passes and losses; backward follows it wherever it runs.

    Raises:
        ValueError: ``dtype`` is none of ``DTYPES``.
    """
    require_dtype(dtype)
    if dtype == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def require_dtype(dtype: str) -> None:
    """Refuse a dtype that is none of ``DTYPES``.

    Raises:
        ValueError: it is not.
    """
    if dtype == "float16":
        raise ValueError(
            "dtype must be float32 or bfloat16, but got 'float16', which needs loss scaling: use "
            "bfloat16"
        )
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, but got {dtype!r}")


@functools.cache
def dtype_fault(dtype: str, device: torch.device) -> str | None:
    """Why ``device`` cannot train in ``dtype``, found by training one step; None where it can."""
    try:
        require_dtype(dtype)
        why = _why_not(dtype, device)
    except ValueError as error:
        return str(error)
    return (
        None
        if why is None
        else f"dtype {dtype!r} must run forward and backward on {device}, but got: {why}"
    )


def _why_not(dtype: str, device: torch.device) -> str | None:
    if (
        dtype == "bfloat16"
        and device.type == "cuda"
        and not torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        return "this GPU has no arithmetic for it (it would be emulated)"
    try:
        layers = nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16), nn.Linear(16, 16)).to(device)
        with precision(dtype, device):
            out = layers(torch.ones(4, 16, device=device))
        out.float().square().sum().backward()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever torch says, in whatever class, is the reason
        return first_line(error)
    if out.dtype != getattr(torch, dtype):
        return f"a product in {out.dtype}"
    finite = all(
        each.grad is not None and bool(each.grad.isfinite().all()) for each in layers.parameters()
    )
    return None if finite else "gradients that are not finite"
