"""torch.compile for a model's blocks; freezing, forced attention and FLOP counting survive it.

Blocks are compiled one by one and not the model whole: a block is either trained or not, so that
however many depths a policy uses, there are only a few graphs (whether its weights and its input
need gradients), and blocks of one shape share them. Nothing falls back: a block that torch cannot
compile whole, or needs more than ``MOST_GRAPHS`` graphs for, raises.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from models.compute.attention import traced
from models.compute.refusal import first_line

MOST_GRAPHS = 64
"""Of one process: kinds of blocks × what needs gradients × training or not × shapes × backends ×
dtypes.
"""


def compiled(
    model: nn.Module, blocks: Sequence[nn.Module], compiler: str = "inductor"
) -> Callable[[], None]:
    """Compile each block's ``forward`` in place; hooks and names of parameters stay.

    The first step of each kind compiles, which takes seconds: warm up before timing. While single
    operations are watched (by the FLOP counter, say) blocks run as they are written.

    Args:
        model: the whole model.
        blocks: modules of it.
        compiler: a backend of ``torch.compile``.

    Returns:
        A function that undoes it.

    Raises:
        ValueError: a block is not part of ``model``.
    """
    strangers = [
        index
        for index, block in enumerate(blocks)
        if not any(block is each for each in model.modules())
    ]
    if strangers:
        raise ValueError(f"blocks must be modules of the model, but those at {strangers} are not")
    before = {block: block.__dict__.get("forward") for block in blocks}
    for block in before:
        block.forward = _Compiled(block.forward, compiler)
    return functools.partial(_restore, before)


def _restore(forwards: Mapping[nn.Module, Any]) -> None:
    for block, forward in forwards.items():
        del block.forward
        if forward is not None:
            block.forward = forward


class _Compiled:
    """A block's ``forward``, compiled.

    Attributes:
        within: what it was.
    """

    def __init__(self, plain: Callable[..., Any], compiler: str) -> None:
        self._plain = self.within = plain

        def forward(*args: Any, **kwargs: Any) -> Any:
            with traced():
                return plain(*args, **kwargs)

        # torch's overloads do not list the limit, which it takes.
        self._fast = torch.compile(  # type: ignore[call-overload]
            forward, fullgraph=True, backend=compiler, recompile_limit=MOST_GRAPHS
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        watched = is_in_torch_dispatch_mode(include_infra_modes=False)
        return self._plain(*args, **kwargs) if watched else self._fast(*args, **kwargs)

    def __reduce__(self) -> Any:
        # A copy's forward would go on computing with the weights of the original.
        raise TypeError(
            "a model must not be copied or pickled while its blocks are compiled: undo it first"
        )


def gradient_faults(module: nn.Module) -> list[str]:
    """After a backward: parameters whose gradient is missing, or there and not needed."""
    return [
        f"{name} "
        + (
            "needs a gradient but has none"
            if parameter.requires_grad
            else "is frozen but has a gradient"
        )
        for name, parameter in module.named_parameters()
        if parameter.requires_grad == (parameter.grad is None)
    ]


@functools.cache
def compile_fault(device: torch.device) -> str | None:
    """Why blocks cannot be compiled for ``device`` here, by compiling one; None if they can.

    Takes some seconds the first time in a process.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own imports deprecate one another
            _compile_one(device)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever torch says, in whatever class, is the reason
        return (
            f"compile must work for {device}, but got: {first_line(error)}; torch.compile needs "
            f"{_needs(device)}"
        )
    return None


def _needs(device: torch.device) -> str:
    return "a C++ compiler" if device.type == "cpu" else "triton and a C compiler"


def _compile_one(device: torch.device) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.SiLU()).to(device)
    compiled(model, [model[0]])
    model(torch.ones(2, 4, device=device)).sum().backward()
    assert not gradient_faults(model)
