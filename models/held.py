"""What a model's modules and its optimizer hold beside parameters and plain values, in words.

An object with options, a tensor, a buffer, what a hook closes over, the numbers by which an
optimizer sets its own rates: read from a file where they were made, they are in no source, and may
show in no loss before they matter late in a training.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from models.settings import OF_ANY_MODULE, is_setting, settings_of, short, told
from models.several import SeveralOptimizers
from models.source.users import is_users

_OPTIMIZERS = frozenset({"state", "param_groups", "defaults"})
_HOOKS = (
    "_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks",
    "_optimizer_step_pre_hooks", "_optimizer_step_post_hooks",
)  # fmt: skip


def held_by(model: nn.Module, optimizer: Optimizer) -> dict[str, str]:
    """What model and optimizer hold, by name.

    Args:
        model: as it was made; nothing has run it.
        optimizer: likewise.
    """
    held = list(_held(model, optimizer))
    functions = [value for _, value in held if callable(value)]
    words = {name: told(value) for name, value in held if not callable(value)}
    # Of what is no more than its kind nothing is known.
    plain = {n: short(words[n]) for n, v in held if n in words and words[n] != type(v).__name__}
    return {**settings_of(functions), **plain}


def _held(model: nn.Module, optimizer: Optimizer) -> Iterator[tuple[str, Any]]:
    seen: set[int] = set()
    for name, module in model.named_modules():
        own = {n: each for n, each in vars(module).items() if n not in OF_ANY_MODULE}
        if is_users(type(module)):  # a library's follow from what they say of themselves
            own |= {n: each for n, each in module._buffers.items() if each is not None}
        for key, each in own.items():
            if not _is_modules(each) and (callable(each) or not is_setting(each)):
                yield f"{name}.{key}".lstrip("."), each
        yield from _hooks(name, module)
        for parameter in module._parameters.values():
            if parameter is not None and id(parameter) not in seen:
                seen.add(id(parameter))
                yield from _hooks(name, parameter)
    several = optimizer.optimizers if isinstance(optimizer, SeveralOptimizers) else [optimizer]
    for each in several:
        for key, value in vars(each).items():
            if key not in _OPTIMIZERS and is_users(type(each)) and not _is_tables(key):
                yield f"optimizer's {key}", value
        yield from _hooks("optimizer", each)


def _hooks(name: str, holder: nn.Module | Tensor | Optimizer) -> Iterator[tuple[str, Any]]:
    for table in _HOOKS:
        for hook in (getattr(holder, table, None) or {}).values():
            if is_users(hook):
                yield name, hook


def _is_modules(value: Any) -> bool:
    """Whether a value is a module or a parameter.

    A module that is not registered would by itself be told a second time, with its weights.
    """
    return isinstance(value, (nn.Module, nn.Parameter))


def _is_tables(key: str) -> bool:
    """Whether an attribute is one of an optimizer's own tables of hooks."""
    return key.startswith(("_optimizer_", "_zero_grad_", "_patched"))
