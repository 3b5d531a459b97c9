"""Checkpoints of trials in flight: tensors and plain values, loaded with ``weights_only=True``,
never pickle.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from tuning.errors import SearchFailed
from tuning.store.files import FILES, Files


def save_checkpoint(path: Path, state: dict[str, Any], files: Files = FILES) -> int:
    """Write ``state`` to ``path`` atomically, and return the number of bytes written.

    Raises:
        SearchFailed: the file system refuses, which is no fault of the trial.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getvalue()
    try:
        files.write_atomic(path, data)
    except OSError as error:
        raise SearchFailed(
            f"a checkpoint could not be written to {path.parent}: {error.strerror}; everything "
            "recorded before is "
            "kept. Make room or restore access, then resume the search"
        ) from error
    return len(data)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state saved at ``path``; None where there is none or it cannot be read, in which case the
    trial begins anew.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        return None
    return state if isinstance(state, dict) else None
