"""Proposals of Optuna's samplers: TPE, a Gaussian process, NSGA-II.

Every proposal builds an in-memory Optuna study from the points known, by number, and asks a fresh
sampler, so nothing carries over from one to the next that the store does not hold.

A knob that does not apply at some points is left out of those for TPE. With two objectives TPE
models each knob by itself, from the trials that have it; with one it models the knobs that all
trials have jointly and the others by themselves (Optuna's defaults, and what was found better of
each: ``docs/decisions/sampling.md``), each from no more trials than it needs
(``tuning.study.samplers.narrowed``). The other two sample jointly only what every trial has, so
for them such a knob is entered at the middle of its range.

NSGA-II in Optuna counts generations in attributes of its trials. Here every finished trial is of
generation 0 and the proposal of generation 1, so its parents are the elite of all that is known:
the steady-state form of NSGA-II (Durillo et al. 2009), which waits for no generation to fill and
depends on nothing but the history. Its operators are those of Deb et al. (2002). Optuna's defaults
exchange whole values and draw new ones uniformly: over 60 trials of 2 knobs that came no nearer to
an optimum than chance by more than a third, these by a factor of five and more.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.samplers.nsgaii import PolynomialMutation, SBXCrossover
from optuna.trial import FrozenTrial, TrialState

from search_spaces.base import SearchSpace
from search_spaces.knobs import Choice, Float, Int, Knob
from tuning.study.samplers.known import Point
from tuning.study.samplers.narrowed import Narrowed
from tuning.trial.trial import Scalar

LOOK = 1
"""The step at which a look on a rung is reported: Optuna orders trials that were given up by step
and value, after those that finished.
"""
POPULATION = 20
"""The size of NSGA-II's elite, which is less while fewer trials are known."""
_GENERATION = {NSGAIISampler._get_generation_key(): 0}
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)  # Optuna wants times and reads none of them here


def propose(
    kind: str,
    space: SearchSpace,
    points: Sequence[Point],
    objectives: int,
    seed: np.random.SeedSequence,
) -> dict[str, Scalar]:
    """Params proposed by one of Optuna's samplers.

    Args:
        kind: tpe, gp or nsga2.
        space: what is searched.
        points: trials known, by number.
        objectives: how many values a point that is over has.
        seed: seeds all that the proposal draws.
    """
    if kind == "tpe" and objectives == 1:
        return _by_knob(space, points, seed)
    distributions = {knob.name: distribution(knob) for knob in space.searched}
    trials = [_trial(space, point, distributions, impute=kind != "tpe") for point in points]
    with _quiet():
        sampler = _sampler(
            kind,
            int(seed.generate_state(1)[0]),  # for a RandomState, which takes no more than 32 bits
            sum(p.values is not None for p in points),
        )
        trial = _study(sampler, objectives, trials).ask()
        # The public suggest_* take a range's parts; this takes a distribution of any kind.
        return space.decide(lambda knob: trial._suggest(knob.name, distributions[knob.name]))


def _by_knob(
    space: SearchSpace, points: Sequence[Point], seed: np.random.SeedSequence
) -> dict[str, Scalar]:
    """Params proposed by TPE with one objective.

    The knobs that all trials have are sampled jointly, then the others one by one, as
    ``Trial.suggest_*`` does it; but for each of these TPE is shown no more trials than its model is
    made of.
    """
    knobs = {knob.name: knob for knob in space.searched}
    # Without distributions, from which Optuna would find the common knobs: ``view.common`` does.
    trials = [_told(point, place, point.params, {}) for place, point in enumerate(points, 1)]
    view = Narrowed(trials)
    with _quiet():
        sampler = _sampler("tpe", int(seed.generate_state(1)[0]), len(points))
        study = optuna.create_study(storage=view, sampler=sampler)
        asked = view.get_trial(view.create_new_trial(study._study_id))
        common = (knobs[name] for name in view.common() if name in knobs)
        # Optuna's own search space leaves out what has a single value, too.
        several = {knob.name: distribution(knob) for knob in common if len(knob.values()) > 1}
        joint = sampler.sample_relative(study, asked, several)

        def choose(knob: Knob) -> Any:
            if len(knob.values()) == 1:
                return knob.values()[0]
            # A value that rounding took beyond an end of its range is drawn again.
            if knob.name in joint and knob.contains(joint[knob.name]):
                return joint[knob.name]
            view.narrow(knob.name)
            return sampler.sample_independent(study, asked, knob.name, distribution(knob))

        return space.decide(choose)


