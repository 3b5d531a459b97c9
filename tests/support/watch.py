"""A watcher that remembers what a session told it."""

from __future__ import annotations

from collections.abc import Callable

from tuning.trial.trial import TrialRecord, TrialSpec


class Remembering:
    """Everything a session said, in order."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.starts: list[TrialSpec] = []
        self.records: list[TrialRecord] = []
        self.losses: list[tuple[int, str, bool]] = []
        self.reasons: list[str] = []
        self.warnings: list[str] = []
        self.notes: list[str] = []

    def phase(self, text: str) -> None:
        self.phases.append(text)

    def expects(self, seconds: Callable[[TrialSpec], float]) -> None:
        pass

    def began(self, spec: TrialSpec) -> None:
        self.starts.append(spec)

    def ended(self, record: TrialRecord) -> None:
        self.records.append(record)

    def lost(self, spec: TrialSpec, reason: str, *, again: bool) -> None:
        self.losses.append((spec.number, reason, again))

    def stopping(self, reason: str) -> None:
        self.reasons.append(reason)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def tick(self) -> None:
        pass
