"""The tiny workload with a fuse: the process dies at a training step chosen from outside."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from models.workload import Workload
from tests.support import tiny

NAME = "tests.support.fuse:fused"
_left: int | None = None


def fused() -> Workload:
    """``tiny``, whose training steps burn the fuse."""
    return dataclasses.replace(tiny.tiny(), loss=_loss)


def fused_again() -> Workload:
    """``tiny.again``, whose training steps burn the fuse: all levers go."""
    return dataclasses.replace(tiny.again(), loss=_loss)


def _loss(model: nn.Module, batch: tiny.Pair) -> torch.Tensor:
    if torch.is_grad_enabled():  # not where one only looks
        _burn()
    return tiny.loss(model, batch)


def _burn() -> None:
    global _left
    if _left is not None:
        _left -= 1
        if _left < 0:
            raise KeyboardInterrupt  # which, like a kill, no part of a search catches


@contextmanager
def burning_after(steps: int) -> Iterator[None]:
    """Within, the process dies at the ``steps``-th training step from now.

    The death is noticed here.
    """
    global _left
    _left = steps
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        _left = None
