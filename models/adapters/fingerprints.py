"""A mark of data, which changes when they do."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from models.adapters.drawing import drawing_from
from models.batches import Batch, tensors_of

LOOKED_AT = 64
"""Examples of a data set that are looked at, spread evenly over it."""


def fingerprint_of(*parts: Any) -> str:
    """A fingerprint of data: of tensors every byte; of Hugging Face data sets their own
    fingerprint; of other data sets their length and some of their examples; of all else its
    representation.
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        _enter(digest, part)
    return digest.hexdigest()


def _enter(digest: Any, part: Any) -> None:
    tensors = getattr(part, "tensors", None)
    own = getattr(part, "_fingerprint", None)
    if isinstance(own, str):
        digest.update(own.encode())
    elif isinstance(tensors, tuple):
        _enter_batch(digest, tensors)
    elif hasattr(part, "__getitem__") and hasattr(part, "__len__") and not _is_plain(part):
        count = len(part)
        digest.update(str(count).encode())
        with drawing_from(0):
            for index in sorted(
                {i * count // LOOKED_AT for i in range(LOOKED_AT)} if count else ()
            ):
                _enter_batch(digest, part[index])
    else:
        digest.update(repr(part).encode() if _is_plain(part) else type(part).__name__.encode())


def _is_plain(part: Any) -> bool:
    if isinstance(part, tuple):
        return all(map(_is_plain, part))
    return part is None or isinstance(part, (bool, int, float, str))


def _enter_batch(digest: Any, batch: Batch) -> None:
    found = tensors_of(batch)
    for tensor in found:
        digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(_bytes(tensor))
    if not found:
        digest.update(repr(batch).encode())


def _bytes(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()
