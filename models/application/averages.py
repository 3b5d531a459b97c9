"""Averages late weights, and puts the average in the model's place while it is evaluated.

Parameters are averaged, in float32 at least; buffers are not: what BatchNorm has gathered, say, is
the trained model's then as before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Average:
    """The average of one model's weights over a run.

    Args:
        model: whose parameters are averaged.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._mean: list[Tensor] = []

    @torch.no_grad()
    def take(self, weight: float) -> None:
        """Move the average by ``weight`` of the way to the weights there are now; 1 begins it.

        Raises:
            RuntimeError: the model has other parameters than when it was begun.
        """
        if weight == 1:
            self._mean = [_precise(parameter.detach()) for parameter in self._model.parameters()]
            return
        values = [parameter.detach() for parameter in self._parameters()]
        torch._foreach_lerp_(
            self._mean, [v.to(m.dtype) for v, m in zip(values, self._mean, strict=True)], weight
        )

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the average's weights inside, and its own to the bit afterwards."""
        parameters = self._parameters()
        with torch.no_grad():
            kept = [parameter.clone() for parameter in parameters]
            _copy(parameters, self._mean)
        try:
            yield
        finally:
            with torch.no_grad():
                _copy(parameters, kept)

    @torch.no_grad()
    def put(self) -> None:
        """The model has the average's weights from now on."""
        _copy(self._parameters(), self._mean)

    def _parameters(self) -> list[nn.Parameter]:
        found = list(self._model.parameters())
        if len(found) != len(self._mean):
            raise RuntimeError(
                f"the model must keep its {len(self._mean)} parameters while they are averaged, "
                f"but has {len(found)}: change it before the recipe is applied"
            )
        return found

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: tensors."""
        return {"mean": list(self._mean)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where ``state`` was taken."""
        device = next(self._model.parameters()).device
        self._mean = [value.to(device, copy=True) for value in state["mean"]]


def _precise(value: Tensor) -> Tensor:
    return value.to(torch.promote_types(value.dtype, torch.float32), copy=True)


def _copy(into: list[nn.Parameter], values: list[Tensor]) -> None:
    for parameter, value in zip(into, values, strict=True):
        parameter.copy_(value)
