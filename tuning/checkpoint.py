"""Checkpoints of trials in flight: tensors and plain values, loaded with ``weights_only=True``, never pickle."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from tuning.files import FILES, Files


def save_checkpoint(path: Path, state: dict[str, Any], files: Files = FILES) -> int:
    """Write ``state`` to ``path``; a reader, or a crash, sees the old file or the new one. Returns bytes written."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getvalue()
    files.write_atomic(path, data)
    return len(data)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state saved at ``path``; None when there is none or it cannot be read, in which case the trial restarts."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except Exception:
        return None
    return state if isinstance(state, dict) else None
