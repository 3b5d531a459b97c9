"""Runs a model without some of its blocks, and lets blocks in: the depth lever.

An absent block hands on what it is given. It stays where it is, so that names, parameters and hooks
are the same whatever is present; outside the graph it has no gradient, so that no optimizer moves
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.levers.depth import IDENTITY, origin

LAST = ("linear", "conv1d", "conv2d", "conv3d")


class Manner:
    """How a model's blocks are called and what they return, seen on one that runs."""

    def __init__(self) -> None:
        self.place: int | str = 0
        self.beside: tuple[type, int] | None = None

    def see(
        self, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
    ) -> None:
        """Forward hook of a block that runs."""
        result = out[0] if isinstance(out, (tuple, list)) and out else out
        given: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
        self.place = next(
            (
                place
                for place, value in given
                if isinstance(value, Tensor)
                and isinstance(result, Tensor)
                and value.shape == result.shape
            ),
            0,
        )
        self.beside = (type(out), len(out)) if isinstance(out, (tuple, list)) else None

    def hand_on(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a block that changes nothing returns."""
        x = args[self.place] if isinstance(self.place, int) else kwargs[self.place]
        if self.beside is None:
            return x
        kind, length = self.beside
        return kind((x, *[None] * (length - 1)))


class _Absent:
    """The ``forward`` of a block that is left out."""

    def __init__(self, manner: Manner) -> None:
        self._manner = manner

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._manner.hand_on(args, kwargs)


class Presence:
    """Which of a model's blocks are run.

    Block 0 always is; how blocks are called is seen there.

    Args:
        blocks: the model's, in forward order.
    """

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        self._blocks = list(blocks)
        self._manner = Manner()
        self._hook: Any = None
        self._own: dict[
            int, Any
        ] = {}  # absent block -> its own ``forward`` attribute, if it has one

    @property
    def present(self) -> tuple[int, ...]:
        """Indices of the blocks that are run, ascending."""
        return tuple(i for i in range(len(self._blocks)) if i not in self._own)

    def set(self, present: Iterable[int]) -> None:
        """Run these blocks and no others.

        Raises:
            ValueError: block 0 is not among them, or there is no such block.
        """
        there = set(present)
        if 0 not in there or not there <= set(range(len(self._blocks))):
            raise ValueError(
                "present blocks must be 0 and others of the model's "
                f"{len(self._blocks)}, but got {sorted(there)}"
            )
        for index, block in enumerate(self._blocks):
            if index in there:
                self._let_in(index, block)
            elif index not in self._own:
                self._own[index] = block.__dict__.get("forward")
                block.forward = _Absent(self._manner)
        self._watch(bool(self._own))

    def _let_in(self, index: int, block: nn.Module) -> None:
        if index in self._own:
            own = self._own.pop(index)
            del block.forward
            if own is not None:
                block.forward = own

    def _watch(self, wanted: bool) -> None:
        if wanted and self._hook is None:
            self._hook = self._blocks[0].register_forward_hook(self._manner.see, with_kwargs=True)
        elif not wanted and self._hook is not None:
            self._hook.remove()
            self._hook = None

    def grow(self, count: int, how: str) -> None:
        """Run the lowest ``count`` blocks, those that are new begun from those there are.

        Args:
            count: of blocks that are to be run.
            how: ``copy``, or ``identity``: a copy whose branches add nothing, where their last
                projections are found; else a copy.

        Raises:
            ValueError: a block differs from the one it is to be a copy of.
        """
        before = len(self.present)
        for index in range(before, count):
            begin_as(self._blocks[index], self._blocks[origin(index, before)])
            if how == IDENTITY:
                silence(self._blocks[index])
        self.set(range(count))


def begin_as(target: nn.Module, source: nn.Module) -> None:
    """Give a block the parameters and buffers of another.

    Raises:
        ValueError: it has others.
    """
    shapes = [
        {name: tuple(value.shape) for name, value in each.state_dict().items()}
        for each in (source, target)
    ]
    if shapes[0] != shapes[1]:
        unlike = sorted(dict(shapes[0].items() ^ shapes[1].items()))
        raise ValueError(
            "a block that is begun as a copy must have the parameters of the block it copies, but "
            f"they differ in {unlike}"
        )
    target.load_state_dict(source.state_dict())


@torch.no_grad()
def silence(block: nn.Module) -> bool:
    """Zero the last projection of every branch of a block; whether there was one.

    A branch is a child of the block that holds linear layers or convolutions; of a block whose
    children are all such layers themselves, only the last one is zeroed.
    """
    branches = [_layers(child) for child in block.children()]
    nested = [
        layers
        for child, layers in zip(block.children(), branches, strict=True)
        if layers and not _is_layer(child)
    ]
    flat = [layers for layers in branches if layers]
    last = [layers[-1] for layers in nested] if nested else [layers[-1] for layers in flat[-1:]]
    for layer in last:
        for parameter in layer.parameters(recurse=False):
            parameter.zero_()
    return bool(last)


def _layers(module: nn.Module) -> list[nn.Module]:
    return [each for each in module.modules() if _is_layer(each)]


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__.lower() in LAST