def study_of(space: SearchSpace, points: Sequence[Point], objectives: int) -> optuna.Study:
    """A study in memory that holds the points as TPE is shown them."""
    distributions = {knob.name: distribution(knob) for knob in space.searched}
    trials = [_trial(space, point, distributions, impute=False) for point in points]
    with _quiet():
        return _study(RandomSampler(seed=0), objectives, trials)


def distribution(knob: Knob) -> BaseDistribution:
    """A knob's range as Optuna writes it.

    Raises:
        TypeError: a fixed knob has none.
    """
    if isinstance(knob, Float):
        return FloatDistribution(knob.low, knob.high, log=knob.log)
    if isinstance(knob, Int):
        return IntDistribution(knob.low, knob.high, log=knob.log)
    if isinstance(knob, Choice):
        return CategoricalDistribution(knob.choices)
    raise TypeError(f"a searched knob must be a range or a choice, but got {knob!r}")


def _sampler(kind: str, seed: int, known: int) -> BaseSampler:
    if kind == "tpe":
        # A knob may be shown no trial at all; that must not count as TPE's random start-up.
        return TPESampler(seed=seed, n_startup_trials=0, constant_liar=True)
    if kind == "gp":
        return GPSampler(seed=seed, n_startup_trials=1, warn_independent_sampling=False)
    return NSGAIISampler(
        seed=seed,
        # Optuna breeds from a full generation only: with fewer trials than places it draws by
        # chance.
        population_size=max(2, min(POPULATION, known)),
        crossover=SBXCrossover(),
        mutation=PolynomialMutation(),
    )


class _Known(FrozenTrial):
    """A trial that does not change any more. The storage makes deep copies of it, for which a
    shallow copy will do.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> _Known:
        return copy.copy(self)

    @property
    def constraints(self) -> dict[str, float]:
        """Always empty. Optuna would search a trial's attributes for constraints, anew for each
        knob.
        """
        return {}


def _study(sampler: BaseSampler, objectives: int, trials: Sequence[FrozenTrial]) -> optuna.Study:
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(
        storage=storage, sampler=sampler, directions=["minimize"] * objectives
    )
    for trial in trials:
        storage.create_new_trial(study._study_id, template_trial=trial)
    return study


def _trial(
    space: SearchSpace, point: Point, distributions: dict[str, BaseDistribution], *, impute: bool
) -> FrozenTrial:
    params = {name: value for name, value in point.params.items() if name in distributions}
    if impute:
        # Neither the Gaussian process nor crossover takes a point with a coordinate missing.
        params = {knob.name: params.get(knob.name, knob.at(0.5)) for knob in space.searched}
    # The storage gives the trial a new number.
    return _told(point, point.number, params, {name: distributions[name] for name in params})


def _told(
    point: Point,
    number: int,
    params: dict[str, Scalar],
    distributions: dict[str, BaseDistribution],
) -> FrozenTrial:
    """A point as an Optuna trial."""
    over = point.values is not None
    looked = {} if point.looked is None else {LOOK: point.looked}
    state = TrialState.PRUNED if looked else TrialState.RUNNING
    return _Known(
        number=number,
        trial_id=-1,  # a storage's
        state=TrialState.COMPLETE if over else state,
        value=None,
        values=list(point.values) if point.values is not None else None,
        params=params,
        distributions=distributions,
        user_attrs={},
        system_attrs=_GENERATION if over else {},
        intermediate_values=looked,
        datetime_start=_LONG_AGO,
        datetime_complete=_LONG_AGO if over or looked else None,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Within the block Optuna does not report each study, nor that NSGA-II's operators and the
    constant liar are experimental.
    """
    logger = logging.getLogger("optuna")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        logger.setLevel(level)
