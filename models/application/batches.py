"""Cuts and joins a workload's batches, so that a step takes any share of them, each example once.

A stream of batches is a line on which batch k covers [k, k + 1). A step takes an interval of it,
and of each batch the examples whose place falls inside; so where a step begins decides what it
sees, and a run can be resumed at any step.

Batches whose examples are padded to one another cannot be joined. Data that can make a batch of any
examples has ``batch_at.of_share(seed, start, factor)``, which makes those of an interval anew.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from models.batches import Batch, dataclass_like, mapping_like, same_values, sequence_like
from models.levers.batch import whole_examples

Source = Callable[[int], Batch]
Share = Callable[[Fraction, float], Batch]
PLAIN = (str, bytes, bool, int, float, type(None))
"""Of a list of these, as many as there are examples, each belongs to one."""


class OfSeed:
    """A workload's batches for one seed, by their step.

    Attributes:
        of_share: (where it begins, batches it takes) -> a batch of those examples; None where
            batches are cut and joined.
    """

    def __init__(self, batch_at: Callable[[int, int], Batch], seed: int) -> None:
        self._batch_at, self._seed = batch_at, seed
        anew = getattr(batch_at, "of_share", None)
        self.of_share: Share | None = anew and partial(anew, seed)

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        return self._batch_at(self._seed, step)


class Stream:
    """A workload's batches for one seed, taken in shares.

    Args:
        batch_at: step -> the workload's batch; an ``OfSeed`` may make shares anew.
    """

    def __init__(self, batch_at: Source) -> None:
        self._batch_at = batch_at
        self._of_share: Share | None = getattr(batch_at, "of_share", None)
        self._last: tuple[int, Batch] | None = None

    def take(self, start: Fraction, factor: float) -> Batch:
        """The batch of a step that begins at ``start`` and takes ``factor`` batches.

        Where whole batches are asked for, they come as the workload makes them.

        Raises:
            ValueError: so few that no whole example is among them, or batches that cannot be cut
                or joined.
        """
        # A source that makes shares pads their examples to one another, which cutting cannot.
        if self._of_share is not None and not (factor == 1 and start.denominator == 1):
            return self._of_share(start, factor)
        # Exact: in floats a third of a batch three times over would lose or repeat an example.
        end = start + Fraction(factor)
        parts = []
        for number in range(math.floor(start), math.ceil(end)):
            batch = self._batch(number)
            whole = start <= number and number + 1 <= end
            if whole:
                parts.append(batch)
                continue
            size = batch_size(batch)
            low, high = (_place(edge - number, size) for edge in (start, end))
            if low < high:
                parts.append(cut(batch, low, high, size))
        if not parts:
            raise ValueError(
                "a batch factor must leave at least one whole example, but got "
                f"factor={factor:g} of batches of {batch_size(self._batch(math.floor(start)))}: "
                "where it is an epoch's last one that is short, leave it out (drop_last=True)"
            )
        return join(parts)

    def _batch(self, number: int) -> Batch:
        """The workload's; the last one is kept, of which the next step may take more."""
        if self._last is None or self._last[0] != number:
            self._last = number, self._batch_at(number)
        return self._last[1]


def _place(edge: Fraction, size: int) -> int:
    return whole_examples(min(max(edge, Fraction(0)), Fraction(1)), size)


def batch_size(batch: Batch) -> int:
    """Examples in a batch: the first dimension of its first tensor or array that has one.

    Raises:
        ValueError: there is none, or it is empty.
    """
    sizes = [_length(tensor) for tensor in _tensors(batch)]
    if not sizes or not sizes[0]:
        raise ValueError(
            "a batch must hold a tensor or array with examples along its first dimension to be "
            f"cut or joined, but got {type(batch).__name__} with "
            f"{'none' if not sizes else 'an empty one'}"
        )
    return int(sizes[0])


def _tensors(batch: Batch) -> list[Any]:
    """The tensors and arrays of a batch, in order."""
    found: list[Any] = []

    def note(each: Sequence[Any]) -> Any:
        found.extend(each[:1] if isinstance(each[0], (Tensor, np.ndarray)) else ())
        return each[0]

    _mapped(note, [batch])
    return [each for each in found if each.ndim]


def _length(column: Any) -> int:
    """Length along the first dimension; ``size``, as a nested tensor has no shape."""
    return int(column.size(0) if isinstance(column, Tensor) else column.shape[0])


def cut(batch: Batch, low: int, high: int, size: int) -> Batch:
    """Examples ``low`` to ``high`` of a batch of ``size``.

    Tensors and arrays of that many along their first dimension are cut, and lists of so many words,
    numbers or things of an example each; all else is as it was.
    """
    return _mapped(
        lambda each: _rows(each[0], low, high) if _holds_examples(each[0], size) else each[0],
        [batch],
        [size],
    )


def _rows(column: Any, low: int, high: int) -> Any:
    _refuse_rigid(column)
    if isinstance(column, Tensor) and column.layout is torch.sparse_coo:
        # Slices of a sparse tensor are not implemented.
        return column.index_select(0, torch.arange(low, high, device=column.device))
    return column[low:high]


def _refuse_rigid(column: Any) -> None:
    """Refuse tensors of examples that torch neither cuts nor joins."""
    if not isinstance(column, Tensor):
        return
    if column.is_nested:
        what = "nested: pad its examples to one length"
    elif column.layout not in (torch.strided, torch.sparse_coo):
        what = f"{str(column.layout).removeprefix('torch.')}: make it sparse_coo or dense"
    else:
        return
    raise ValueError(
        f"a batch must hold its examples in tensors that can be cut and joined, but one is {what}"
    )


