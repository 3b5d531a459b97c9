"""Batches by number from examples that are numbered themselves."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from models.adapters.fingerprints import fingerprint_of
from models.adapters.numbered import (
    Collate,
    instead_of_columns,
    numbered,
    refuse_the_same,
    taken,
)
from models.application.batches import Stream
from models.batches import Batch
from models.workload import is_count

SPLIT_SEED = 20_013
"""Of which examples are held out, where a share is."""
HELD_OUT_SEED = 20_014
"""Of what a collate function draws for them."""
EPOCHS_KEPT = 4
"""Orders that are remembered: a run's own, and the next."""
T = TypeVar("T")


class Data(Protocol):
    """What a workload is made of beside its model.

    Attributes:
        fingerprint: changes with the data.
    """

    fingerprint: str

    @property
    def batch_at(self) -> Callable[[int, int], Batch]:
        """(seed, step) -> batch, as in ``models.workload.Workload``."""

    @property
    def examples_at(self) -> Callable[[int, int], Tensor] | None:
        """Likewise; None where examples have no numbers."""

    @property
    def held_out(self) -> Sequence[Batch]:
        """The batches to evaluate on, always the same."""


class Recent(Generic[T]):
    """A cache of what was made for the last few keys."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, int], T] = {}

    def of(self, key: tuple[int, int], make: Callable[..., T]) -> T:
        """What ``make(*key)`` gives, made once while it is kept."""
        # Stored here and by nobody else: by that a workload's identity tells a cache from a value.
        if key not in self._made:
            if len(self._made) == EPOCHS_KEPT:
                del self._made[next(iter(self._made))]
            self._made[key] = make(*key)
        return self._made[key]


class Examples:
    """A map-style data set, in epochs that are shuffled by the seed.

    What ``dataset[i]`` and ``collate`` draw at random depends on the seed and the step alone. An
    epoch leaves out what does not fill a batch.

    Args:
        train: a torch ``Dataset``, one of Hugging Face ``datasets``, a list, or tensors or arrays
            of as many rows in a tuple.
        held_out: the same for evaluation, or a share of ``train``, drawn once.
        batch_size: examples a step.
        collate: a list of examples -> a batch; torch's own by default.
        shuffle: whether an epoch has an order of its own.

    Raises:
        ValueError: it has no length or no numbered examples, or too few of them.
    """

    # The parts of a DataLoader, each with its name there, and what is held out.
    def __init__(
        self,
        train: Any,
        held_out: Any = 0.1,
        *,
        batch_size: int = 32,
        collate: Collate | None = None,
        shuffle: bool = True,
    ) -> None:
        refuse_the_same(train, held_out)
        source = numbered(train)
        ids, rest = np.arange(len(source)), np.arange(0)
        if isinstance(held_out, (int, float)):
            ids, rest = _split(len(source), held_out)
        self._ids, self._shuffle, self._size = ids, shuffle, batch_size
        self._source, self._collate = source, collate
        self._held = (source, rest) if len(rest) else _whole(held_out)
        if not is_count(batch_size) or not 1 <= batch_size <= len(ids):
            raise ValueError(
                f"1 <= batch_size <= {len(ids)}, the examples to train on, must hold of a whole "
                f"number, but got batch_size={batch_size!r}{instead_of_columns(train)}"
            )
        self.fingerprint = fingerprint_of(source, self._held[0], (len(ids), batch_size, shuffle))
        self._orders: Recent[np.ndarray] = Recent()
        self.batch_at = BatchAt(self) if collate is None else Collated(self)
        self.examples_at: Callable[[int, int], Tensor] | None = self.ids_at

    def ids_at(self, seed: int, step: int) -> Tensor:
        """Which examples the batch of ``step`` holds, int64 (batch_size,)."""
        epoch, place = divmod(step, len(self._ids) // self._size)
        order = self._orders.of((seed, epoch), self._ordered)
        return torch.from_numpy(order[place * self._size : (place + 1) * self._size])

    def batch_of(self, seed: int, step: int) -> Batch:
        """The batch of a step, on the CPU."""
        return self.batch_from(self.ids_at(seed, step), (seed, step))

    def batch_from(self, ids: Tensor, numbers: tuple[int, ...]) -> Batch:
        """A batch of some examples, on the CPU; what is drawn for it depends on ``numbers``."""
        return taken(self._source, ids.tolist(), self._collate, numbers)

    @property
    def code(self) -> Any:
        """The user's code that makes a batch."""
        return self._collate or type(getattr(self._source, "dataset", self._source))

    @functools.cached_property
    def held_out(self) -> Sequence[Batch]:
        """The held-out examples in order, in batches; the last batch holds what is left."""
        source, ids = self._held
        parts = [ids[at : at + self._size].tolist() for at in range(0, len(ids), self._size)]
        return [
            taken(source, part, self._collate, (HELD_OUT_SEED, number))
            for number, part in enumerate(parts)
        ]

    def _ordered(self, seed: int, epoch: int) -> np.ndarray:
        if not self._shuffle:
            return self._ids
        return np.random.default_rng((seed, epoch)).permutation(self._ids)


class BatchAt:
    """``batch_at`` of some data; shows the user's code behind it to who looks for it."""

    def __init__(self, data: Any) -> None:
        self._data, self.__wrapped__ = data, data.code

    def __call__(self, seed: int, step: int) -> Batch:
        """The batch of a step."""
        return self._data.batch_of(seed, step)


class Collated(BatchAt):
    """``batch_at`` of examples that a function of the user's puts together: any of them."""

    def of_share(self, seed: int, start: Fraction, factor: float) -> Batch:
        """A batch of the examples of ``factor`` batches from ``start`` on; see ``Stream``.

        Raises:
            ValueError: there are none.
        """
        ids = Stream(partial(self._data.ids_at, seed)).take(start, factor)
        return self._data.batch_from(ids, (seed, start.numerator, start.denominator))


class Windows:
    """Windows of a text beside one another, for a language model whose forward makes the loss.

    Args:
        tokens: int64 (tokens,), or text, whose UTF-8 bytes are the tokens.
        length: tokens of a window.
    """

    def __init__(self, tokens: Tensor | str, length: int) -> None:
        if not isinstance(tokens, (str, Tensor)):
            way = "path.read_text()" if isinstance(tokens, os.PathLike) else "torch.tensor(it)"
            raise ValueError(
                f"tokens must be a text or a tensor of numbers, but got a {type(tokens).__name__}: "
                f"give {way}"
            )
        if isinstance(tokens, str):
            tokens = torch.frombuffer(bytearray(tokens.encode()), dtype=torch.uint8).long()
        if len(tokens) < 2 * length:
            raise ValueError(
                f"a text must have two windows at least, but got {len(tokens)} tokens for windows "
                f"of length={length}"
            )
        self.windows = tokens[: len(tokens) // length * length].view(-1, length)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        window = self.windows[index]
        return {"input_ids": window, "labels": window}


def _whole(held_out: Any) -> tuple[Any, np.ndarray]:
    """Another data set for evaluation, all of it."""
    source = numbered(held_out)
    if not len(source):
        raise ValueError("held_out must hold examples to evaluate on, but got an empty data set")
    return source, np.arange(len(source))


def _split(count: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    held = round(share * count)
    if not 0 < share < 1 or not 0 < held < count:
        raise ValueError(
            "held_out must be a data set, or a share between 0 and 1 that leaves examples on both "
            f"sides, but got held_out={share!r} of {count} examples"
        )
    order = np.random.default_rng(SPLIT_SEED).permutation(count)
    return order[held:], np.sort(order[:held])
