"""Destinations that follow a search while it runs, each in a thread of its own: one that fails or
hangs is let go, and the search goes on.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

from tuning.elsewhere.destination import Destination, Source
from tuning.elsewhere.place import Place
from tuning.trial.trial import TrialRecord

PATIENCE_SECONDS = 30.0
"""How long the end of a search waits for what is still to be told."""


class _Follower:
    """Tells one destination of records, in order, from a thread of its own."""

    def __init__(self, place: Place, destination: Destination) -> None:
        self._place, self._destination = place, destination
        self._waiting: queue.SimpleQueue[TrialRecord | None] = queue.SimpleQueue()
        self.failure: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"log-{place.kind}", daemon=True)
        self._thread.start()

    def tell(self, record: TrialRecord | None) -> None:
        """Queue a record for the destination; None says that no more come."""
        self._waiting.put(record)

    def finish(self, seconds: float) -> None:
        """Wait at most ``seconds`` for what is still to be told; it is a failure if that is not
        enough.
        """
        self._thread.join(seconds)
        if self._thread.is_alive():
            self.failure = failure_of(self._place, f"it had not taken all after {seconds:g} s")

    def _run(self) -> None:
        try:
            while (record := self._waiting.get()) is not None:
                self._destination.tell(record)
            self._destination.close()
        except Exception as error:
            self.failure = failure_of(self._place, f"{type(error).__name__}: {error}")
            with contextlib.suppress(Exception):
                self._destination.close()


def failure_of(place: Place, why: str) -> str:
    """The message, given once, about a destination that is no longer told anything."""
    first = why.splitlines()[0] if why else "no reason given"
    return (
        f"no more trials are told to {place.kind}:{place.where}: {first}; the search goes on, and "
        "tuning.export --to tells them all later"
    )


class Following:
    """The destinations of one search.

    Args:
        places: where.
        source: the run.
        warn: told once of each destination that is let go.
    """

    def __init__(
        self, places: Sequence[Place], source: Source, warn: Callable[[str], None]
    ) -> None:
        self._warn = warn
        self._followers: list[_Follower] = []
        for place in places:
            try:
                self._followers.append(_Follower(place, place.open(source)))
            except Exception as error:
                warn(failure_of(place, f"{type(error).__name__}: {error}"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for follower in self._followers:
            follower.tell(None)
        for follower in self._followers:
            follower.finish(PATIENCE_SECONDS if kind is None else 1.0)
        self.look()

    def tell(self, records: Iterable[TrialRecord]) -> None:
        """Queue the records for every destination."""
        for record in records:
            for follower in self._followers:
                follower.tell(record)

    def look(self) -> None:
        """Give up the destinations that failed, and warn of each once."""
        for follower in [each for each in self._followers if each.failure]:
            self._warn(str(follower.failure))
            self._followers.remove(follower)