def example(batch: Batch, row: int, size: int) -> Any:
    """One example of a batch of ``size``; what belongs to no one example is as it was."""
    return _mapped(
        lambda each: each[0][row] if _holds_examples(each[0], size) else each[0], [batch], [size]
    )


def join(batches: Sequence[Batch]) -> Batch:
    """Batches as one, columns of examples one after the other; all else is the first one's.

    Raises:
        ValueError: their examples have different shapes, or one holds a tensor, an array or a list
            that is not of its examples and not the same in all: of the others it would be lost.
    """
    if len(batches) == 1:
        return batches[0]
    sizes = [batch_size(batch) for batch in batches]

    def joined(each: Sequence[Any]) -> Any:
        if not all(_holds_examples(t, size) for t, size in zip(each, sizes, strict=True)):
            _refuse_others(each, sizes)
            return each[0]
        if isinstance(each[0], (list, tuple)):
            return sequence_like(each[0], [value for column in each for value in column])
        for column in each:
            _refuse_rigid(column)
        if len({t.shape[1:] for t in each}) > 1:
            raise ValueError(
                "batches must have examples of one shape to be joined, but got "
                f"{[tuple(t.shape) for t in each]}: pad all batches to one length, or bring the "
                "data as Examples(..., collate=...), which pads those of a step to one another"
            )
        return torch.cat(list(each)) if isinstance(each[0], Tensor) else np.concatenate(each)

    return _mapped(joined, batches, sizes)


def _refuse_others(columns: Sequence[Any], sizes: Sequence[int]) -> None:
    if all(same_values(columns[0], other) for other in columns[1:]):
        return
    forms = [
        f"a list of {len(c)}" if isinstance(c, (list, tuple)) else tuple(c.shape) for c in columns
    ]
    raise ValueError(
        f"batches of {list(sizes)} examples must have as many along the first dimension of "
        f"everything that differs between them to be joined, but got {forms}"
    )


def _holds_examples(column: Any, size: int) -> bool:
    if isinstance(column, (list, tuple)):
        return len(column) == size
    return bool(column.ndim > 0 and _length(column) == size)


def _is_column(value: Any) -> bool:
    """Whether a batch may hold its examples in it: a tensor, an array, a list of plain values."""
    if isinstance(value, (Tensor, np.ndarray)):
        return True
    return type(value) is list and all(isinstance(each, PLAIN) for each in value)


def _is_one_each(value: Any, size: int, seen: Tensor | np.ndarray[Any, Any]) -> bool:
    """Whether a list or tuple holds a thing of each of ``size`` examples: a text, what is known of
    it in a dict, its boxes, a sequence of its own length.

    Args:
        value: of a batch.
        size: examples in it.
        seen: the tensor or array by which that is known; what holds it is no such list.
    """
    if type(value) not in (list, tuple) or len(value) != size or len(set(map(type, value))) > 1:
        return False
    if isinstance(value[0], PLAIN):
        return isinstance(value[0], (str, bytes))  # numbers in a tuple are sizes
    inside = _tensors(value)
    of_all = [_length(tensor) == size for tensor in inside]
    if any(tensor is seen for tensor in inside) or (inside and all(of_all)):
        return False
    return not (any(of_all) and isinstance(value[0], Tensor))


def _mapped(
    change: Callable[[Sequence[Any]], Any], batches: Sequence[Any], sizes: Sequence[int] = ()
) -> Any:
    """One value made of batches of one structure, by ``change`` of the columns at each place.

    Mappings, lists, tuples (named ones too) and dataclasses are followed.

    Args:
        change: what is made of the columns at one place.
        batches: of one structure.
        sizes: examples in each, where lists that hold a thing of each are columns too.

    Raises:
        ValueError: sequences of different lengths that are packed into one.
    """
    seen = [_tensors(batch)[0] for batch in batches] if sizes else []

    def mapped(values: Sequence[Any]) -> Any:
        first = values[0]
        if isinstance(first, PackedSequence):
            raise ValueError("a batch must be of whole examples to be cut or joined, but is packed")
        if _is_column(first) or (
            any(map(_is_one_each, values, sizes, seen))
            and all(len(each) == size for each, size in zip(values, sizes, strict=True))
        ):
            return change(values)
        if isinstance(first, Mapping):
            return _like(first, {key: mapped([b[key] for b in values]) for key in first})
        if isinstance(first, (list, tuple)):
            parts = [mapped(list(column)) for column in zip(*values, strict=True)]
            return sequence_like(first, parts)
        if dataclasses.is_dataclass(first) and not isinstance(first, type):
            return _fields_mapped(mapped, values)
        return first

    return mapped(batches)


def _like(first: Mapping[Any, Any], parts: dict[Any, Any]) -> Mapping[Any, Any]:
    """The parts in a mapping of the kind of ``first``, if it takes them."""
    if type(first) is dict or not isinstance(first, MutableMapping):
        return parts
    return mapping_like(first, parts)


def _fields_mapped(mapped: Callable[[Sequence[Any]], Any], batches: Sequence[Any]) -> Any:
    same = dataclass_like(batches[0])
    for field in dataclasses.fields(same):
        if hasattr(same, field.name):
            part = mapped([getattr(batch, field.name) for batch in batches])
            object.__setattr__(same, field.name, part)
    return same
