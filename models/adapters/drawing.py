"""Code that draws from the process's generators, made a function of numbers."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch

State = tuple[object, object, object]


@contextlib.contextmanager
def drawing_from(*numbers: int) -> Iterator[None]:
    """Numbers drawn inside, from torch on the CPU, NumPy or Python, depend on ``numbers`` alone.

    Outside, the generators go on as if nothing had been drawn.
    """
    before = _state()
    begin(*numbers)
    try:
        yield
    finally:
        _set(before)


class Generators:
    """Generators of one's own, for code that draws a little at a time.

    Args:
        numbers: what all that is drawn depends on.
    """

    def __init__(self, *numbers: int) -> None:
        with drawing_from(*numbers):
            self._state = _state()

    @contextlib.contextmanager
    def drawing(self) -> Iterator[None]:
        """Draw on inside from where the last block ended."""
        before = _state()
        _set(self._state)
        try:
            yield
        finally:
            self._state = _state()
            _set(before)


def begin(*numbers: int) -> None:
    """Seed the process's generators from numbers that are not negative."""
    torch_seed, numpy_seed, seed = np.random.SeedSequence(numbers).generate_state(3).tolist()
    torch.default_generator.manual_seed(torch_seed)  # the CPU's: batches are made there
    np.random.seed(numpy_seed)
    random.seed(seed)


def _state() -> State:
    return torch.get_rng_state(), np.random.get_state(), random.getstate()


def _set(state: State) -> None:
    of_torch, of_numpy, of_python = state
    torch.set_rng_state(of_torch)  # type: ignore[arg-type]
    np.random.set_state(of_numpy)  # type: ignore[arg-type]
    random.setstate(of_python)  # type: ignore[arg-type]
