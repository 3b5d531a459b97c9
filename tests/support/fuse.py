"""The tiny workload with a fuse: the process dies at a training step chosen from outside."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

from models.workload import Workload
from tests.support import tiny

NAME = "tests.support.fuse:fused"
_left: int | None = None


def fused() -> Workload:
    """``tiny``, whose batches burn the fuse."""
    return dataclasses.replace(tiny.tiny(), batch_at=_batch_at)


def fused_again() -> Workload:
    """``tiny.again``, whose batches burn the fuse: all levers go."""
    return dataclasses.replace(tiny.again(), batch_at=_again_at)


def _again_at(seed: int, step: int) -> tiny.Pair:
    _burn()
    return tiny.again_at(seed, step)


def _batch_at(seed: int, step: int) -> tiny.Pair:
    _burn()
    return tiny.batch_at(seed, step)


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
