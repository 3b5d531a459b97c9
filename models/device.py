"""Which devices torch can train on."""

from __future__ import annotations

import torch


def count_gpus() -> int:
    """GPUs that this process may use; 0 where torch was built without support for them."""
    return torch.cuda.device_count()
