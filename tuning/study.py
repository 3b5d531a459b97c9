"""What to try next: numbers, baselines first, then what the sampler proposes. Pure; it keeps nothing on disk.

A study is rebuilt from a run's records by the same constructor that starts one, and each proposal depends
only on the search's seed, the trial's number and the trials known then, so a search that was interrupted
goes on as if it had not been.
"""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from search_spaces.base import SearchSpace
from tuning.trial import Origin, Scalar, State, TrialRecord, TrialSpec

SAMPLER_ATTEMPTS = 8
RANDOM_ATTEMPTS = 100


@dataclass(frozen=True)
class Outcome:
    """What a study must know of a trial that is over: a record without its measurements. Seconds are solo."""

    number: int
    origin: Origin
    state: State
    policy: str
    horizon: float
    knobs: Mapping[str, Scalar] = field(default_factory=dict)
    train_seconds: float | None = None
    val_loss: float | None = None
    seconds_to_quality: float | None = None
    reached: bool | None = None
    target_loss: float | None = None


def outcome_of(record: TrialRecord) -> Outcome:
    """The outcome of a record."""
    return Outcome(**{f.name: getattr(record, f.name) for f in dataclasses.fields(Outcome)})


class Sampler(Protocol):
    """Proposes a point of a search space from what is known.

    A pure function of its arguments: it may keep what it has worked out, but must answer as a fresh one
    would.
    """

    def propose(
        self, number: int, finished: Sequence[Outcome], in_flight: Sequence[TrialSpec], attempt: int = 0
    ) -> dict[str, Scalar]:
        """Params for trial ``number``; a later ``attempt`` is another draw, after one that repeats a trial.

        Args:
            number: the trial's, which with the attempt seeds all that is drawn.
            attempt: counts from 0.
            finished: trials that are over, by number; replicates are not among them.
            in_flight: trials that are being trained, by number.
        """

    def draw(self, number: int, attempt: int) -> dict[str, Scalar]:
        """Params drawn uniformly, whatever is known."""


class Study:
    """A search's trials: those that are over, those in flight, and the next.

    ``trials`` counts the rows a search ends with: baselines too, replicates (re-runs for confirmation) not.
    Where it is less than there are baselines, only the first of them are run.

    Attributes:
        exhausted: no point was found that has not been tried; ``ask`` gives no more.
    """

    def __init__(
        self,
        space: SearchSpace,
        baselines: Sequence[TrialSpec],
        sampler: Sampler,
        trials: int,
        *,
        workload: str,
        seed: int,
        target_loss: float | None,
        history: Iterable[Outcome] = (),
        in_flight: Iterable[TrialSpec] = (),
    ) -> None:
        self.exhausted = False
        self._space = space
        self._baselines = list(baselines)
        self._sampler = sampler
        self._trials = trials
        self._workload = workload
        self._seed = seed
        self._target_loss = target_loss
        self._finished: list[Outcome] = []
        self._in_flight: dict[int, TrialSpec] = {}
        self._numbers: set[int] = set()
        self._replicates: set[int] = set()
        self._tried: set[bytes] = set()
        self._next = 0
        for outcome in sorted(history, key=_number):
            self._finish(outcome)
        for spec in in_flight:
            self._start(spec)

    @property
    def finished(self) -> Sequence[Outcome]:
        """The trials that are over, by number, replicates aside."""
        return self._finished

    @property
    def in_flight(self) -> list[TrialSpec]:
        """The trials asked for and not told, by number."""
        return [self._in_flight[number] for number in sorted(self._in_flight)]

    def ask(self) -> TrialSpec | None:
        """The next trial, or None when there are as many as asked for or no new point is left."""
        if self.exhausted or len(self._numbers) - len(self._replicates) >= self._trials:
            return None
        number = self._next_number()
        spec = self._baselines[number] if number < len(self._baselines) else self._sampled(number)
        if spec is None:
            self.exhausted = True
            return None
        spec = dataclasses.replace(spec, target_loss=self._target_loss)
        self._start(spec)
        return spec

    def tell(self, record: TrialRecord | Outcome) -> None:
        """A trial is over. Told twice, the later record holds (a failed trial that was run again)."""
        outcome = record if isinstance(record, Outcome) else outcome_of(record)
        self._in_flight.pop(outcome.number, None)
        self._finish(outcome)

    def _next_number(self) -> int:
        """The least number not used: dense, whatever became of the trials before."""
        while self._next in self._numbers:
            self._next += 1
        return self._next

    def _sampled(self, number: int) -> TrialSpec | None:
        """The sampler's proposal for ``number``, drawn again while it repeats a trial; None if all do."""
        in_flight = self.in_flight
        for attempt in range(SAMPLER_ATTEMPTS + RANDOM_ATTEMPTS):
            if attempt < SAMPLER_ATTEMPTS:
                params = self._sampler.propose(number, self._finished, in_flight, attempt)
            else:
                params = self._sampler.draw(number, attempt)
            policy, horizon, knobs = self._space.split(params)
            if _key(policy, horizon, knobs) not in self._tried:
                return TrialSpec(number, "sampled", self._workload, policy, self._seed, horizon, knobs)
        return None

    def _start(self, spec: TrialSpec) -> None:
        self._in_flight[spec.number] = spec
        self._numbers.add(spec.number)
        self._tried.add(_key(spec.policy, spec.horizon, spec.knobs))

    def _finish(self, outcome: Outcome) -> None:
        self._numbers.add(outcome.number)
        if outcome.origin == "replicate":
            self._replicates.add(outcome.number)
            return
        self._tried.add(_key(outcome.policy, outcome.horizon, outcome.knobs))
        place = bisect.bisect_left(self._finished, outcome.number, key=_number)
        again = place < len(self._finished) and self._finished[place].number == outcome.number
        self._finished[place : place + again] = [outcome]


def _number(outcome: Outcome) -> int:
    return outcome.number


def _key(policy: str, horizon: float, knobs: Mapping[str, Scalar]) -> bytes:
    """What makes two trials the same: a digest of everything that decides how they train.

    Sixteen bytes a trial, where the knobs themselves would take two kilobytes of a long search's memory.
    """
    values = [(name, value if isinstance(value, (bool, str)) else float(value)) for name, value in knobs.items()]
    return hashlib.blake2b(repr((policy, float(horizon), sorted(values))).encode(), digest_size=16).digest()
