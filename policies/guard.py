"""Watches that what is frozen stays as it is, whoever might move it.

PyTorch counts the changes of every tensor that are made in the open (``tensor._version``), so looking
is nearly free. Who writes through ``tensor.data`` is not counted: for that the bits of one frozen
tensor are summed in each step (of one in every part, where the optimizer is not one of PyTorch's), and
those of all at steps 1, 2, 4, 8, … A change that was taken back (averaged weights swapped in for an
evaluation) leaves the sums equal and is no change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from policies.wiring import Part

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass
class _Held:
    """A frozen tensor as it was."""

    name: str
    tensor: Tensor
    version: int
    pointer: int
    bits: Tensor | None

    def touched(self) -> bool:
        return self.tensor._version != self.version or self.tensor.data_ptr() != self.pointer

    def accept(self) -> None:
        self.version, self.pointer = self.tensor._version, self.tensor.data_ptr()


@dataclass
class _HeldBuffer:
    """A buffer of a frozen module as it was, and a copy from which it is put back."""

    name: str
    module: nn.Module
    key: str
    tensor: Tensor
    version: int
    copy: Tensor

    def changed(self) -> bool:
        now = self.module._buffers.get(self.key)
        return now is not self.tensor or self.tensor._version != self.version

    def is_other(self) -> bool:
        """Whether it was replaced by something that cannot be its statistics: a cache that grew."""
        now = self.module._buffers.get(self.key)
        return now is None or now.shape != self.copy.shape or now.dtype != self.copy.dtype

    def put_back(self) -> None:
        if self.is_other():
            return
        if self.tensor._version != self.version:
            with torch.no_grad():
                self.tensor.copy_(self.copy)
        self.module._buffers[self.key] = self.tensor
        self.version = self.tensor._version


@dataclass
class _HeldPart:
    parameters: list[_Held]
    buffers: list[_HeldBuffer]
    tensors: list[_Held]  # parameters and moments


class Guard:
    """What is frozen now, as it was when it froze.

    Args:
        names: of parameters, by identity.
        prefixes: names of modules, by identity.
        doubtful: whether to look at bits of every part in every step, on any device.
    """

    def __init__(
        self, names: Mapping[int, str], prefixes: Mapping[int, str], *, doubtful: bool = False
    ) -> None:
        self._names, self._prefixes, self._doubtful = names, prefixes, doubtful
        self._parts: dict[int, _HeldPart] = {}
        self._looks = 0

    def hold(self, parts: Mapping[int, Part], states: Sequence[Mapping[Any, Any]] = ()) -> None:
        """Watch ``parts`` from now on, by number, and no others; what was watched already stays so.

        Args:
            parts: what is frozen.
            states: of optimizers whose moments are watched too.
        """
        self._parts = {
            number: self._parts.get(number) or self._held(part, states)
            for number, part in parts.items()
        }

    def clear(self) -> None:
        """Watch nothing."""
        self._parts = {}

    def moved(self, *, bits: bool = False) -> str | None:
        """The name of a parameter or moment that is not as it was; None where all are.

        Args:
            bits: look at the bits of some as well, for changes that no counter shows.
        """
        touched = [
            held
            for part in self._parts.values()
            for held in part.tensors
            if held.tensor._version != held.version or held.tensor.data_ptr() != held.pointer
        ]
        looked = [] if not bits else self._sample()
        changed = _changed([*touched, *looked])
        if changed is not None:
            return changed.name
        for held in touched:
            held.accept()
        return None

    def changed_buffer(self) -> str | None:
        """The name of a buffer that is not as it was; None where all are."""
        for held in self._buffers():
            if held.changed() and not held.is_other() and not _same_bits(held):
                return held.name
        return None

    def put_buffers_back(self, modules: Iterable[nn.Module]) -> None:
        """Undo what a forward did to the buffers of ``modules``, those of them that are watched."""
        frozen = {id(module) for module in modules}
        for held in self._buffers():
            if held.changed() and id(held.module) in frozen:
                held.put_back()

    def _held(self, part: Part, states: Sequence[Mapping[Any, Any]]) -> _HeldPart:
        with torch.no_grad():
            parameters = [_hold(self._names[id(p)], p) for p in part.parameters]
            moments = [
                _hold(f"{key} of {self._names[id(p)]} in the optimizer", value)
                for state in states
                for p in part.parameters
                for key, value in dict(state.get(p, {})).items()
                if isinstance(value, Tensor)
            ]
            return _HeldPart(parameters, self._held_buffers(part.modules), parameters + moments)

    def _held_buffers(self, modules: Iterable[nn.Module]) -> list[_HeldBuffer]:
        return [
            _HeldBuffer(
                f"{self._prefixes[id(module)]}.{key}".lstrip("."),
                module,
                key,
                buffer,
                buffer._version,
                buffer.clone(),
            )
            for module in modules
            for key, buffer in module._buffers.items()
            if buffer is not None
        ]

    def _all(self) -> list[_Held]:
        return [held for part in self._parts.values() for held in part.parameters]

    def _buffers(self) -> Iterable[_HeldBuffer]:
        return (held for part in self._parts.values() for held in part.buffers)

    def _sample(self) -> list[_Held]:
        """One parameter, in turn; all of them the more seldom, the longer all went well."""
        self._looks += 1
        if self._looks & (self._looks - 1) == 0:
            return self._all()
        held = [part.parameters for part in self._parts.values() if part.parameters]
        if self._doubtful:
            return [parameters[self._looks % len(parameters)] for parameters in held]
        every = [each for parameters in held for each in parameters]
        # What a device holds is waited for only where there is reason to doubt.
        here = every and not every[0].tensor.is_cuda
        return [every[self._looks % len(every)]] if here else []


def _hold(name: str, tensor: Tensor) -> _Held:
    return _Held(name, tensor, tensor._version, tensor.data_ptr(), _bits(tensor))


def _bits(tensor: Tensor) -> Tensor | None:
    """The bits of a tensor as integers, summed: exact in any order of summing; None where it has none."""
    data = tensor.detach()
    if (
        type(data) is not Tensor
        or data.layout is not torch.strided
        or data.is_meta
        or data.is_quantized
    ):
        return None
    if data.is_complex():
        data = torch.view_as_real(data)
    if data.is_conj() or data.is_neg():
        data = data.resolve_conj().resolve_neg()
    integers = data.view(_INTEGERS[data.dtype.itemsize])
    # Sums wrap around; those of 32 bits are as fast as a norm, wider ones several times slower.
    wide = torch.int32 if data.dtype.itemsize == 4 else torch.int64
    return integers.sum(dtype=wide)


def _changed(tensors: Sequence[_Held]) -> _Held | None:
    """The first whose bits are not as they were, read in one go; no bits are taken as changed."""
    for held in tensors:
        if held.bits is None and held.touched():
            return held
    seen = [held for held in tensors if held.bits is not None]
    if not seen:
        return None
    home = seen[0].tensor.device
    different = torch.stack([_differs(held.tensor, held.bits).to(home) for held in seen]).tolist()
    return next((held for held, changed in zip(seen, different, strict=True) if changed), None)


def _differs(tensor: Tensor, bits: Tensor | None) -> Tensor:
    """Whether a tensor's bits are others, as a tensor: the device is not waited for."""
    now = _bits(tensor)
    assert now is not None
    assert bits is not None
    return now != bits.to(now.device)


def _same_bits(held: _HeldBuffer) -> bool:
    now, bits = held.module._buffers[held.key], _bits(held.copy)
    assert now is not None
    return bits is not None and not bool(_differs(now, bits))
