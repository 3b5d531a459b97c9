"""What to try next: numbers, baselines first, then what the sampler proposes. Pure; it keeps
nothing on disk.

A study is rebuilt from a run's records by the same constructor that starts one, and each proposal
depends only on the search's seed, the trial's number and the trials known then, so a search that
was interrupted goes on as if it had not been.
"""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from search_spaces.base import SearchSpace
from tuning.study.longer import longer_control
from tuning.study.replicates import choose, is_replicate
from tuning.study.samplers.rungs import Rungs
from tuning.study.samplers.sampler import Sampler
from tuning.study.shorter import shorter_control
from tuning.study.to_target import TURNS, to_target
from tuning.study.tuned import EVERY, tuned_control
from tuning.trial.outcome import Outcome, outcome_of
from tuning.trial.recipe import Recipe
from tuning.trial.trial import AGAIN, CONFIRMATION, REPLICATE, RUNG, TrialRecord, TrialSpec

SAMPLER_ATTEMPTS = 8
RANDOM_ATTEMPTS = 100


class Proposer(Protocol):
    """Decides which trials there are: a search's study, or a confirmation's list.

    Attributes:
        exhausted: whether there are no more trials although more were asked for.
    """

    exhausted: bool

    @property
    def finished(self) -> Sequence[Outcome]:
        """The trials that are over."""

    def ask(self) -> TrialSpec | None:
        """The next trial, or None when there is none."""

    def tell(self, record: TrialRecord | Outcome) -> None:
        """Take note of a trial that is over."""


@dataclass(frozen=True)
class Asked:
    """What a search is to try, beside what its sampler proposes.

    Attributes:
        trials: rows the search ends with, whatever their origin; a confirmation's runs are not the
            search's.
        workload: its name.
        seed: what all but replicates train on.
        target_loss: the target that every trial has.
        baselines: the first trials; where ``trials`` is less, only the first of them are run.
        later: trials that are known before any is run, by the number from which on they are due.
        replicates: the share of the trials after the baselines that re-runs members of the front on
            other seeds; see ``tuning.study.replicates``.
        first_seed: the search's own; None for ``seed``.
        rungs: how sampled recipes are first looked at; None: they are trained at once.
        line_known: whether a proposal that is the own control at yet another horizon is drawn
            again: the control's own runs tell that already.
        longer: whether the own control is trained beyond the baseline's horizon as soon as that
            prices a loss; see ``tuning.study.longer``.
        tuned: whether the leading recipe's numbers are trained without its levers; see
            ``tuning.study.tuned``.
        horizons: the shortest and the longest at which the leading recipe may be trained again to
            end at the target; see ``tuning.study.to_target``. None: it is not.
    """

    trials: int
    workload: str
    seed: int
    target_loss: float | None
    baselines: Sequence[TrialSpec] = ()
    later: Mapping[int, TrialSpec] = field(default_factory=dict)
    replicates: float = 0.0
    first_seed: int | None = None
    longer: bool = False
    tuned: bool = False
    horizons: tuple[float, float] | None = None
    line_known: bool = False
    rungs: Rungs | None = None


