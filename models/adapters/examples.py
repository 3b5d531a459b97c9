"""Batches by number from examples that are numbered themselves."""

from __future__ import annotations

import functools
import itertools
import os
import random
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Sampler, default_collate

from models.adapters.drawing import drawing_from
from models.adapters.fingerprints import fingerprint_of
from models.application.batches import Stream
from models.batches import Batch
from models.workload import is_count

SPLIT_SEED = 20_013
"""Of which examples are held out, where a share is."""
HELD_OUT_SEED = 20_014
"""Of what a collate function draws for them."""
EPOCHS_KEPT = 4
"""Orders that are remembered: a run's own, and the next."""
ASKED_AGAIN = 1_000
"""Batches of a loader's order that are asked for twice: one with a state of its own tells in the
first few, and all of a million examples take half a second."""
COLUMN = (Tensor, np.ndarray)
"""What holds a part of every example, along its first dimension."""
T = TypeVar("T")
Collate = Callable[[list[Any]], Batch]


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
    """What was made for the last few keys."""

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
        _refuse_the_same(train, held_out)
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
                f"number, but got batch_size={batch_size!r}{_instead_of_columns(train)}"
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
        """The held-out examples in order, the last batch what is left."""
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


class Rows:
    """Tensors of as many rows; an example is a row of each."""

    def __init__(self, tensors: Sequence[Tensor], *, alone: bool) -> None:
        lengths = {len(each) for each in tensors}
        if len(lengths) != 1:
            raise ValueError(
                f"tensors of examples must have as many rows, but got {sorted(lengths)}"
            )
        self.tensors, self.alone = tuple(tensors), alone

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int) -> Any:
        rows = tuple(each[index] for each in self.tensors)
        return rows[0] if self.alone else rows


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


def numbered(given: Any) -> Any:
    """A data set whose examples are had by number, of whatever kind.

    Raises:
        ValueError: it has none.
    """
    if isinstance(given, Tensor):
        return Rows([given], alone=True)
    if isinstance(given, tuple) and given and all(isinstance(each, COLUMN) for each in given):
        return Rows([torch.as_tensor(each) for each in given], alone=False)
    if type(given).__name__ == "TensorDataset":
        return Rows(given.tensors, alone=False)
    lacking = [name for name in ("__len__", "__getitem__") if not hasattr(given, name)]
    other = isinstance(given, (IterableDataset, Mapping, DataLoader)) or _is_of_pandas(given)
    if lacking or other:
        raise ValueError(
            "examples must be had by number, as a list's or a map-style data set's, but "
            f"{type(given).__name__} is not of that kind: {_instead_of(given)}"
        )
    plain = hasattr(given, "with_format") and (getattr(given, "format", None) or {}).get("type")
    return given.with_format("torch") if plain is None else given


def _refuse_the_same(train: Any, held_out: Any) -> None:
    """Refuse to evaluate on what is trained on.

    Raises:
        ValueError: both are the same object, or tensors that are.
    """
    one, other = (each if isinstance(each, tuple) else (each,) for each in (train, held_out))
    if len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True)):
        raise ValueError(
            "held_out must be other examples than those trained on, but got the same "
            f"{type(train).__name__} for both: give another, or a share as held_out=0.1; where the "
            "loss on what was learned is wanted, a copy"
        )


def _instead_of(given: Any) -> str:
    """What to give where examples have no number."""
    if isinstance(given, Mapping):
        first, *rest = given or ("train",)
        if hasattr(given.get(first), "features"):
            held = f"data[{rest[0]!r}]" if rest else "0.1"
            return f"give its parts, Examples(data[{first!r}], {held}, ...)"
        return "of columns make datasets.Dataset.from_dict(columns), or a list of dicts"
    if _is_of_pandas(given):
        rows = ".to_dict('records')" if hasattr(given, "columns") else ".tolist()"
        return f"of pandas give it{rows}, or torch.tensor(it.values)"
    if isinstance(given, DataLoader):
        return "of a DataLoader make from_loader(loader, ...)"
    return "of a stream make Cursor(make_stream, ...)"


def _is_of_pandas(given: Any) -> bool:
    """Whether it is a table or column of pandas, which numbers by labels."""
    return type(given).__module__.split(".")[0] == "pandas"


def _instead_of_columns(given: Any) -> str:
    """What to say where a list of columns was taken for so many examples."""
    if isinstance(given, list) and given and all(isinstance(each, COLUMN) for each in given):
        return f"; a list of {len(given)} tensors is as many examples: give their rows in a tuple"
    return ""


def taken(source: Any, ids: list[int], collate: Collate | None, numbers: tuple[int, ...]) -> Batch:
    """The batch of some examples; what is drawn for it depends on ``numbers`` alone."""
    if isinstance(source, Rows) and collate is None:
        rows = tuple(each[ids] for each in source.tensors)
        return rows[0] if source.alone else rows
    with drawing_from(*numbers):
        many = getattr(source, "__getitems__", None)
        found = list(many(ids)) if many else [source[index] for index in ids]
        batch = collate(found) if collate else _put_together(found)
    # A tokenizer's own kind of mapping cannot be cut and joined.
    return dict(batch) if isinstance(batch, Mapping) else batch


def _put_together(found: list[Any]) -> Batch:
    """A batch by torch's own collate.

    Raises:
        ValueError: it cannot be made so.
    """
    try:
        return default_collate(found)
    except (RuntimeError, TypeError, KeyError) as fault:
        raise ValueError(
            "examples must make a batch by torch's own collate, but it raised "
            f"{type(fault).__name__}: {str(fault).splitlines()[0]}; give collate=, which pads "
            "texts of unlike length, say"
        ) from None


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
    _refuse_the_same(train, held_out)
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
        """What the other loader gives, once."""
        with drawing_from(HELD_OUT_SEED):
            return [dict(each) if isinstance(each, Mapping) else each for each in self._held]

    def _ids(self, seed: int, step: int) -> list[int]:
        epoch, place = divmod(step, len(self._loader))
        return self._epochs.of((seed, epoch), self._batches)[place]

    def _asked(self, seed: int, epoch: int, most: int | None = None) -> list[list[int]]:
        """The numbers of an epoch's examples by batch; of its first ``most`` batches."""
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
