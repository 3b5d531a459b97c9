"""The confirmation's list of runs, in the place that a study has in a search."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Sequence

from tuning.confirm_plan import Plan
from tuning.replicates import REPLICATE, Key, key
from tuning.store import Store
from tuning.study import Outcome, outcome_of
from tuning.trial import TrialRecord, TrialSpec


class ConfirmStudy:
    """Gives out the plan's runs that are neither recorded nor in flight, with dense numbers."""

    exhausted = False

    def __init__(self, store: Store, plan: Plan, done: Iterable[tuple[Key, int]]) -> None:
        flying = [task.spec for task in store.in_flight() if task.task.isdigit()]
        begun = {*done, *(run_key(spec) for spec in flying if spec.origin == REPLICATE)}
        self._queue = deque(s for s in plan.specs(store.info.config["workload"]) if run_key(s) not in begun)
        self._taken = {*store.numbers(), *(spec.number for spec in flying)}
        self._next = 0
        self._finished: list[Outcome] = []

    @property
    def finished(self) -> Sequence[Outcome]:
        """The runs that this session has seen end."""
        return self._finished

    def ask(self) -> TrialSpec | None:
        """The next run, or None when all have begun."""
        if not self._queue:
            return None
        while self._next in self._taken:
            self._next += 1
        self._taken.add(self._next)
        return dataclasses.replace(self._queue.popleft(), number=self._next)

    def tell(self, record: TrialRecord | Outcome) -> None:
        """A run is over."""
        self._finished.append(record if isinstance(record, Outcome) else outcome_of(record))


def run_key(spec: TrialSpec | TrialRecord) -> tuple[Key, int]:
    """What makes two replicates the same run."""
    return key(spec.policy, spec.horizon, spec.knobs), spec.seed