class Study:
    """A search's trials: those that are over, those in flight, and the next.

    Attributes:
        exhausted: whether no point was found that has not been tried; ``ask`` then gives no more.
    """

    def __init__(
        self,
        space: SearchSpace,
        sampler: Sampler,
        asked: Asked,
        history: Iterable[Outcome] = (),
        in_flight: Iterable[TrialSpec] = (),
    ) -> None:
        self.exhausted = False
        self._space, self._sampler, self._asked = space, sampler, asked
        self._first_seed = asked.seed if asked.first_seed is None else asked.first_seed
        self._finished: list[Outcome] = []
        self._in_flight: dict[int, TrialSpec] = {}
        self._numbers: set[int] = set()
        self._confirming: set[int] = set()
        self._replicated: dict[Recipe, set[int]] = {}
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
        """The trials that were asked for and are not over, by number."""
        return [self._in_flight[number] for number in sorted(self._in_flight)]

    def ask(self) -> TrialSpec | None:
        """The next trial, or None when there are as many as asked for or no new point is left."""
        if self.exhausted or len(self._numbers) - len(self._confirming) >= self._asked.trials:
            return None
        number = self._next_number()
        if number < len(self._asked.baselines):
            spec: TrialSpec | None = self._asked.baselines[number]
        else:
            spec = (
                # Whoever has no turn at this number, or nothing new to train, leaves it to the
                # next.
                self._due(number)
                or self._longer(number)
                or self._shorter(number)
                or self._to_target(number)
                or self._tuned(number)
                or self._replicate(number)
                or self._going_on(number)
                or self._looked_at(number)
            )
        if spec is None:
            self.exhausted = True
            return None
        spec = dataclasses.replace(spec, target_loss=self._asked.target_loss)
        self._start(spec)
        return spec

    def tell(self, record: TrialRecord | Outcome) -> None:
        """Take note of a trial that is over. Of two records of one trial the later counts (a failed
        trial that was run again).
        """
        outcome = record if isinstance(record, Outcome) else outcome_of(record)
        self._in_flight.pop(outcome.number, None)
        self._finish(outcome)

    def _next_number(self) -> int:
        """The least number that is not used; numbers are dense, whatever became of the trials
        before.
        """
        while self._next in self._numbers:
            self._next += 1
        return self._next

    def _due(self, number: int) -> TrialSpec | None:
        """The first of the later trials that is due and has not been run; None where there is none.
        A confirmation may have taken the place at which it was due.
        """
        due = (
            spec
            for at, spec in sorted(self._asked.later.items())
            if at <= number and _digest(spec) not in self._tried
        )
        spec = next(due, None)
        return None if spec is None else dataclasses.replace(spec, number=number)

    def _longer(self, number: int) -> TrialSpec | None:
        """The own control at a longer horizon, once a trial has ended below it; None else. It does
        not come before the first sampled trial, or a very short search would sample nothing.
        """
        if not self._asked.longer or number <= len(self._asked.baselines):
            return None
        spec = longer_control(self._finished, self._asked.workload, self._asked.seed)
        return self._if_new(spec, number)

    def _shorter(self, number: int) -> TrialSpec | None:
        """The own control for as short as a recipe that was trained for less than it ever was;
        None where none was, and where nothing is trained down to a target.
        """
        if self._asked.horizons is None:
            return None
        spec = shorter_control(self._finished, self._asked.workload, self._asked.seed)
        return self._if_new(spec, number)

    def _to_target(self, number: int) -> TrialSpec | None:
        """The leader at the horizon that it should need to reach the target, where its turn has
        come and that is new; None else.
        """
        asked, sampled = self._asked, number - len(self._asked.baselines)
        if asked.horizons is None or asked.target_loss is None:
            return None
        if sampled < 0 or sampled % EVERY not in TURNS:
            return None
        spec = to_target(
            self._finished, asked.target_loss, asked.horizons, asked.workload, asked.seed
        )
        return self._if_new(spec, number)

    def _tuned(self, number: int) -> TrialSpec | None:
        """The leader's numbers without its levers, where their turn has come and they are new; None
        else.
        """
        sampled = number - len(self._asked.baselines)
        if not self._asked.tuned or sampled < 0 or sampled % EVERY != EVERY - 1:
            return None
        spec = tuned_control(self._finished, self._asked.workload, self._asked.seed)
        return self._if_new(spec, number)

    def _if_new(self, spec: TrialSpec | None, number: int) -> TrialSpec | None:
        """The spec with this ``number``; None where there is no spec, or its recipe was tried
        before.
        """
        if spec is None or _digest(spec) in self._tried:
            return None
        return dataclasses.replace(spec, number=number)

    def _replicate(self, number: int) -> TrialSpec | None:
        """A member of the front on another seed, if trial ``number`` is to be one and there is a
        member; None else.
        """
        if not is_replicate(self._asked.replicates, number - len(self._asked.baselines)):
            return None
        chosen = choose(self._finished, self._replicated, self._first_seed)
        if chosen is None:
            return None
        member, seed = chosen
        return TrialSpec(number, REPLICATE, self._asked.workload, member.recipe, seed)

    def _going_on(self, number: int) -> TrialSpec | None:
        """A recipe that held up on its rung, trained as it is meant; None where none waits."""
        rungs = self._asked.rungs
        if rungs is None:
            return None
        recipe = rungs.next(self._finished, lambda each: _digest_of(each) in self._tried)
        if recipe is None:
            return None
        return TrialSpec(number, "sampled", self._asked.workload, recipe, self._asked.seed)

    def _looked_at(self, number: int) -> TrialSpec | None:
        """The sampler's proposal at its rung's horizon; the own control is trained as it is
        meant.
        """
        spec, rungs = self._sampled(number), self._asked.rungs
        if spec is None or rungs is None or spec.recipe.is_control:
            return spec
        return dataclasses.replace(spec, origin=RUNG, recipe=rungs.first(spec.recipe))

    def _sampled(self, number: int) -> TrialSpec | None:
        """The sampler's proposal for ``number``, drawn again while it repeats a trial or is a
        control that tells nothing new.

        Where no draw is better, the first such control that repeats no trial; None where all repeat
        one.
        """
        control: TrialSpec | None = None
        in_flight = [spec for spec in self.in_flight if spec.origin not in AGAIN]
        for attempt in range(SAMPLER_ATTEMPTS + RANDOM_ATTEMPTS):
            if attempt < SAMPLER_ATTEMPTS:
                params = self._sampler.propose(number, self._finished, in_flight, attempt)
            else:
                # The model keeps to what was tried; in a small space chance still finds what is
                # left.
                params = self._sampler.draw(number, attempt)
            policy, horizon, knobs = self._space.split(params)
            spec = TrialSpec(
                number,
                "sampled",
                self._asked.workload,
                Recipe(policy, horizon, knobs),
                self._asked.seed,
            )
            if self._is_known(spec.recipe):
                continue
            if not (self._asked.line_known and spec.recipe.is_control):
                return spec
            control = control or spec
        return control

    def _is_known(self, recipe: Recipe) -> bool:
        """Whether a recipe was tried, or looked at on a rung."""
        rungs = self._asked.rungs
        looked = () if rungs is None else (rungs.first(recipe),)
        return any(_digest_of(each) in self._tried for each in (recipe, *looked))

    def _start(self, spec: TrialSpec) -> None:
        self._in_flight[spec.number] = spec
        self._numbers.add(spec.number)
        self._note(spec)

    def _finish(self, outcome: Outcome) -> None:
        self._numbers.add(outcome.number)
        self._note(outcome)
        if outcome.origin in AGAIN:
            return
        place = bisect.bisect_left(self._finished, outcome.number, key=_number)
        again = place < len(self._finished) and self._finished[place].number == outcome.number
        # A slice of one replaces the trial's earlier record; an empty one (again is False) inserts.
        self._finished[place : place + again] = [outcome]

    def _note(self, run: TrialSpec | Outcome) -> None:
        """Note which recipe was tried, or on which other seed it was re-run."""
        if run.origin not in AGAIN:
            self._tried.add(_digest(run))
            return
        self._replicated.setdefault(run.recipe, set()).add(run.seed)
        if run.origin == CONFIRMATION:
            self._confirming.add(run.number)


def _number(outcome: Outcome) -> int:
    return outcome.number


def _digest(trial: TrialSpec | Outcome) -> bytes:
    """A digest of everything that decides how a trial trains, except its seed: trials with the same
    digest are the same.

    It takes sixteen bytes a trial of a long search's memory, where the knobs themselves would take
    two kilobytes.
    """
    return _digest_of(trial.recipe)


def _digest_of(recipe: Recipe) -> bytes:
    text = recipe.settled().digest_text
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
