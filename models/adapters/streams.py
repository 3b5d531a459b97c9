"""Batches by number from what can only be gone through: a loader over a stream, a generator."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from models.adapters.drawing import Generators, drawing_from
from models.adapters.examples import HELD_OUT_SEED, BatchAt
from models.adapters.fingerprints import fingerprint_of
from models.batches import Batch, same_values, tensors_of

OPEN = 2
"""Places in the stream that are kept, each of one seed."""
KEPT = 8
"""Batches behind each that are kept, as some are asked for again."""


def _as_function(made: Any) -> str:
    if isinstance(made, Iterator):
        return "give the function that makes it, without calling it"
    return "give lambda: it"


class Cursor:
    """A stream that is read on, or again from its beginning, to the batch that is asked for.

    When it ends it begins again, with other numbers drawn. To go on at step n of a run, n batches
    are read and passed over.

    Args:
        make: () -> the stream from its beginning, an iterable of batches; what it draws from
            Python's, NumPy's and torch's generators depends on the seed alone.
        held_out: batches to evaluate on: a list, or an iterable that ends.

    Raises:
        ValueError: it cannot be read again.
    """

    def __init__(self, make: Callable[[], Iterable[Batch]], held_out: Iterable[Batch]) -> None:
        if not callable(make):
            raise ValueError(
                "a stream must be given as a function that begins it anew, but got a "
                f"{type(make).__name__}: {_as_function(make)}"
            )
        self._make, self._held = make, held_out
        self._places: dict[int, _Place] = {}
        first = _Place(make, 0).batch(0)
        if not same_values(first, _Place(make, 0).batch(0)):
            raise ValueError(
                "a stream must begin alike each time it is made, but its first batch was another "
                "the second time: make the iterator anew in the function, and draw from the "
                "process's generators or from ones that are seeded there"
            )
        self.fingerprint = fingerprint_of(*[repr(tensor) for tensor in tensors_of(first)])
        self.batch_at = BatchAt(self)
        self.examples_at: Callable[[int, int], Tensor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without its places: another process reads from the beginning."""
        return {**self.__dict__, "_places": {}}

    @property
    def code(self) -> Any:
        """The user's code that makes the stream."""
        return self._make

    def batch_of(self, seed: int, step: int) -> Batch:
        """The batch of a step; reads on from the last one of that seed, or from the beginning."""
        place = self._places.pop(seed, None)
        if place is None or place.begins_after(step):
            place = _Place(self._make, seed)
        self._places[seed] = place  # the last in order is the last used
        if len(self._places) > OPEN:
            del self._places[next(iter(self._places))]
        return place.batch(step)

    @functools.cached_property
    def held_out(self) -> Sequence[Batch]:
        """The held-out batches, read once."""
        with drawing_from(HELD_OUT_SEED):
            return list(map(_plain, self._held))


@dataclass
class _Place:
    """How far one seed's stream was read."""

    make: Callable[[], Iterable[Batch]]
    seed: int

    def __post_init__(self) -> None:
        self._epochs = itertools.count()
        self._kept: dict[int, Batch] = {}
        self._begin()

    @property
    def _next(self) -> int:
        """The first step that was not read.

        It is derived and not stored: a stored number would pass for one that the training changes
        and its losses may depend on.
        """
        return next(reversed(self._kept), -1) + 1

    def begins_after(self, step: int) -> bool:
        """Whether the batch of ``step`` was read and is not kept."""
        return step < self._next and step not in self._kept

    def batch(self, step: int) -> Batch:
        """The batch of a step that was not passed."""
        while (number := self._next) <= step:
            self._kept[number] = self._read()
            self._kept.pop(number - KEPT, None)
        return self._kept[step]

    def _begin(self) -> None:
        self._generators = Generators(self.seed, next(self._epochs))
        with self._generators.drawing():
            made = self.make()
            if isinstance(made, Iterator) and made is self.__dict__.get("_made"):
                raise ValueError(_SPENT)
            self._made: Any = made
            self._stream = iter(made)

    def _read(self) -> Batch:
        for _ in range(2):
            with self._generators.drawing():
                for batch in self._stream:
                    return _plain(batch)
            self._begin()
        raise ValueError(_SPENT)


_SPENT = (
    "a stream must begin again when it is made again, but no batch came: let the function make a "
    "new iterator each time, not give the same one"
)


def _plain(batch: Batch) -> Batch:
    return dict(batch) if isinstance(batch, Mapping) else batch
