"""The optimizers that are meant by what a loop hands over: one, several in a container, some in a
wrapper.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

_DEPTH = 4
"""How deep containers within containers are searched."""

_MOST = 1000
"""Longer lists and tables hold data, not optimizers."""

_ITS_OWN = frozenset({"state", "param_groups", "defaults"})
"""Tables that every optimizer has."""

_WAYS_OUT = "pass the torch optimizers, in a list if there are several, or 'keep'"


def optimizers_in(given: Any) -> list[Any]:
    """Every optimizer in ``given``, once each: itself, in lists, mappings and wrappers.

    What holds its moments by parameter in ``state`` and has ``param_groups`` is an optimizer,
    whatever its class.
    """
    found: dict[int, Any] = {}
    _search(given, found, set(), _DEPTH)
    return list(found.values())


def _search(given: Any, found: dict[int, Any], seen: set[int], depth: int) -> None:
    if depth < 0 or id(given) in seen or isinstance(given, (str, bytes, Tensor, nn.Module, type)):
        return
    seen.add(id(given))
    if is_optimizer(given):
        found[id(given)] = given
    if is_torchs_own(given):
        return
    for inner in _held_by(given):
        _search(inner, found, seen, depth - 1)


def _held_by(given: Any) -> Iterable[Any]:
    if isinstance(given, (Mapping, list, tuple, set, frozenset, deque)):
        inside = given.values() if isinstance(given, Mapping) else given
        return inside if len(given) <= _MOST else ()
    own = vars(given) if hasattr(given, "__dict__") else {}
    if is_optimizer(given):  # of its own tables none holds another optimizer
        own = {key: value for key, value in own.items() if key not in _ITS_OWN}
    names = [name for kind in type(given).__mro__ for name in getattr(kind, "__slots__", ())]
    named = ("optimizer", "optimizers", *([names] if isinstance(names, str) else names))
    return [*own.values(), *(getattr(given, name, None) for name in named)]


def is_optimizer(given: Any) -> bool:
    """Whether ``given`` has what an optimizer has: moments by parameter, and groups."""
    return isinstance(getattr(given, "state", None), Mapping) and isinstance(
        getattr(given, "param_groups", None), list
    )


def is_torchs_own(given: Any) -> bool:
    """Whether ``given`` is one of ``torch.optim``, which leave alone what has no gradient."""
    return isinstance(given, Optimizer) and type(given).__module__.startswith("torch.optim")


def remembers(given: Any) -> bool:
    """Whether ``given`` moves parameters along directions that it remembers, gradients or not."""
    return isinstance(given, LBFGS)


def reset_faults(given: Any) -> list[str]:
    """Why the moments of single blocks cannot be reset in the optimizers of ``given``."""
    optimizers = optimizers_in(given)
    if not optimizers:
        return [
            "moments_on_thaw='reset' needs an optimizer whose state it can reset, but found none "
            f"in a {type(given).__name__}; {_WAYS_OUT}"
        ]
    return [
        f"moments_on_thaw='reset' needs the state of every optimizer, but a {kind} shows none; "
        f"{_WAYS_OUT}"
        for kind in _closed_in(given, set(), _DEPTH)
    ] + [
        "moments_on_thaw='reset' needs moments by parameter, but LBFGS has one state for all of "
        "them; use 'keep' or another optimizer"
        for optimizer in optimizers
        if isinstance(optimizer, LBFGS)
    ]


def _closed_in(given: Any, seen: set[int], depth: int) -> list[str]:
    """Classes of what steps as an optimizer does and in which none was found."""
    if depth < 0 or id(given) in seen or isinstance(given, (str, bytes, Tensor, nn.Module, type)):
        return []
    seen.add(id(given))
    if is_optimizer(given):
        return []
    inner = [kind for each in _held_by(given) for kind in _closed_in(each, seen, depth - 1)]
    steps = callable(getattr(given, "step", None)) and callable(getattr(given, "zero_grad", None))
    return inner or ([type(given).__name__] if steps and not optimizers_in(given) else [])


def refuse_moments_elsewhere(optimizers: Iterable[Any]) -> None:
    """Raise where an optimizer of one's own remembers more than ``state`` holds by parameter.

    Raises:
        RuntimeError: one keeps it in a table or list of its own, or as one for all parameters.
    """
    for optimizer in optimizers:
        if (place := _moments_elsewhere(optimizer)) is not None:
            raise RuntimeError(
                f"moments_on_thaw='reset' needs moments by parameter in state[parameter], but "
                f"{type(optimizer).__name__} keeps tensors in {place}; keep them there, or use "
                "'keep'"
            )


def _moments_elsewhere(optimizer: Any) -> str | None:
    for key, value in dict(optimizer.state).items():
        if not isinstance(key, Tensor) and _has_moments(value, 1):
            return f"state[{key!r}]"
    own = getattr(optimizer, "__dict__", {})
    names = (name for name in own if name not in _ITS_OWN)
    return next((name for name in names if _has_moments(own[name])), None)


def _has_moments(value: Any, depth: int = 2) -> bool:
    """Whether tensors that are no parameters are in a table or list."""
    if isinstance(value, Tensor):
        return depth < 2 and not isinstance(value, nn.Parameter)
    if depth < 0 or not isinstance(value, (Mapping, list, tuple)):
        return False
    inner = list(value.values()) if isinstance(value, Mapping) else list(value)
    return any(_has_moments(each, depth - 1) for each in inner)


def forget(optimizers: Iterable[Any], parameters: Iterable[nn.Parameter]) -> None:
    """Let the optimizers go on as if they had never stepped ``parameters``."""
    named = list(parameters)
    for optimizer in optimizers:
        for parameter in named:
            if optimizer.state.pop(parameter, None) is not None:
                _begin(optimizer, parameter)


def _begin(optimizer: Any, parameter: nn.Parameter) -> None:
    """Give a parameter the state that the optimizer's constructor would give it, as Adagrad's does.

    Most optimizers begin a parameter's state in their first step instead.
    """
    groups = (g for g in optimizer.param_groups if any(p is parameter for p in g["params"]))
    taken = inspect.signature(type(optimizer)).parameters
    settings = {key: value for key, value in next(groups, {}).items() if key in taken}
    settings.pop("params", None)
    try:
        began = type(optimizer)([parameter], **settings).state
    except Exception:  # it takes something else
        return
    if found := began.get(parameter):
        optimizer.state[parameter] = found
