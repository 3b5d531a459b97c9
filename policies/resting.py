"""How a part of a model rests while it is frozen: no gradients, and evaluation mode whatever the loop says.

All of it is on the model for one step only, and none of it goes along where the model is copied or
saved meanwhile: a copy made inside a step has the modes that the model has outside.
"""

from __future__ import annotations

import contextlib
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import CheckpointFunction

from policies.wiring import Part

_REDUCE = "__reduce_ex__"
"""What ``copy`` and ``pickle`` ask of an object, and of a module's own attributes before its class."""


def drop_gradients(parts: Iterable[Part]) -> None:
    """Leave the optimizer nothing to move the parameters by; a gradient of zeros would still decay them."""
    for part in parts:
        for parameter in part.parameters:
            parameter.grad = None


class Sleep:
    """Puts modules into evaluation mode and remembers which to wake.

    The flag is set, not ``train()`` called: adapters merge their weights there. PyTorch's fused inference
    path is off meanwhile: it would hand nested tensors from a frozen ``TransformerEncoderLayer`` to a
    training one.
    """

    def __init__(self) -> None:
        self._asleep: dict[int, nn.Module] = {}
        self._gates: list[nn.Module] = []

    def lay(self, modules: Iterable[nn.Module]) -> None:
        """Evaluation mode until the step ends, also where the loop has called ``train()`` since."""
        for module in modules:
            if module.training:
                self._asleep[id(module)] = module
                _set_training(module, False)
                module.__dict__[_REDUCE] = _Outside(module, training=True)

    def wake(self, module: nn.Module) -> None:
        """Training mode again for a module that turned out not to be frozen."""
        if self._asleep.pop(id(module), None) is not None:
            _set_training(module, True)
            module.__dict__.pop(_REDUCE, None)

    @contextlib.contextmanager
    def step(self, gates: Mapping[nn.Module, Callable[[], None]], *, fused: bool) -> Iterator[None]:
        """One step: call each gate before its module runs, and wake all that was laid when it is over.

        Args:
            gates: what to call, by module.
            fused: whether the fused inference path may be taken, nothing being frozen.
        """
        before = torch.backends.mha.get_fastpath_enabled()
        handles = [module.register_forward_pre_hook(Gate(enter)) for module, enter in gates.items()]
        for module in gates:
            module.__dict__.setdefault(_REDUCE, _Outside(module, training=False))
        torch.backends.mha.set_fastpath_enabled(before and fused)
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            for module in (*gates, *self._asleep.values()):
                module.__dict__.pop(_REDUCE, None)
            for module in self._asleep.values():
                _set_training(module, True)
            self._asleep.clear()
            torch.backends.mha.set_fastpath_enabled(before)


class Gate:
    """A forward pre-hook that lives for one step; there is nothing to see for it in a compiled graph."""

    def __init__(self, enter: Callable[[], None]) -> None:
        self._enter = enter

    def __call__(self, module: nn.Module, args: Any) -> None:
        """Let the module in."""
        if not torch.compiler.is_compiling():
            self._enter()


@dataclass(frozen=True)
class _Outside:
    """How a module is copied and pickled inside a step: as it is outside.

    Attributes:
        training: whether it is asleep, and in training mode outside.
    """

    module: nn.Module
    training: bool

    def __call__(self, protocol: Any) -> Any:
        made = type(self.module).__reduce_ex__(self.module, protocol)
        if not isinstance(made, tuple) or len(made) < 3 or not isinstance(made[2], dict):
            return made
        state = {key: value for key, value in made[2].items() if key != _REDUCE}
        hooks = state.get("_forward_pre_hooks", {})
        kept = OrderedDict((key, hook) for key, hook in hooks.items() if not isinstance(hook, Gate))
        state.update(training=self.training or self.module.training, _forward_pre_hooks=kept)
        return (*made[:2], state, *made[3:])


def _set_training(module: nn.Module, mode: bool) -> None:
    """Set the flag as ``nn.Module`` does, without its search for parameters: ten times cheaper, every step."""
    plain = type(module).__setattr__ is nn.Module.__setattr__
    (object.__setattr__ if plain else setattr)(module, "training", mode)


def in_reentrant_checkpoint() -> bool:
    """Whether the caller runs inside the forward of a reentrant checkpoint, which records no graph."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code is not CheckpointFunction.forward.__code__:
        frame = frame.f_back
    return frame is not None
