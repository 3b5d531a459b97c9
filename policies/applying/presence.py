"""Runs a model without some of its blocks, and lets blocks in: the depth lever.

An absent block hands on what it is given. It stays where it is, so that names, parameters and hooks
are the same whatever is present; outside the graph it has no gradient, so that no optimizer moves
it.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from policies.base import IDENTITY

LAST = ("linear", "conv1d", "conv2d", "conv3d")


class Manner:
    """How a model's blocks are called and what they return, seen on one that runs.

    The stream is what the next block is given of what that one returned. Where the model makes
    something else of it first, it is the first argument of the result's shape.
    """

    def __init__(self) -> None:
        self.place: int | str = 0
        self.beside: tuple[str, int] | None = None
        self._result: weakref.ref[Tensor] | None = None

    def see(
        self, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
    ) -> None:
        """Forward hook of a block that runs."""
        # Hugging Face's blocks return tuples with the stream first, then attentions or caches.
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
        kind = next((name for name in ("tuple", "list") if type(out).__name__ == name), None)
        self.beside = (kind, len(out)) if kind else None
        # Held firmly it would keep a step's activations until the next one.
        self._result = weakref.ref(result) if isinstance(result, Tensor) else None

    def follow(self, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Forward pre-hook of the block after it."""
        result = None if self._result is None else self._result()
        self._result = None
        if result is not None:
            given: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
            # Of several arguments of the stream's shape the stream is the very tensor that the
            # block before returned.
            places = (place for place, value in given if value is result)
            self.place = next(places, self.place)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is only known between two blocks, for copies and pickles."""
        return {**self.__dict__, "_result": None}

    def given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The stream that a block is given."""
        return args[self.place] if isinstance(self.place, int) else kwargs[self.place]

    def replaced(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], x: Tensor
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What a block is given, with ``x`` as the stream, of its device and dtype."""
        # Under autocast, or kept in half precision, it may have another dtype than the block
        # expects.
        x = x.to(self.given(args, kwargs))
        if isinstance(self.place, str):
            return args, {**kwargs, self.place: x}
        return (*args[: self.place], x, *args[self.place + 1 :]), kwargs

    def hand_on(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a block that changes nothing returns."""
        x = self.given(args, kwargs)
        if self.beside is None:
            return x
        kind, length = self.beside
        return {"tuple": tuple, "list": list}[kind]((x, *[None] * (length - 1)))

    def state_dict(self) -> dict[str, Any]:
        """What was seen, as plain values."""
        return {"place": self.place, "beside": self.beside}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Know what was known where ``state`` was taken."""
        self.place = state["place"]
        self.beside = None if state["beside"] is None else tuple(state["beside"])


@contextlib.contextmanager
def passing_on(
    blocks: Sequence[nn.Module], manner: Manner, unless: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Blocks that hand on what they are given, while the context lasts.

    Args:
        blocks: in forward order.
        manner: how they are called.
        unless: whether they run all the same; asked at every call.
    """
    # An attribute of the block's own, as a wrapper sets it; the class's needs no keeping.
    own = [block.__dict__.get("forward") for block in blocks]
    for block in blocks:
        block.forward = _AbsentUnless(manner, unless, block.forward)
    try:
        yield
    finally:
        for block, forward in zip(blocks, own, strict=True):
            del block.forward
            if forward is not None:
                block.forward = forward


class _Absent:
    """The ``forward`` of a block that is left out.

    Attributes:
        within: what stands there otherwise; None where that is the class's.
    """

    def __init__(self, manner: Manner, own: Any = None) -> None:
        self._manner, self.within = manner, own

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._manner.hand_on(args, kwargs)


class _AbsentUnless(_Absent):
    """Likewise, or what it has in its place."""

    def __init__(self, manner: Manner, unless: Callable[[], bool], own: Any) -> None:
        super().__init__(manner, own)
        self._unless = unless

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.within(*args, **kwargs) if self._unless() else super().__call__(*args, **kwargs)


def is_absent(block: nn.Module) -> bool:
    """Whether a block hands on what it is given, for now."""
    return isinstance(block.__dict__.get("forward"), _Absent)


def let_in(blocks: Iterable[nn.Module]) -> None:
    """Run blocks again that somebody left out who is there no more."""
    for block in blocks:
        forward = block.__dict__.get("forward")
        if isinstance(forward, _Absent):
            del block.forward
            if forward.within is not None:
                block.forward = forward.within


