"""What came into frozen blocks after the updater was made: parameters, which nobody would hold, and
modules.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from torch import nn


class Strangers:
    """Looks for parameters that are trained in blocks which are frozen.

    What was there when the updater was made is known. What was put in its place since (another
    vocabulary, adapters), or was thawed by the loop, is not: it has no part that could freeze.

    Args:
        optimizers: those that train; what none of them holds stays as it is.
    """

    def __init__(self, optimizers: Sequence[Any]) -> None:
        self._optimizers = optimizers
        self._known: Collection[int] = ()
        self._modules: list[tuple[str, nn.Module]] = []
        self._held: list[tuple[int, ...]] = []

    def watch(self, blocks: Iterable[tuple[str, nn.Module]], known: Collection[int]) -> None:
        """Look into ``blocks`` from now on, given by name.

        Args:
            blocks: those that are frozen.
            known: identities of all parameters that some part holds.
        """
        self._known = known
        self._modules = [
            (f"{name}.{inner}".strip("."), module)
            for name, block in blocks
            for inner, module in block.named_modules()
        ]
        self._held = self._holding()

    def other_modules(self) -> bool:
        """Whether a module came or went since, or a buffer: a first forward may make its own."""
        return self._held != self._holding()

    def _holding(self) -> list[tuple[int, ...]]:
        # A buffer is often made anew, and is then no other; a module that is, is.
        return [(len(m._buffers), *map(id, m._modules.values())) for _, m in self._modules]

    def found(self) -> str | None:
        """The name of a parameter that is trained in a frozen block; None where there is none."""
        for prefix, module in self._modules:
            for name, parameter in module._parameters.items():
                trained = parameter is not None and parameter.requires_grad
                if trained and id(parameter) not in self._known and self._is_stepped(parameter):
                    return f"{prefix}.{name}".strip(".")
        return None

    def _is_stepped(self, parameter: nn.Parameter | None) -> bool:
        groups = (group for each in self._optimizers for group in each.param_groups)
        return any(held is parameter for group in groups for held in group["params"])
