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

from models.levers.averaging import EMA, Averaging


class Average:
    """The average of one model's weights over a run.

    Args:
        model: whose parameters are averaged.
        lever: which average.
    """

    def __init__(self, model: nn.Module, lever: Averaging) -> None:
        self._model, self._lever = model, lever
        self._mean: list[Tensor] = []
        self._taken = 0
        self._fraction = 0.0

    @torch.no_grad()
    def update(self, fraction: float) -> None:
        """Take in the weights after a step, ``fraction`` of the horizon being spent."""
        if not self._lever.on or fraction < self._lever.start:
            return
        if self._lever.averaging == EMA:
            self._towards(self._lever.weight(self._fraction, fraction) if self._taken else 1.0)
            self._taken += 1
        elif self._lever.snapshots(fraction) > self._snapshots_passed():
            self._taken += 1
            self._towards(1 / self._taken)
        self._fraction = fraction

    def _snapshots_passed(self) -> int:
        return self._lever.snapshots(self._fraction) if self._taken else 0

    def _towards(self, weight: float) -> None:
        """Move the mean by ``weight`` of the way to the weights there are now."""
        values = [parameter.detach() for parameter in self._model.parameters()]
        if not self._mean:
            self._mean = [_precise(value) for value in values]
            return
        torch._foreach_lerp_(
            self._mean, [v.to(m.dtype) for v, m in zip(values, self._mean, strict=True)], weight
        )

    def restart(self) -> None:
        """Forget what was averaged: the model has other parameters from here on."""
        self._mean, self._taken = [], 0

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the average's weights inside, and its own to the bit afterwards."""
        if not self._mean:
            yield
            return
        parameters = list(self._model.parameters())
        with torch.no_grad():
            kept = [parameter.clone() for parameter in parameters]
            _copy(parameters, self._mean)
        try:
            yield
        finally:
            with torch.no_grad():
                _copy(parameters, kept)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: tensors and numbers."""
        return {"mean": list(self._mean), "taken": self._taken, "fraction": self._fraction}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where ``state`` was taken."""
        device = next(self._model.parameters()).device
        self._mean = [value.to(device, copy=True) for value in state["mean"]]
        self._taken, self._fraction = state["taken"], state["fraction"]


def _precise(value: Tensor) -> Tensor:
    return value.to(torch.promote_types(value.dtype, torch.float32), copy=True)


def _copy(into: list[nn.Parameter], values: list[Tensor]) -> None:
    for parameter, value in zip(into, values, strict=True):
        parameter.copy_(value)