class Presence:
    """Which of a model's blocks are run.

    Block 0 is always run, and shows how blocks are called.

    Args:
        blocks: the model's, in forward order.
        count: how many the model has for now, the lowest; the others are absent until it grows.

    Raises:
        ValueError: fewer than one, or more than there are.
    """

    def __init__(self, blocks: Sequence[nn.Module], count: int) -> None:
        self._blocks = list(blocks)
        self._manner = Manner()
        self._hooks: list[Any] = []
        self._absent: dict[int, Any] = {}
        """Absent block -> its own ``forward`` attribute, None where it has its class's."""
        self.have(count)

    @property
    def count(self) -> int:
        """How many blocks the model has for now, whether or not a step leaves some of them out."""
        return self._count

    def have(self, count: int) -> None:
        """Have the lowest ``count`` blocks, whatever is in them.

        Raises:
            ValueError: there are not so many.
        """
        if not 1 <= count <= len(self._blocks):
            raise ValueError(
                f"1 <= present blocks <= {len(self._blocks)} must hold, but got {count}"
            )
        self._count = count
        self.leave_out(())

    def leave_out(self, dropped: Collection[int]) -> None:
        """Run the blocks that the model has, but for ``dropped``, until told otherwise."""
        for index, block in enumerate(self._blocks):
            if index < self._count and index not in dropped:
                self._let_in(index, block)
            elif index not in self._absent:
                self._absent[index] = block.__dict__.get("forward")
                block.forward = _Absent(self._manner, block.__dict__.get("forward"))
        self._watch(bool(self._absent))

    @contextlib.contextmanager
    def leaving_out(self, dropped: Collection[int]) -> Iterator[None]:
        """The same while the context lasts."""
        if not dropped:
            yield
            return
        self.leave_out(dropped)
        try:
            yield
        finally:
            self.leave_out(())

    def _let_in(self, index: int, block: nn.Module) -> None:
        if index in self._absent:
            own = self._absent.pop(index)
            del block.forward
            if own is not None:
                block.forward = own

    def _watch(self, wanted: bool) -> None:
        if wanted and not self._hooks:
            first, *others = self._blocks
            self._hooks = [first.register_forward_hook(self._manner.see, with_kwargs=True)]
            self._hooks += [
                second.register_forward_pre_hook(self._manner.follow, with_kwargs=True)
                for second in others[:1]
            ]
        elif not wanted:
            for hook in self._hooks:
                hook.remove()
            self._hooks = []

    def grow(self, count: int, how: str, trained: frozenset[nn.Parameter] | None = None) -> None:
        """Have the lowest ``count`` blocks, those that are new begun from those there are.

        Args:
            count: of blocks.
            how: ``copy``, or ``identity``: a copy whose branches add nothing, where the block has
                such and their last projections are found; else a copy.
            trained: parameters that are ever trained; None for all.

        Raises:
            ValueError: a block differs from the one it is to be a copy of, or there are not so
                many.
        """
        for index in range(self._count, min(count, len(self._blocks))):
            begin_as(self._blocks[index], self._blocks[origin(index, self._count)])
            if how == IDENTITY:
                silence(self._blocks[index], trained)
        self.have(count)


def origin(block: int, count: int) -> int:
    """The block whose copy ``block`` begins as, where the lowest ``count`` are present.

    The stack is repeated, which trains on better than doubling each block where it stands.

    >>> [origin(block, 2) for block in (2, 3, 4, 5)]
    [0, 1, 0, 1]
    """
    return block % count


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
    # Copied into the parameters there are: the optimizer and the updater know those and no others.
    target.load_state_dict(source.state_dict())


@torch.no_grad()
def silence(block: nn.Module, trained: frozenset[nn.Parameter] | None = None) -> bool:
    """Zero the last projection of every branch of a block; whether there was one.

    A branch is a child of the block that holds linear layers or convolutions, and ends as wide as
    the stream; of a block whose children are all such layers themselves, or convolve, only the last
    is zeroed. What is never trained (an adapter's base) stays: zeroed it would be so for good.

    Layers one after the other are no branch: zeroed they would hand on the same whatever they are
    given, and the model would be none.
    """
    if not _may_add(block):
        return False
    if _is_row(block):  # of blocks that add each
        found = [silence(child, trained) for child in block.children()]
        return any(found)  # each of them, so no any() of a generator
    branches = [_layers(child) for child in block.children()]
    nested = [
        layers
        for child, layers in zip(block.children(), branches, strict=True)
        if layers and not _is_layer(child)
    ]
    flat = [layers for layers in branches if layers]
    # What widens the stream for the child after it (BERT's intermediate) is half of a branch:
    # with both halves zeroed neither would ever get a gradient.
    whole = [layers[-1] for layers in nested if _sizes(layers[-1])[1] == _sizes(nested[0][0])[0]]
    if any(_is_convolution(layer) for layer in whole):
        whole = whole[-1:]  # children that convolve feed one another, as in a residual block
    last = whole or [layers[-1] for layers in flat[-1:]]
    # A matrix that is made of others in each forward (weight_norm) cannot be zeroed.
    last = [layer for layer in last if isinstance(layer.weight, nn.Parameter)]
    if trained is not None:
        last = [layer for layer in last if trained.issuperset(layer.parameters(recurse=False))]
    for layer in last:
        for parameter in layer.parameters(recurse=False):
            parameter.zero_()
    return bool(last)


def _may_add(module: nn.Module) -> bool:
    """Whether a module may add what it makes to what it is given; ``nn.Sequential`` never does."""
    if not _is_row(module):
        return not _is_layer(module)
    return all(_may_add(child) for child in module.children() if _layers(child))


def _is_row(module: nn.Module) -> bool:
    """Whether its children run one after the other, and that is all."""
    return type(module).forward is nn.Sequential.forward


def _is_convolution(layer: nn.Module) -> bool:
    return hasattr(layer, "in_channels")


def _sizes(layer: nn.Module) -> tuple[int, int]:
    """Features or channels that a layer takes and gives."""
    if _is_convolution(layer):
        return int(layer.in_channels), int(layer.out_channels)  # type: ignore[arg-type]
    weight = layer.weight  # no parameter where it is parametrized
    assert isinstance(weight, Tensor)
    first, second = weight.shape[:2]
    # The linear layer of Hugging Face that is called a convolution has its matrix the other way.
    return (second, first) if isinstance(layer, nn.Linear) else (first, second)


def _layers(module: nn.Module) -> list[nn.Module]:
    return [each for each in module.modules() if _is_layer(each)]


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__.lower() in LAST
