"""Weights that are trained once and then kept in a cache directory, under a name that says what
they came from.

The directory is ``$TTQ_CACHE``, else ``$XDG_CACHE_HOME/time-to-quality``, else
``~/.cache/time-to-quality``. A file is renamed into place when it is whole, and whoever makes it
makes the same, so several processes may do so at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

Weights = dict[str, Tensor]
CACHE_VARIABLE = "TTQ_CACHE"
FOLDER = "time-to-quality"
FINGERPRINT_DIGITS = 16


def cache_directory() -> Path:
    """Where weights are kept.

    Raises:
        ValueError: it cannot be made or written there; the message says what to set.
    """
    own = os.environ.get(CACHE_VARIABLE)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    directory = (Path(own) if own else Path(base) / FOLDER).expanduser().absolute()
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        raise ValueError(
            "the cache of pretrained weights must be a directory that can be written, but got "
            f"{directory}, where "
            f"{existing} cannot be; set {CACHE_VARIABLE} to one that can"
        )
    return directory


def fingerprint_of(parts: Mapping[str, object]) -> str:
    """A hash over named values, the same in every process."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:FINGERPRINT_DIGITS]


def load_or_make(path: Path, make: Callable[[], Weights]) -> Weights:
    """The weights kept at ``path``, or those that ``make`` returns, which are then kept there.

    A file that does not hold weights (a disk that was full, say) is made anew.

    Raises:
        OSError: it cannot be read or written.
    """
    weights = _load(path)
    if weights is None:
        weights = make()
        _keep(path, weights)
    return weights


def _load(path: Path) -> Weights | None:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, EOFError, RuntimeError, pickle.UnpicklingError):
        return None
    sound = isinstance(loaded, dict) and all(isinstance(value, Tensor) for value in loaded.values())
    return loaded if sound else None


def _keep(path: Path, weights: Weights) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            torch.save(weights, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
