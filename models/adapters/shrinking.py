"""Smaller examples of texts and pictures, for the lever ``input``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from models.batches import Batch, map_tensors, tensors_of

Shrink = Callable[[Batch, float], Batch]
SHORTEST = 2
"""Tokens: of one there is nothing to predict."""
SMALLEST = 4
"""Pixels of a picture's edge."""


def shorter(batch: Batch, share: float) -> Batch:
    """The beginning of every text: ``share`` of its tokens.

    Every tensor (rows, tokens, ...) is cut, with tokens counted on ``input_ids`` or else on the
    first tensor of two dimensions; others stay.
    """
    length = _tokens(batch)
    kept = min(length, max(SHORTEST, round(share * length)))

    def cut(tensor: Tensor) -> Tensor:
        has_tokens = tensor.dim() > 1 and tensor.shape[1] == length
        return tensor[:, :kept].contiguous() if has_tokens else tensor  # models view() labels flat

    return batch if kept == length else map_tensors(batch, cut)


def smaller(batch: Batch, share: float) -> Batch:
    """Pictures shrunk to ``share`` of their edges, in whole pixels, by averaging.

    Every floating tensor (rows, channels, height, width) is taken for pictures.
    """

    def resized(tensor: Tensor) -> Tensor:
        if not _is_picture(tensor):
            return tensor
        edges = [min(edge, max(SMALLEST, round(share * edge))) for edge in tensor.shape[-2:]]
        if edges == list(tensor.shape[-2:]):
            return tensor
        return functional.interpolate(tensor, edges, mode="bilinear", antialias=True)

    return map_tensors(batch, resized)


def shrink_for(batch: Batch) -> Shrink | None:
    """What makes such batches smaller: texts, pictures, or nothing known."""
    if any(map(_is_picture, tensors_of(batch))):
        return smaller
    words = batch.get("input_ids") if isinstance(batch, Mapping) else batch
    return shorter if _is_text(words) else None


def _is_picture(tensor: Tensor) -> bool:
    return tensor.dim() == 4 and tensor.is_floating_point()


def _is_text(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() == 2 and value.dtype == torch.int64


def _tokens(batch: Batch) -> int:
    own = batch.get("input_ids") if isinstance(batch, Mapping) else None
    texts = [own] if own is not None else [t for t in tensors_of(batch) if t.dim() > 1]
    if not texts:
        raise ValueError(
            "a batch of texts must hold a tensor (rows, tokens), but this one does not"
        )
    return int(texts[0].shape[1])
