"""Watches that what is frozen stays as it is, whoever might move it.

PyTorch counts the changes of every tensor that are made in the open (``tensor._version``), so
looking is nearly free. What is written through ``tensor.data``, and running statistics that kernels
update, it does not count: for those a few bytes in the middle of some tensors are compared in every
step, in turn, and all bits of all, summed, at steps 1, 2, 4, 8, … A tensor on a device cannot be
glanced at without waiting: there the bits of one in each part are summed in every step, where the
optimizer is not one of PyTorch's, and buffers are put back unseen. A change that was taken back
(averaged weights swapped in for an evaluation) leaves the sums equal and is no change.
"""

from __future__ import annotations

import ctypes
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from policies.applying.wiring import Part

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_GLANCE = 16
"""Bytes of a tensor that are compared."""

_GLANCES = 16
"""Tensors of which at least so many are compared in every step, in turn."""


@dataclass
class _Held:
    """A frozen tensor as it was."""

    name: str
    tensor: Tensor
    bits: Tensor | None = None
    version: int = field(init=False)
    pointer: int = field(init=False)
    offset: int = field(init=False)
    length: int = field(init=False)
    seen: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.accept()

    def accept(self) -> None:
        """Take what counters, address and bytes are now for right."""
        self.offset, self.length = _window(self.tensor)
        self.version, self.pointer = self.tensor._version, _address(self.tensor)
        self.seen = self.glance()

    def glance(self) -> bytes:
        """The bytes in the middle; none of a tensor on a device."""
        # Reading memory costs a tenth of what the least operation of torch does, a hundred times a
        # step.
        return ctypes.string_at(self.pointer + self.offset, self.length) if self.length else b""

    def is_touched(self) -> bool:
        """Whether a counter or the address says that somebody wrote."""
        if self.tensor._version != self.version:
            return True
        return self.pointer != 0 and self.tensor.data_ptr() != self.pointer

    def looks_other(self) -> bool:
        """As ``is_touched``, or the bytes are not as they were."""
        return self.is_touched() or self.glance() != self.seen


@dataclass
class _HeldBuffer(_Held):
    """A buffer of a frozen module as it was, and a copy from which it is put back."""

    module: nn.Module = field(kw_only=True)
    key: str = field(kw_only=True)
    copy: Tensor = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        # A copy, not a sum of bits as of parameters: a forward may change a buffer and must be
        # undone.
        self.copy = self.tensor.detach().clone()

    def is_replaced(self) -> bool:
        """Whether another tensor stands in its place."""
        return self.module._buffers.get(self.key) is not self.tensor

    def is_other_kind(self) -> bool:
        """Whether that can be no statistics of the same kind: a cache that grew."""
        now = self.module._buffers.get(self.key)
        return now is None or now.shape != self.copy.shape or now.dtype != self.copy.dtype

    def is_changed(self) -> bool:
        """Whether its value is another one than it was."""
        if self.is_other_kind() or not (self.is_replaced() or self.looks_other()):
            return False
        now, bits = self.module._buffers[self.key], _bits(self.copy)
        assert now is not None
        return bits is not None and bool(_differs(now, bits))

    def may_differ(self) -> bool:
        """Whether its value may have been changed; True too where that cannot be seen at once."""
        # On a device reading the bytes would wait for it; putting back unseen costs less.
        unseen = not self.length and self.tensor.layout is torch.strided
        return unseen or self.looks_other()


_NOTHING: Mapping[Any, Any] = {}


@dataclass
class _HeldMoments:
    """What an optimizer remembers of a frozen parameter, as it was."""

    parameter: str
    optimizer: Any  # its state becomes another table when it is loaded
    key: nn.Parameter
    tensors: dict[Any, _Held] = field(default_factory=dict)
    numbers: dict[Any, float] = field(default_factory=dict)
    changed: bool = False  # whether other tensors are held than were gathered

    def __post_init__(self) -> None:
        self.other()

    def other(self) -> str | None:
        """The name of a number that is another one, or of a tensor that was made anew with other
        values; what was not there is held from now on, as it is.
        """
        tensors = self.tensors
        for name, value in self.optimizer.state.get(self.key, _NOTHING).items():
            # Mostly the very tensor that is held: a look at each parameter twice a step adds up.
            if (held := tensors.get(name)) is not None and held.tensor is value:
                continue
            if isinstance(value, Tensor):
                if self._is_other_tensor(name, value):
                    return self._told(name)
            elif self._is_other_number(name, value):
                return self._told(name)
        return None

    def _is_other_number(self, name: Any, value: Any) -> bool:
        # NaN is unlike itself and would be told as moved in every step.
        number = isinstance(value, (int, float)) and not math.isnan(value)
        return number and self.numbers.setdefault(name, value) != value

    def _is_other_tensor(self, name: Any, value: Tensor) -> bool:
        held = self.tensors.get(name)
        now = _Held(self._told(name), value, _bits(value))
        self.tensors[name], self.changed = now, True
        if held is None or held.bits is None or now.bits is None:
            return False
        # A new tensor with the old values was moved nowhere: an optimizer's state was loaded, say.
        return bool(held.bits != now.bits.to(held.bits.device))

    def _told(self, name: Any) -> str:
        return f"{name} of {self.parameter} in the optimizer"


