"""A user's file is imported and called without the process becoming another one by it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import torch


@contextlib.contextmanager
def process_kept(name: str) -> Iterator[None]:
    """Restore the current directory and whether gradients are made when the context ends.

    So relative paths, the run's too, mean what they meant to whoever gave them.

    Args:
        name: of the workload, for a message.

    Raises:
        ValueError: new tensors are made on another device now, also those that are not the user's.
    """
    folder, gradients, device = Path.cwd(), torch.is_grad_enabled(), torch.get_default_device()
    try:
        yield
    finally:
        os.chdir(folder)
        torch.set_grad_enabled(gradients)
        now = torch.get_default_device()
        if now != device:
            # None takes the mode away that sets it: even for the CPU one slows every call down, and
            # the compiler does not see through it.
            torch.set_default_device(None if device.type == "cpu" else device)
    if now != device:
        raise ValueError(
            f"workload {name!r} must leave new tensors on {device}, but it sets their device to "
            f"{now}: leave out torch.set_default_device, the loop moves model and batches"
        )
