"""What a loop does in its first step before the loss is observed, which shows what is frozen."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from policies.applying.causes import EARLY, MovedError
from policies.applying.guard import Guard
from policies.applying.reading import gradient_norm
from policies.applying.wiring import Part


class Early:
    """Looks, as a context, whether the loop moves parameters or changes their gradients before it
    is known that they are frozen: the norm by which it clips, or along which it climbs, is that of
    more than is trained.

    Args:
        names: of parameters, by identity.
        parameters: those that are trained as long as nothing is known.
    """

    def __init__(self, names: Mapping[int, str], parameters: Iterable[nn.Parameter]) -> None:
        self._names, self._guard = names, Guard(names, {})
        self._parameters = {id(p): p for p in parameters if p.requires_grad}
        self._norms: dict[int, Tensor] = {}
        self._derived: set[int] = set()
        self._hooks: list[Any] = []

    def __enter__(self) -> Early:
        """Look from now on."""
        self._guard.hold({key: Part([p]) for key, p in self._parameters.items()})
        for key, p in self._parameters.items():
            self._hooks += [
                p.register_post_accumulate_grad_hook(self._note),  # type: ignore[no-untyped-call]
                p.register_hook(partial(self._note_derived, key)),  # type: ignore[no-untyped-call]
            ]
        return self

    def __exit__(self, *fault: object) -> None:
        """Look no more."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _note(self, parameter: Tensor) -> None:
        if parameter.grad is not None:  # another hook may have taken it
            self._norms[id(parameter)] = gradient_norm(parameter.grad)

    def _note_derived(self, key: int, gradient: Tensor) -> None:
        if gradient.requires_grad:  # something is made of it, a penalty say
            self._derived.add(key)

    def changed(self) -> set[int]:
        """Stop looking; the ids of parameters whose gradients were used, or are not what the
        backward gave.

        A factor that is a power of two comes from a gradient scaler and does not count.
        """
        self.__exit__()
        norms = ((key, norm, self._parameters[key].grad) for key, norm in self._norms.items())
        return self._derived | {
            key
            for key, norm, now in norms
            if now is not None and _mantissa(norm) != _mantissa(gradient_norm(now))
        }

    def refuse(self, frozen: Collection[nn.Parameter], changed: Collection[int]) -> None:
        """Raise where the loop has used the gradient of something frozen, or moved it.

        Raises:
            RuntimeError: it has not.
        """
        if (found := next((id(p) for p in frozen if id(p) in changed), None)) is not None:
            raise RuntimeError(EARLY.format(f"used the gradient of {self._names[found]}"))
        self._guard.hold({id(p): Part([p]) for p in frozen if id(p) in self._parameters})
        if (name := self._guard.written()) is not None:
            raise MovedError(EARLY.format(f"moved {name}"))


def _mantissa(norm: Tensor) -> float:
    value = norm.item()
    return math.frexp(value)[0] if math.isfinite(value) else 0.0
