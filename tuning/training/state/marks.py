"""Marks of values, equal as long as the values are: how what changed is told from what did not."""

from __future__ import annotations

import io
import pickle
import types
import warnings
import zlib
from collections.abc import Mapping
from typing import Any

import torch

from models.batches import plain_parts

HASHED = 2**22
"""The most elements of a tensor whose content is hashed; for a larger one its version tells whether
it changed.
"""
MOST_BYTES = 2**20
"""The most bytes of a value that is written out to be compared."""
DEEPEST = 4


def mark_of(encoded: Any) -> Any:
    """The mark of a value that a checkpoint may hold."""
    if isinstance(encoded, torch.Tensor):
        return _mark_of_tensor(encoded)
    if isinstance(encoded, Mapping):
        return tuple((mark_of(key), mark_of(value)) for key, value in encoded.items())
    if isinstance(encoded, (list, tuple)) and not isinstance(encoded, torch.Size):
        return (type(encoded), *map(mark_of, encoded))
    return (type(encoded), encoded)


def mark_of_other(value: Any, depth: int = DEEPEST) -> Any:
    """The mark of a value that no checkpoint holds: a digest of what it pickles to, or else its
    identity and position.
    """
    if isinstance(value, types.GeneratorType):
        return _Same(value, _frame(value, depth))
    written = _written(value)
    return _Same(value, _position(value)) if written is None else (type(value), written)


class _Same:
    """A mark that is equal for the same object at the same position. It holds on to the object, so
    that no other one can take its address.
    """

    def __init__(self, value: Any, position: Any) -> None:
        self.value, self.position = value, position

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Same):
            return NotImplemented
        return other.value is self.value and other.position == self.position

    __hash__ = None  # type: ignore[assignment]


def _frame(generator: Any, depth: int) -> Any:
    """Where a generator function stands, and marks of its local variables."""
    frame = generator.gi_frame
    if frame is None:
        return None
    held = frame.f_locals.items() if depth else ()
    return frame.f_lasti, {name: mark_of_other(value, depth - 1) for name, value in held}


class _Bounded(io.RawIOBase):
    """A stream that takes a digest of what is written, and raises OverflowError if that is too
    much.
    """

    def __init__(self) -> None:
        self.length, self.digest = 0, 0

    def write(self, data: Any) -> int:
        self.length += len(data)
        if self.length > MOST_BYTES:
            raise OverflowError
        self.digest = zlib.crc32(data, self.digest)
        return len(data)


def _written(value: Any) -> int | None:
    """A digest of the value as ``pickle`` writes it, None where it does not; nothing is ever read
    that way.
    """
    to = _Bounded()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pickle.Pickler(to).dump(value)
    except Exception:
        return None
    return to.digest


def _position(value: Any) -> Any:
    hint = getattr(type(value), "__length_hint__", None)
    return hint(value) if hint is not None else None


def _mark_of_tensor(tensor: torch.Tensor) -> Any:
    if len(parts := plain_parts(tensor)) != 1:
        return (str(tensor.layout), *map(_mark_of_tensor, parts))
    about = (tuple(tensor.shape), str(tensor.dtype))
    if tensor.layout is not torch.strided or tensor.numel() > HASHED:
        return (*about, tensor.data_ptr() if tensor.layout is torch.strided else 0, tensor._version)
    raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return (*about, zlib.crc32(raw.tobytes()))
