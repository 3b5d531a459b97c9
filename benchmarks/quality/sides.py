"""Who takes part in ``benchmarks.quality.search``: our samplers, Optuna's, Syne Tune's MOASHA.

Each side is a function of a problem, a number of trials and a seed; it asks for one point at a time
and is told both values before the next, and returns the values in order.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.quality.problems import Pair, Problem
from search_spaces.base import SearchSpace
from search_spaces.knobs import Float
from tuning.study.samplers.sampler import OptunaSampler
from tuning.study.study import Asked, Study
from tuning.trial.outcome import Outcome

Side = Callable[[Problem, int, int], list[Pair]]


def space_of(problem: Problem) -> SearchSpace:
    """The problem's variables as knobs; no policy trains with them, so it is any policy's."""
    knobs = tuple(Float(f"x{index}", 0.0, 1.0) for index in range(problem.dimensions))
    return SearchSpace(problem.name, "a problem with a known front", knobs, "static_suffix")


def ours(name: str) -> Side:
    """The project's study and sampler, without baselines: all trials are the sampler's own."""

    def run(problem: Problem, trials: int, seed: int) -> list[Pair]:
        space, values = space_of(problem), []
        sampler = OptunaSampler(space, name, seed, "pareto", first=0)
        study = Study(space, sampler, Asked(trials, "", seed, None))
        while (spec := study.ask()) is not None:
            seconds, loss = problem.evaluate(
                [float(spec.recipe.knobs[knob.name]) for knob in space.knobs]
            )
            values.append((seconds, loss))
            study.tell(Outcome(spec.number, "sampled", "finished", spec.recipe, seconds, loss))
        return values

    return run


def optuna_sampler(name: str) -> Side:
    """One of Optuna's samplers with its defaults."""

    def run(problem: Problem, trials: int, seed: int) -> list[Pair]:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        values = []

        def objective(trial: optuna.Trial) -> Pair:
            point = [trial.suggest_float(f"x{index}", 0, 1) for index in range(problem.dimensions)]
            values.append(problem.evaluate(point))
            return values[-1]

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = getattr(optuna.samplers, name)(seed=seed)
            study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
            study.optimize(objective, n_trials=trials)
        return values

    return run


def moasha(problem: Problem, trials: int, seed: int) -> list[Pair]:
    """Syne Tune's MOASHA. The problems have one fidelity, so a trial reports once and there is
    nothing to stop.
    """
    from syne_tune.backend.trial_status import Trial
    from syne_tune.config_space import uniform
    from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

    random.seed(seed)
    np.random.seed(seed)  # MOASHA draws from it
    names = [f"x{index}" for index in range(problem.dimensions)]
    scheduler = MOASHA(
        {name: uniform(0, 1) for name in names}, ["a", "b"], max_t=1, random_seed=seed
    )
    values = []
    for number in range(trials):
        config: dict[str, Any] = scheduler.suggest().config
        trial = Trial(number, config, None)
        scheduler.on_trial_add(trial)
        a, b = problem.evaluate([config[name] for name in names])
        values.append((a, b))
        scheduler.on_trial_result(trial, {"a": a, "b": b, "training_iteration": 1})
        scheduler.on_trial_remove(trial)
    return values


SIDES: dict[str, Side] = {
    "ours, gp": ours("gp"),
    "ours, tpe": ours("tpe"),
    "ours, nsga2": ours("nsga2"),
    "Optuna GP": optuna_sampler("GPSampler"),
    "Optuna TPE": optuna_sampler("TPESampler"),
    "Optuna NSGA-II": optuna_sampler("NSGAIISampler"),
    "Optuna random": optuna_sampler("RandomSampler"),
    "Syne Tune MOASHA": moasha,
}
