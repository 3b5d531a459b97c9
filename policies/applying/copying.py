"""An updater that travels: pickled or deep-copied together with its model and optimizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Never

from torch import nn


@dataclass(frozen=True)
class Made:
    """What an updater was made with.

    Attributes:
        arguments: of its constructor, in order.
        options: those given by name.
        trained: the model's parameters that it found to be trained.
    """

    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    trained: tuple[nn.Parameter, ...]


class Travelling(ABC):
    """An object that is copied by making it anew from its arguments and restoring its state.

    Hooks and addresses, of which an updater is full, belong to one process and one model.
    """

    @abstractmethod
    def _made(self) -> Made:
        """What it was made with.

        Raises:
            RuntimeError: it cannot be copied now.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Where it stands."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""

    def __getstate__(self) -> dict[str, Any]:
        """For ``pickle`` and ``copy.deepcopy``: model and optimizer go along.

        Raises:
            RuntimeError: inside a step, or between the micro-steps of one.
        """
        return {"made": self._made(), "state": self.state_dict()}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """An updater of the copied model and optimizer, where the original was."""
        made: Made = state["made"]
        for parameter in made.trained:  # some are frozen at this step alone
            parameter.requires_grad_(True)
        type(self).__init__(self, *made.arguments, **made.options)
        self.load_state_dict(state["state"])

    def __copy__(self) -> Never:
        """Refused: two updaters would freeze one model.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            "a model must have one updater, so it cannot be copied alone: "
            "copy.deepcopy((model, optimizer, updater)) copies them together"
        )
