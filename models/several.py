"""Several optimizers as one, where a workload trains parts of its model by different ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer


class SeveralOptimizers(Optimizer):
    """Steps each of its optimizers in turn; their groups and states are its own.

    Args:
        optimizers: each with parameters of its own.
        names: what each is called in ``state_dict``; their places by default.

    Raises:
        ValueError: there is none, or a parameter is in two of them.
    """

    def __init__(self, optimizers: Sequence[Optimizer], names: Sequence[str] | None = None) -> None:
        if not optimizers:
            raise ValueError("there must be at least one optimizer, but got none")
        self.optimizers = tuple(optimizers)
        self._names = tuple(names or map(str, range(len(self.optimizers))))
        held = [id(p) for each in self.optimizers for g in each.param_groups for p in g["params"]]
        if len(held) != len(set(held)):
            raise ValueError(
                "a parameter must be stepped by one optimizer, but two of those that were "
                f"returned hold the same: {', '.join(type(o).__name__ for o in self.optimizers)}"
            )
        self.state = _States(self.optimizers)  # type: ignore[assignment]
        self.defaults: dict[str, Any] = {}

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The groups of all, in order; changing one changes its optimizer's."""
        return [group for each in self.optimizers for group in each.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Step each in turn; the loss is the last one's that has one."""
        losses = [
            each.step() if closure is None else each.step(closure) for each in self.optimizers
        ]
        return next((loss for loss in reversed(losses) if loss is not None), None)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all."""
        for each in self.optimizers:
            each.zero_grad(set_to_none=set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The states of all, by name."""
        pairs = zip(self._names, self.optimizers, strict=True)
        return {name: each.state_dict() for name, each in pairs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Give each its own."""
        for name, each in zip(self._names, self.optimizers, strict=True):
            each.load_state_dict(state_dict[name])


class _States(MutableMapping[torch.Tensor, Any]):
    """The state of each parameter, in whichever optimizer holds it."""

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self._optimizers = optimizers

    def _of(self, parameter: torch.Tensor) -> MutableMapping[torch.Tensor, Any]:
        for each in self._optimizers:
            if any(parameter is held for group in each.param_groups for held in group["params"]):
                return each.state
        raise KeyError(parameter)

    def __getitem__(self, parameter: torch.Tensor) -> Any:
        return self._of(parameter)[parameter]

    def __setitem__(self, parameter: torch.Tensor, state: Any) -> None:
        self._of(parameter)[parameter] = state

    def __delitem__(self, parameter: torch.Tensor) -> None:
        del self._of(parameter)[parameter]

    def __iter__(self) -> Iterator[torch.Tensor]:
        return itertools.chain.from_iterable(each.state for each in self._optimizers)

    def __len__(self) -> int:
        return sum(len(each.state) for each in self._optimizers)

    def __contains__(self, parameter: object) -> bool:
        return any(parameter in each.state for each in self._optimizers)


def as_one(found: Any) -> Any:
    """What ``make_optimizer`` returned; several optimizers in a list, tuple or dict become one."""
    if isinstance(found, Mapping) and found and all(map(is_optimizer, found.values())):
        return SeveralOptimizers(tuple(found.values()), tuple(map(str, found)))
    if isinstance(found, (list, tuple)) and found and all(map(is_optimizer, found)):
        return SeveralOptimizers(found) if len(found) > 1 else found[0]
    return found


NEEDED = ("param_groups", "step", "zero_grad", "state_dict", "load_state_dict")
"""What the training loop asks of an optimizer."""


def is_optimizer(value: Any) -> bool:
    """Whether the value can be used as an optimizer, whatever its class is."""
    return not isinstance(value, type) and all(hasattr(value, name) for name in NEEDED)
