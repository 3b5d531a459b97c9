"""Batches by number from a ``DataLoader``, in its own order."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Sampler, default_collate

from models.adapters.drawing import drawing_from
from models.adapters.examples import HELD_OUT_SEED, BatchAt, Collated, Data, Recent
from models.adapters.fingerprints import fingerprint_of
from models.adapters.numbered import numbered, refuse_the_same, taken
from models.batches import Batch

ASKED_AGAIN = 1_000
"""Batches of a loader's order that are asked for twice: one with a state of its own tells in the
first few, and all of a million examples take half a second."""


def from_loader(train: DataLoader[Any], held_out: Any) -> Data:
    """The data of a ``DataLoader``: its data set, collate function and batches, in its order.

    Args:
        train: its samplers are asked anew for every epoch, generators that they hold seeded; worker
            processes are not used.
        held_out: a loader, gone through once, or other batches in a list.

    Raises:
        ValueError: it goes through a stream: give a ``Cursor`` what makes it; or its order hangs on
            how often it was asked.
    """
    if isinstance(train.dataset, IterableDataset) or train.batch_sampler is None:
        raise ValueError(
            "a DataLoader must number its examples in batches, but this one goes through a stream: "
            "give Cursor(lambda: loader, held_out), which reads it from its beginning"
        )
    if not len(train):
        raise ValueError(
            "a DataLoader must give at least one batch, but this one gives none of its "
            f"{len(train.dataset)} examples: lower batch_size, or leave out drop_last=True"  # type: ignore[arg-type]
        )
    refuse_the_same(train, held_out)
    return Loaded(train, held_out)


class Loaded:
    """Batches of a ``DataLoader`` by number; see ``from_loader``."""

    def __init__(self, train: DataLoader[Any], held_out: Any) -> None:
        self._loader, self._held, self._source = train, held_out, numbered(train.dataset)
        self._epochs: Recent[list[list[int]]] = Recent()
        self.fingerprint = fingerprint_of(self._source, None, (len(train), train.batch_size))
        own = train.collate_fn
        self._collate = None if own is default_collate else own
        self.batch_at = BatchAt(self) if self._collate is None else Collated(self)
        self.examples_at: Callable[[int, int], Tensor] | None = self.ids_at
        first = self._epochs.of((0, 0), self._batches)
        if first[:ASKED_AGAIN] != self._asked(0, 0, ASKED_AGAIN):
            raise ValueError(
                "a DataLoader's sampler must give one order for one seed and epoch, but it gave "
                f"another the second time: {_names_of(train)} has a state of its own; let it draw "
                "from torch's generator, keep its own one in an attribute, or have "
                "set_epoch(epoch)"
            )

    @property
    def code(self) -> Any:
        """The user's code that makes a batch."""
        return self._loader.collate_fn

    def ids_at(self, seed: int, step: int) -> Tensor:
        """Which examples the batch of ``step`` holds."""
        return torch.tensor(self._ids(seed, step))

    def batch_of(self, seed: int, step: int) -> Batch:
        """The batch of a step, on the CPU."""
        return self.batch_from(self.ids_at(seed, step), (seed, step))

    def batch_from(self, ids: Tensor, numbers: tuple[int, ...]) -> Batch:
        """A batch of some examples, on the CPU; what is drawn for it depends on ``numbers``."""
        return taken(self._source, ids.tolist(), self._collate, numbers)

    @functools.cached_property
    def held_out(self) -> Sequence[Batch]:
        """The batches that the other loader gives in one pass."""
        with drawing_from(HELD_OUT_SEED):
            return [dict(each) if isinstance(each, Mapping) else each for each in self._held]

    def _ids(self, seed: int, step: int) -> list[int]:
        epoch, place = divmod(step, len(self._loader))
        return self._epochs.of((seed, epoch), self._batches)[place]

    def _asked(self, seed: int, epoch: int, most: int | None = None) -> list[list[int]]:
        """Numbers of the examples in each of an epoch's batches; ``most`` limits the batches."""
        sampler: Any = self._loader.batch_sampler
        with drawing_from(seed, epoch):
            _begin_again(sampler, epoch)
            return [list(map(int, batch)) for batch in itertools.islice(sampler, most)]

    def _batches(self, seed: int, epoch: int) -> list[list[int]]:
        batches = self._asked(seed, epoch)
        if len(batches) < len(self._loader):
            raise ValueError(
                "a DataLoader's sampler must give as many batches an epoch as its length says, but "
                f"it gave {len(batches)} in epoch {epoch}, and its length says "
                f"{len(self._loader)}: let __len__ be the least that an epoch has"
            )
        return batches


def _begin_again(sampler: Any, epoch: int) -> None:
    """Seed what a sampler and those within it draw from, by what is drawn here."""
    if callable(getattr(sampler, "set_epoch", None)):
        sampler.set_epoch(epoch)
    for each in getattr(sampler, "__dict__", {}).values():
        if isinstance(each, Sampler):
            _begin_again(each, epoch)
        elif isinstance(each, (torch.Generator, *OWN_GENERATORS)):
            _seed(each, int(torch.empty((), dtype=torch.int64).random_().item()))


OWN_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)


def _seed(generator: Any, number: int) -> None:
    if isinstance(generator, torch.Generator):
        generator.manual_seed(number)
    elif isinstance(generator, np.random.Generator):
        bits = generator.bit_generator
        bits.state = type(bits)(number).state
    else:
        generator.seed(number % 2**32)


def _names_of(loader: DataLoader[Any]) -> str:
    """The kinds of a loader's samplers that are not torch's."""
    parts = [loader.batch_sampler, getattr(loader.batch_sampler, "sampler", None)]
    own = [type(each) for each in parts if each is not None]
    names = [kind.__name__ for kind in own if not kind.__module__.startswith("torch.")]
    return " or ".join(names) or own[0].__name__
