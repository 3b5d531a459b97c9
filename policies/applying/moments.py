"""The optimizers that are meant by what a loop hands over: one, several in a container, some in a
wrapper.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

_DEPTH = 4
"""How deep containers within containers are searched."""

_MOST = 1000
"""Longer lists and tables hold data, not optimizers."""


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
    if isinstance(given, (Mapping, list, tuple, set, frozenset)):
        inside = given.values() if isinstance(given, Mapping) else given
        return inside if len(given) <= _MOST else ()
    own = vars(given) if hasattr(given, "__dict__") else {}
    if is_optimizer(given):  # of its own tables none holds another optimizer
        own = {
            key: value
            for key, value in own.items()
            if key not in ("state", "param_groups", "defaults")
        }
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
            f"in a {type(given).__name__}; pass the torch optimizers, in a list if there are "
            "several, or 'keep'"
        ]
    return [
        "moments_on_thaw='reset' needs moments by parameter, but LBFGS has one state for all of "
        "them; use 'keep' or another optimizer"
        for optimizer in optimizers
        if isinstance(optimizer, LBFGS)
    ]


def forget(optimizers: Iterable[Any], parameters: Iterable[nn.Parameter]) -> None:
    """Let the optimizers go on as if they had never stepped ``parameters``."""
    named = list(parameters)
    for optimizer in optimizers:
        for parameter in named:
            optimizer.state.pop(parameter, None)
