"""How a part of a model rests while it is frozen: no gradients, and evaluation mode come what may.

All of it is on the model for one step only, and none of it goes along where the model is copied or
saved meanwhile: a copy made inside a step has the modes that the model has outside.
"""

from __future__ import annotations

import contextlib
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.jit._script import RecursiveScriptModule
from torch.utils.checkpoint import CheckpointFunction

_REDUCE = "__reduce_ex__"
"""What ``copy`` and ``pickle`` ask of an object, and of a module's own attributes before its class.
"""


def drop_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Leave the optimizer nothing to move the parameters by; a gradient of zeros would still decay
    them.
    """
    for parameter in parameters:
        parameter.grad = None


class Sleep:
    """Puts modules into evaluation mode and remembers which to wake.

    The flag is set, not ``train()`` called: adapters merge their weights there. PyTorch's fused
    inference path is off meanwhile: it would hand nested tensors from a frozen
    ``TransformerEncoderLayer`` to a training one.
    """

    def __init__(self) -> None:
        self._asleep: dict[int, nn.Module] = {}
        self._guises: dict[
            int, _Outside
        ] = {}  # kept, for making them takes longer than all the rest

    def lay(self, modules: Iterable[nn.Module]) -> None:
        """Evaluation mode until the step ends, also where the loop has called ``train()`` since."""
        for module in modules:
            if module.training:
                key = id(module)
                self._asleep[key] = module
                if key not in self._guises:
                    self._guises[key] = _Outside(module, training=True)
                _set_training(module, False)
                module.__dict__[_REDUCE] = self._guises[key]

    def wake(self, module: nn.Module) -> None:
        """Training mode again for a module that turned out not to be frozen."""
        if self._asleep.pop(id(module), None) is not None:
            _set_training(module, True)
            module.__dict__[_REDUCE] = _Outside(module, training=False)

    @contextlib.contextmanager
    def step(self, *, fused: bool) -> Iterator[None]:
        """One step: wake all that was laid when it is over.

        Args:
            fused: whether the fused inference path may be taken, nothing being frozen.
        """
        before = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(before and fused)
        try:
            yield
        finally:
            for module in self._asleep.values():
                module.__dict__.pop(_REDUCE, None)
                _set_training(module, True)
            self._asleep.clear()
            torch.backends.mha.set_fastpath_enabled(before)


class Passing:
    """A hook that lives for one step; there is nothing for it to see in a compiled graph.

    Args:
        call: takes what the hook is given; what it returns is dropped.
    """

    def __init__(self, call: Callable[..., None]) -> None:
        self._call = call

    def __call__(self, *given: Any) -> None:
        """Called by the module."""
        if not torch.compiler.is_compiling():
            self._call(*given)


@contextlib.contextmanager
def passing(
    before: Sequence[tuple[nn.Module, Passing]], after: Sequence[tuple[nn.Module, Passing]] = ()
) -> Iterator[None]:
    """Hooks before and after the forward of modules, while the context lasts.

    A module that ``torch.jit.script`` compiled takes none, and gets none.
    """
    before = [pair for pair in before if takes_hooks(pair[0])]
    handles = [module.register_forward_pre_hook(hook) for module, hook in before]
    handles += [m.register_forward_hook(hook, always_call=True) for m, hook in after]
    modules = [module for module, _ in (*before, *after)]
    for module in modules:
        module.__dict__.setdefault(_REDUCE, _Outside(module, training=False))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module in modules:
            module.__dict__.pop(_REDUCE, None)


def takes_hooks(module: nn.Module) -> bool:
    """Whether hooks may be registered with it."""
    return not isinstance(module, RecursiveScriptModule)


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
        for hooks in ("_forward_pre_hooks", "_forward_hooks"):
            state[hooks] = _lasting(state.get(hooks, {}))
        state["training"] = self.training or self.module.training
        return (*made[:2], state, *made[3:])


def _lasting(hooks: Mapping[int, Any]) -> OrderedDict[int, Any]:
    return OrderedDict((key, hook) for key, hook in hooks.items() if not isinstance(hook, Passing))


def _set_training(module: nn.Module, mode: bool) -> None:
    """Set the flag as ``nn.Module`` does, without its search for parameters: ten times cheaper,
    every step.
    """
    plain = type(module).__setattr__ is nn.Module.__setattr__
    (object.__setattr__ if plain else setattr)(module, "training", mode)


def in_reentrant_checkpoint() -> bool:
    """Whether the caller runs inside a reentrant checkpoint, whose forward records no graph."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code is not CheckpointFunction.forward.__code__:
        frame = frame.f_back
    return frame is not None
