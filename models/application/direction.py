"""Which way the examples of a batch lie, found by trying.

A batch twice over has the loss that it has once, or twice that where losses are summed, if it is
put together along its examples. Sequences one after the other have another loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from models.application.batches import batch_size, cut, join
from models.batches import Batch, apart, map_tensors, tensors_of, to_device
from models.making import new_model
from models.workload import Workload

SEED = 0
TOLERANCE = 1e-5
"""How far a loss may be from another that is the same in exact arithmetic, relatively."""
NUDGE = 0.2
"""What is added to every parameter: where the head of a new model is zero, all is alike to it."""


def direction_fault(workload: Workload, device: torch.device) -> str | None:
    """Why a batch cannot be cut along the first dimension; None where it can, or nobody can tell.

    It cannot where that is not the way of its examples, and another one is. Losses that hang on
    chance tell nothing.
    """
    batch = workload.batch_at(SEED, 0)
    model = _nudged(new_model(workload, SEED, device)).eval()

    def loss(of: Batch) -> float:
        return float(workload.loss(model, to_device(apart(of), device)))

    def changed(change: Callable[[Batch], Batch]) -> float:
        try:
            return loss(change(batch))
        except Exception:  # whatever a user's model says of what it cannot take
            return math.nan

    own, joined = loss(batch), changed(lambda batch: join([batch, batch]))
    if _alike(joined, own) or loss(batch) != own or _alike(changed(_rolled), own):
        return None
    for way, twice in OTHER_WAYS.items():
        if _alike(changed(twice), own):
            return (
                f"the examples of a batch seem to lie {way}, not along the first dimension (of "
                f"{batch_size(batch)}): twice over that way a batch has the loss that it has once, "
                f"{own:.6g}, and along the first one "
                + ("it cannot be had" if math.isnan(joined) else f"{joined:.6g}")
                + "; give batches with the examples first, and turn them in loss()"
            )
    return None


def _rolled(batch: Batch) -> Batch:
    """The batch with its first example last: examples have no order, even where one loss is made of
    all of them together.
    """
    size = batch_size(batch)
    return join([cut(batch, 1, size, size), cut(batch, 0, 1, size)])


def _nudged(model: nn.Module) -> nn.Module:
    draws = torch.Generator().manual_seed(SEED)
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.add_(torch.randn(parameter.shape, generator=draws).to(parameter), alpha=NUDGE)
    return model


def _alike(loss: float, own: float) -> bool:
    """Whether ``loss`` is that of one batch, be it a mean or a sum."""
    return any(math.isclose(loss, whole, rel_tol=TOLERANCE) for whole in (own, 2 * own))


def _along_the_second(batch: Batch) -> Batch:
    """The batch twice over along its second dimension; rows of that length along their only one."""
    first = next(tensor for tensor in tensors_of(batch) if tensor.ndim > 1)
    size = first.shape[1]

    def twice(tensor: Tensor) -> Tensor:
        way = min(tensor.ndim, 2) - 1
        if tensor.ndim and tensor.shape[way] == size:
            return torch.cat([tensor, tensor], way)
        return tensor

    return map_tensors(batch, twice)


def _as_a_list(batch: Batch) -> Batch:
    """The batch as a list of examples, or as lists of their parts side by side, twice over."""
    if isinstance(batch, list):
        return [*batch, *batch]
    if isinstance(batch, Mapping):
        return {key: [*each, *each] for key, each in batch.items()}
    return tuple([*each, *each] for each in batch)


OTHER_WAYS: Mapping[str, Callable[[Batch], Batch]] = {
    "along the second dimension": _along_the_second,
    "in a list": _as_a_list,
}
