"""Batches of whatever kind, changed tensor by tensor."""

from __future__ import annotations

import copy
import dataclasses
import types
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

Batch = Any
"""Tensors on the CPU in tuples, named tuples, lists, dicts or dataclasses, beside whatever else
there is, or one object with a method ``to(device)``.

The training loop moves it to the device.
"""
DEEPEST = 5
LEAVES = (Tensor, np.ndarray, np.generic, bool, int, float, complex, str, bytes, type(None))
"""What is never looked into."""


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with every tensor in it on ``device``; what is no tensor stays as it is."""
    return _changed(batch, lambda tensor: tensor.to(device), device)


def map_tensors(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """The batch with every tensor in it changed; the batch itself is left alone."""
    return _changed(batch, change, None)


def apart(batch: Batch) -> Batch:
    """The batch with the same tensors in containers of its own, from which they may be taken."""
    return map_tensors(batch, lambda tensor: tensor)


def tensors_of(batch: Batch) -> list[Tensor]:
    """Every tensor that is found in the batch, in order."""
    found: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_tensors(batch, note)
    return found


def values_of(batch: Batch, depth: int = DEEPEST) -> list[Any]:
    """Every tensor, array, number and text that is found in the batch, in order.

    Other than for the device, it is looked into objects of any class. Of an array of records it is
    each field, of one of objects each of those.
    """
    if isinstance(batch, np.ndarray) and (batch.dtype.hasobject or batch.dtype.names):
        names = batch.dtype.names
        batch = [batch[name] for name in names] if names else batch.ravel().tolist()
    if isinstance(batch, Mapping):
        batch = tuple(batch.values())
    if isinstance(batch, (tuple, list)):
        return [value for each in batch for value in values_of(each, depth)]
    if isinstance(batch, (type, *LEAVES)) or not depth:
        return [batch]
    inner = _attributes(batch)
    return values_of(inner, depth - 1) if inner else [batch]


def same_values(one: Batch, other: Batch) -> bool:
    """Whether two batches, or parts of two, hold the same values in order; NaN equals NaN.

    Objects that can only be compared by identity equal themselves alone.
    """
    mine, its = values_of(one), values_of(other)
    return len(mine) == len(its) and all(map(_is_same, mine, its))


def _is_same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return _is_same_tensor(one, other)
    if isinstance(one, np.ndarray):
        numbers = one.dtype.kind in "fc"
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=numbers)
    return bool(one == other or (one != one and other != other))


def _is_same_tensor(one: Tensor, other: Tensor) -> bool:
    kinds = ((t.dtype, t.shape if not t.is_nested else None, t.layout) for t in (one, other))
    if len(set(kinds)) > 1:
        return False
    mine, its = plain_parts(one), plain_parts(other)
    return len(mine) == len(its) and all(
        torch.equal(a, b) or (a.shape == b.shape and _is_none_alike(a, b))
        for a, b in zip(mine, its, strict=True)
    )


def _is_none_alike(one: Tensor, other: Tensor) -> bool:
    return bool(((one == other) | ((one != one) & (other != other))).all())


def _attributes(value: Any) -> dict[str, Any]:
    slots = [name for kind in type(value).__mro__ for name in _slots(kind)]
    own = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    return {**own, **getattr(value, "__dict__", {})}


def _slots(kind: type) -> list[str]:
    """Those that the class itself adds, by the names under which they are held."""
    own = vars(kind)
    if "__slots__" not in own:
        return []
    return [name for name, held in own.items() if isinstance(held, types.MemberDescriptorType)]


def plain_parts(tensor: Tensor) -> list[Tensor]:
    """The strided tensors that a tensor consists of: of a sparse one its indices and values, of a
    nested one those that are in it, else itself.
    """
    if tensor.is_nested:
        return list(tensor.unbind())
    if tensor.layout is torch.sparse_coo:
        tensor = tensor.coalesce()
        return [tensor.indices(), tensor.values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
    return [tensor]


def _changed(value: Any, change: Callable[[Tensor], Tensor], device: torch.device | None) -> Any:
    """``value`` with its tensors changed; objects that move themselves do so, given a device."""
    if isinstance(value, Tensor):
        return change(value)
    if device is not None and _moves_itself(value):
        own = copy.copy(value)  # some move in place
        moved = own.to(device)
        return own if moved is None else moved
    if isinstance(value, Mapping):
        return _changed_mapping(value, change, device)
    if isinstance(value, (tuple, list)):
        return sequence_like(value, [_changed(each, change, device) for each in value])
    if dataclasses.is_dataclass(value) and not _is_class(value):
        return _changed_fields(value, change, device)
    return value


def mapping_like(
    value: MutableMapping[Any, Any], parts: Mapping[Any, Any]
) -> MutableMapping[Any, Any]:
    """The mapping with other values, by the one way to give it some that every kind has."""
    same = copy.copy(value)
    for key, part in parts.items():
        same[key] = part
    return same


def sequence_like(value: Any, parts: Iterable[Any]) -> Any:
    """The parts in a list or tuple of the class of ``value``, whose constructor is not called: one
    of a user's own may take something else.
    """
    if type(value) is list:
        return list(parts)
    if isinstance(value, list):
        same = copy.copy(value)
        same[:] = parts
        return same
    try:
        same = tuple.__new__(type(value), parts)
    except TypeError:  # one of torch's or Python's own, which are made so
        return type(value)(parts)
    if hasattr(value, "__dict__"):
        vars(same).update(vars(value))
    return same


def dataclass_like(value: Any) -> Any:
    """A copy of a dataclass's object with the same fields; fields that are not set stay unset.

    The constructor is not called, since it might process its arguments a second time.
    """
    same = object.__new__(type(value))
    for name, part in _attributes(value).items():
        object.__setattr__(same, name, part)
    return same


def _moves_itself(value: Any) -> bool:
    """Whether it has a method ``to``; a table whose attributes are its keys may raise anything."""
    try:
        return callable(getattr(value, "to", None)) and not _is_class(value)
    except Exception:
        return False


def _is_class(value: Any) -> bool:
    return isinstance(value, type)


def _changed_mapping(
    value: Mapping[Any, Any], change: Callable[[Tensor], Tensor], device: torch.device | None
) -> Mapping[Any, Any]:
    parts = {key: _changed(each, change, device) for key, each in value.items()}
    if type(value) is dict or not isinstance(value, MutableMapping):
        return parts
    return mapping_like(value, parts)


def _changed_fields(
    value: Any, change: Callable[[Tensor], Tensor], device: torch.device | None
) -> Any:
    same = dataclass_like(value)
    for field in dataclasses.fields(value):
        if hasattr(value, field.name):
            part = _changed(getattr(value, field.name), change, device)
            object.__setattr__(same, field.name, part)
    return same
