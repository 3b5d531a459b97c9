"""A user's batches, which come one after the other, by their number in the stream."""

from __future__ import annotations

from collections.abc import Iterable

from models.batches import Batch


class InOrder:
    """Batches of an iterable by their number in the stream, which never falls.

    Args:
        source: gone through again when it ends.
    """

    def __init__(self, source: Iterable[Batch]) -> None:
        self._source, self._at, self._next = source, iter(source), 0

    def __call__(self, number: int) -> Batch:
        """Batch ``number``; those before it are passed over.

        Raises:
            ValueError: no batch is left, and none comes again.
        """
        while self._next < number:
            self._read()
        return self._read()

    def _read(self) -> Batch:
        self._next += 1
        for _ in range(2):
            for batch in self._at:
                return batch
            self._at = iter(self._source)
        raise ValueError(
            f"batches must last for the run, but there were {self._next - 1}: give a DataLoader or "
            "a list, which can be gone through again, or more of them"
        )
