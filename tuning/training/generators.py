"""The process's own random generators: torch's, CUDA's, Python's and NumPy's, together.

A run seeds them all, keeps them in its snapshots, and leaves the process's as they were.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from tuning.training.state.encoding import decode, from_python_state, python_state

EVALUATION_SEED = 20_011
"""The seed that every evaluation begins from, so that what it draws is the same each time."""


def seed_all(seed: int) -> None:
    """Seed every generator of the process from one number."""
    if torch.accelerator.is_available():
        torch.manual_seed(seed)  # its generators too
    else:  # of each kind that is not there torch would write down a stack trace: milliseconds
        torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def generators_state(device: torch.device) -> dict[str, Any]:
    """Where the generators stand, as tensors and plain values."""
    cuda = device.type == "cuda"
    return {
        "rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state(device) if cuda else None,
        "python_rng": python_state(random.getstate()),
        "numpy_rng": np.random.get_state(legacy=False),
    }


def set_generators(state: Mapping[str, Any], device: torch.device) -> None:
    """Bring the generators to where ``generators_state`` was read."""
    torch.set_rng_state(state["rng"])
    if state["cuda_rng"] is not None:
        torch.cuda.set_rng_state(state["cuda_rng"], device)
    if "python_rng" in state:  # snapshots of older runs have none
        random.setstate(from_python_state(state["python_rng"]))
        np.random.set_state(decode(state["numpy_rng"]))


@contextlib.contextmanager
def generators_kept() -> Iterator[None]:
    """Within the block anything may be drawn or seeded; after it the generators go on as if nothing
    had been.
    """
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    before = generators_state(torch.device("cpu"))
    try:
        yield
    finally:
        set_generators(before, torch.device("cpu"))
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
