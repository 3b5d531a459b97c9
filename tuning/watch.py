"""From the session's events to what the terminal shows."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from tuning.trial import TrialRecord, TrialSpec


class PlainWatch:
    def phase(self, text: str) -> None:
        print(text, file=sys.stderr)

    def began(self, spec: TrialSpec) -> None:
        pass

    def ended(self, record: TrialRecord) -> None:
        print(record.number, record.origin, record.policy, record.horizon, record.state, record.train_seconds, record.val_loss, record.error, file=sys.stderr)

    def lost(self, spec: TrialSpec, reason: str, *, again: bool) -> None:
        print("lost", spec.number, reason, again, file=sys.stderr)

    def stopping(self, reason: str) -> None:
        print(reason, file=sys.stderr)

    def tick(self) -> None:
        pass


@contextlib.contextmanager
def watching(watcher: Any, *rest: Any) -> Iterator[Any]:
    yield watcher or PlainWatch()
