"""What is raised when a forced attention backend cannot take a call, and why it cannot.

Exception
└── BackendRefused (ValueError)   the backend, the call, torch's reason, what to do
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable

from torch import Tensor

NO_KERNEL = ("No viable backend", "No available kernel")
"""What torch says, in its various places, where no allowed kernel takes a call."""
NOISE = ("not used because", "runtime disabled")
"""In warnings that say nothing about the forced backend: headings, and that the others are off."""


class BackendRefused(ValueError):  # noqa: N818 - what happened, in the words users read
    """A forced attention backend does not take a call; no other backend took it instead.

    Attributes:
        why: the reason alone.
    """

    def __init__(self, backend: str, what: str, why: str) -> None:
        super().__init__(
            f"attention {backend!r} must take every call, but it refused {what}: {why}; "
            "choose another backend, dtype or shape of the attention"
        )
        self.why = why


def describe(call: Iterable[object]) -> str:
    """The tensors among the arguments, in order: shape of each, and their dtypes and devices."""
    tensors = [argument for argument in call if isinstance(argument, Tensor)]
    kinds = dict.fromkeys(f"{name_of(tensor.dtype)} on {tensor.device}" for tensor in tensors)
    return (
        f"shapes {', '.join(str(tuple(tensor.shape)) for tensor in tensors)} in {', '.join(kinds)}"
    )


def name_of(dtype: object) -> str:
    """``float32`` for ``torch.float32``."""
    return str(dtype).removeprefix("torch.")


def lacks_kernel(error: RuntimeError) -> bool:
    """Whether torch raised because no allowed kernel takes a call."""
    return any(words in str(error) for words in NO_KERNEL)


def reasons(call: Callable[[], object]) -> str:
    """Repeat a call that no kernel takes; torch's warnings name the rule that it breaks."""
    with warnings.catch_warnings(record=True) as said, contextlib.suppress(RuntimeError):
        warnings.simplefilter("always")
        call()
    lines = [str(warning.message).split(" (Triggered internally")[0] for warning in said]
    told = dict.fromkeys(
        line.rstrip(".") for line in lines if not any(noise in line for noise in NOISE)
    )
    return "; ".join(told) or "torch has no such kernel for it"


def first_line(why: object) -> str:
    """The first line of torch's reason, which may be followed by pages."""
    return next(iter(str(why).strip().splitlines()), type(why).__name__).rstrip(".")
