"""A list of runs, given out one after another: a confirmation's, a comparison's, a study's."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Sequence

from tuning.store.store import Store
from tuning.trial.outcome import Outcome, outcome_of
from tuning.trial.recipe import Recipe
from tuning.trial.trial import TrialRecord, TrialSpec

Run = tuple[Recipe, int]


def run_key(spec: TrialSpec | TrialRecord) -> Run:
    """What is the same in two specs or records of one run: recipe and seed."""
    return spec.recipe, spec.seed


class ListStudy:
    """Gives out the runs of a list that are neither done nor in flight, with dense numbers.

    Args:
        store: the run directory.
        specs: the list; the numbers are not chosen yet.
        done: recipes and seeds that need no training.
    """

    exhausted = False
    """The end of a list is no early end."""

    def __init__(self, store: Store, specs: Iterable[TrialSpec], done: Iterable[Run] = ()) -> None:
        specs = list(specs)
        self.origins = {spec.origin for spec in specs}
        flying = [task.spec for task in store.in_flight() if task.task.is_trial]
        begun = {*done, *(run_key(spec) for spec in flying if spec.origin in self.origins)}
        self._queue = deque(spec for spec in specs if run_key(spec) not in begun)
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