@dataclass
class _HeldPart:
    parameters: list[_Held]
    moments: list[_HeldMoments]
    buffers: list[_HeldBuffer]
    empty: list[tuple[nn.Module, str]]  # places of buffers that are None so far


class Guard:
    """What is frozen now, as it was when it froze.

    Args:
        names: of parameters, by identity.
        prefixes: names of modules, by identity.
        doubtful: whether the optimizer may be one that writes unseen.
    """

    def __init__(
        self, names: Mapping[int, str], prefixes: Mapping[int, str], *, doubtful: bool = False
    ) -> None:
        self._names, self._prefixes, self._doubtful = names, prefixes, doubtful
        self._parts: dict[int, _HeldPart] = {}
        self._moments: list[_HeldMoments] = []
        self._all: list[_Held] = []  # parameters and moments
        self._looks = 0

    def hold(self, parts: Mapping[int, Part], optimizers: Sequence[Any] = ()) -> None:
        """Watch ``parts`` from now on, by number, and no others; what was watched stays so, and
        buffers that came since are watched too.

        Args:
            parts: what is frozen.
            optimizers: those whose moments are watched too.
        """
        self._parts = {
            number: self._grown(number, part) or self._held(part, optimizers)
            for number, part in parts.items()
        }
        self._gather()

    def release(self, parts: Collection[int]) -> None:
        """Watch those ``parts`` no more."""
        self._parts = {n: held for n, held in self._parts.items() if n not in parts}
        self._gather()

    def clear(self) -> None:
        """Watch nothing."""
        self._parts, self._moments, self._all = {}, [], []

    def _gather(self) -> None:
        """List parameters and moments, part by part."""
        self._moments = [each for part in self._parts.values() for each in part.moments]
        for moments in self._moments:
            moments.changed = False
        self._all = [
            held
            for part in self._parts.values()
            for held in (*part.parameters, *(t for m in part.moments for t in m.tensors.values()))
        ]

    def moved(self, *, closely: bool = False) -> str | None:
        """The name of a parameter or moment that is not as it was; None where all are.

        Args:
            closely: look for changes that no counter shows as well.
        """
        if not self._all:
            return None
        if self._moments:
            if (other := next(filter(None, (m.other() for m in self._moments)), None)) is not None:
                return other
            if any(moments.changed for moments in self._moments):
                self._gather()
        touched = [
            held
            for held in self._all
            if held.tensor._version != held.version
            or (held.pointer and held.tensor.data_ptr() != held.pointer)
        ]
        if closely:
            touched += self._glanced()
        changed = _changed([*touched, *(self._sample() if closely else ())])
        if changed is not None:
            return changed.name
        for held in touched:
            held.accept()
        return None

    def written(self) -> str | None:
        """The name of a parameter that was written to, even if it is now as it was."""
        touched = next((held for held in self._all if held.is_touched()), None)
        return self.moved(closely=True) if touched is None else touched.name

    def changed_buffer(self) -> str | None:
        """The name of a buffer that is not as it was; None where all are."""
        return next((held.name for held in self._buffers() if held.is_changed()), None)

    def put_buffers_back(self, modules: Sequence[nn.Module]) -> None:
        """Undo what a forward did to the buffers of ``modules``, those of them that are watched."""
        buffers = list(self._buffers())
        self._fill()
        if not buffers:
            return
        frozen = {id(module) for module in modules}
        kept = [h for h in buffers if id(h.module) in frozen and not h.is_other_kind()]
        _put_back([held for held in kept if held.may_differ()])
        for held in kept:
            held.module._buffers[held.key] = held.tensor

    def _grown(self, number: int, part: Part) -> _HeldPart | None:
        """What is watched already, with the buffers that its modules were given since."""
        if (watched := self._parts.get(number)) is not None:
            places = {(id(held.module), held.key) for held in watched.buffers}
            places |= {(id(module), key) for module, key in watched.empty}
            now = [(m, key, b) for m in part.modules for key, b in m._buffers.items()]
            watched.buffers += self._held_buffers(
                place for place in now if (id(place[0]), place[1]) not in places
            )
        return watched

    def _held(self, part: Part, optimizers: Sequence[Any]) -> _HeldPart:
        parameters = [_Held(self._names[id(p)], p, _bits(p)) for p in part.parameters]
        moments = [
            _HeldMoments(self._names[id(p)], each, p)
            for each in optimizers
            for p in part.parameters
        ]
        places = [(m, key, buffer) for m in part.modules for key, buffer in m._buffers.items()]
        return _HeldPart(
            parameters,
            moments,
            self._held_buffers(places),
            [(module, key) for module, key, buffer in places if buffer is None],
        )

    def _held_buffers(
        self, found: Iterable[tuple[nn.Module, str, Tensor | None]]
    ) -> list[_HeldBuffer]:
        return [
            _HeldBuffer(
                f"{self._prefix_of(module)}.{key}".lstrip("."), buffer, module=module, key=key
            )
            for module, key, buffer in found
            if buffer is not None
        ]

    def _prefix_of(self, module: nn.Module) -> str:
        """Its name; that of its class where it came later."""
        return self._prefixes.get(id(module), type(module).__name__)

    def _fill(self) -> None:
        """Hold what a forward has put where nothing was: from now on it stays."""
        for part in self._parts.values():
            if part.empty:
                now = [(m, key, m._buffers.get(key)) for m, key in part.empty]
                part.buffers += self._held_buffers(now)
                part.empty = [(module, key) for module, key, buffer in now if buffer is None]

    def _buffers(self) -> Iterable[_HeldBuffer]:
        return (held for part in self._parts.values() for held in part.buffers)

    def _glanced(self) -> list[_Held]:
        """Those of a sample whose bytes have changed: every n-th in turn, at least ``_GLANCES`` of
        them.
        """
        # All in one step would cost as much as the step of a small model; in turn none is missed
        # for long.
        stride = max(1, len(self._all) // _GLANCES)
        return [h for h in self._all[self._looks % stride :: stride] if h.glance() != h.seen]

    def _sample(self) -> list[_Held]:
        """The parameters to sum now: all of them the more seldom, the longer all went well."""
        self._looks += 1
        held = [part.parameters for part in self._parts.values() if part.parameters]
        # Powers of two: a loop that writes unseen does so from the start, so that early looks find
        # most.
        if self._looks & (self._looks - 1) == 0:
            return [each for parameters in held for each in parameters]
        if not self._doubtful:
            return []
        every = [parameters[self._looks % len(parameters)] for parameters in held]
        return [each for each in every if not each.length]


def _put_back(buffers: Sequence[_HeldBuffer]) -> None:
    """Copy the values back, of one kind in one call: a device may have hundreds."""
    if not buffers:
        return
    kinds: defaultdict[tuple[torch.device, torch.dtype], list[_HeldBuffer]] = defaultdict(list)
    for held in buffers:
        kinds[held.tensor.device, held.tensor.dtype].append(held)
    with torch.no_grad():
        for alike in kinds.values():
            torch._foreach_copy_([held.tensor for held in alike], [held.copy for held in alike])
            for held in alike:
                held.accept()


def _address(tensor: Tensor) -> int:
    """Where its values lie; 0 of a sparse one, which lie in several places."""
    return tensor.data_ptr() if tensor.layout is torch.strided else 0


def overlap(one: Tensor, other: Tensor) -> bool:
    """Whether the spans of two tensors in memory overlap."""
    spans = [_span(each) for each in (one, other)]
    return max(start for start, _ in spans) < min(end for _, end in spans)


def _span(tensor: Tensor) -> tuple[int, int]:
    """(start, end) of a tensor's values in memory, in bytes; (0, 0) of a sparse or an empty one."""
    start = _address(tensor)
    if not start or not tensor.numel():
        return 0, 0
    steps = ((n - 1) * by for n, by in zip(tensor.shape, tensor.stride(), strict=True))
    return start, start + (sum(steps) + 1) * tensor.element_size()


def _window(tensor: Tensor) -> tuple[int, int]:
    """Where in the memory of a tensor to look, as offset and length in bytes."""
    plain = tensor.device.type == "cpu" and tensor.layout is torch.strided
    if not plain or not tensor.is_contiguous() or tensor.numel() == 0:
        return 0, 0
    size = tensor.numel() * tensor.element_size()
    length = min(_GLANCE, size)
    return (size - length) // 2, length


def _bits(tensor: Tensor) -> Tensor | None:
    """The bits of a tensor as integers, summed: exact in any order; None where it has none."""
    data = tensor.detach()
    if type(data) is not Tensor or data.layout is not torch.strided or data.is_meta:
        return None
    if data.is_quantized:
        return None
    if data.is_complex():
        data = torch.view_as_real(data.resolve_conj())
    integers = data.resolve_neg().view(_INTEGERS[data.dtype.itemsize])
    # Sums wrap around. Of 32 bits they are as fast as a norm; made wider, several times slower.
    return integers.sum(dtype=torch.int32 if data.dtype.itemsize == 4 else torch.int64)


def _changed(tensors: Sequence[_Held]) -> _Held | None:
    """The first whose bits are not as they were, read in one go; without bits all are changed."""
    for held in tensors:
        if held.bits is None and held.looks_other():
            return held
    seen = [held for held in tensors if held.bits is not None]
    if not seen:
        return None
    # One transfer for all: each ``bool`` of a device's tensor would wait for it.
    home = seen[0].tensor.device
    different = torch.stack([_differs(held.tensor, held.bits).to(home) for held in seen]).tolist()
    return next((held for held, changed in zip(seen, different, strict=True) if changed), None)


def _differs(tensor: Tensor, bits: Tensor | None) -> Tensor:
    """Whether a tensor's bits are others, as a tensor: the device is not waited for."""
    now = _bits(tensor)
    assert now is not None
    assert bits is not None
    return now != bits.to(now.device)
