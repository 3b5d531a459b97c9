"""Which sampler ``auto`` stands for: chosen once for a run, by what an ask takes on this machine.

The Gaussian process finds more in the same number of trials (docs/search_quality.md) but takes much
longer to ask than TPE, whose asks take some hundredths of a second. So one of its asks is timed, on
a made-up history of the search's own space, and weighed against how often a trial will end. The
choice is kept in run.json: a search that goes on proposes what the uninterrupted one would, however
fast the machine is then.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import numpy as np

from search_spaces.base import HORIZON, SearchSpace
from search_spaces.knobs import Gate
from tuning.store.info import SamplerChoice
from tuning.study.samplers.sampler import CAPS, ENOUGH, START, OptunaSampler
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe
from tuning.trial.trial import TrialSpec

AFFORDABLE = 10
"""A trial must end no more often than once in so many asks, so that asking takes a tenth of the
time at most.
"""
LEAST_ASK_SECONDS = 0.05
"""Seconds of an ask of the Gaussian process on the fastest machine. Nothing is timed where even
that would be too long.
"""


def choose(
    space: SearchSpace,
    objective: str,
    *,
    sampled: int,
    trial_seconds: float,
    concurrency: int,
    timed: Callable[..., float] | None = None,
) -> SamplerChoice:
    """The sampler that ``auto`` stands for in a search.

    Args:
        space: what is searched.
        objective: ``pareto`` or ``time-to-quality``.
        sampled: trials of the search after its baselines.
        trial_seconds: seconds that a trial of middling horizon takes with the device to itself.
        concurrency: trials at once, so one ends every ``trial_seconds / concurrency``.
        timed: stands in for ``ask_seconds``.
    """
    if sampled <= START or not space.searched:
        return SamplerChoice("tpe", "this search is too short for another model to be of use")
    if any(isinstance(knob, Gate) for knob in space.knobs):
        return SamplerChoice(
            "tpe", "most knobs apply only where a gate is open, which a Gaussian process cannot say"
        )
    every = trial_seconds / concurrency
    if every < AFFORDABLE * LEAST_ASK_SECONDS:
        return SamplerChoice(
            "tpe",
            f"a trial ends every {every:.2g} s, too often for a Gaussian process",
            None,
            every,
        )
    ask = (timed or ask_seconds)(
        space, objective, known=min(sampled, CAPS["gp"]) // 2, in_flight=concurrency - 1
    )
    measured = (
        f"an ask of the Gaussian process takes {ask:.2g} s here, and a trial ends every "
        f"{every:.2g} s"
    )
    if every >= AFFORDABLE * ask:
        return SamplerChoice("gp", measured, ask, every)
    return SamplerChoice("tpe", f"{measured}, less than {AFFORDABLE} times that", ask, every)


def ask_seconds(space: SearchSpace, objective: str, *, known: int, in_flight: int) -> float:
    """Wall seconds of an ask of the Gaussian process with so many trials known and in flight: the
    mean of two asks.

    There are two because every other ask combines the objectives into one, which is less work. With
    half of the trials that a search will know, an ask takes about the mean over the search: asks
    grow slowly and steadily with the trials (on 9 knobs by a third from 60 to 100). A small ask
    goes first, which loads the libraries.
    """
    # With a first number so low, number 0 already lies beyond the space-filling start.
    sampler = OptunaSampler(space, "gp", 0, objective, first=-START)
    known = max(known, ENOUGH + 1)
    history = [made_up(space, number) for number in range(known)]
    flying = [_spec(space, number) for number in range(known, known + in_flight)]
    # One in four is no ask of the model: it is drawn from the space-filling sequence.
    later = itertools.count(known + in_flight)
    numbers = list(itertools.islice(itertools.filterfalse(sampler.looks_elsewhere, later), 2))
    sampler.propose(numbers[0], history[: ENOUGH + 1], [])
    start = time.perf_counter()
    for number in numbers:
        sampler.propose(number, history, flying)
    return (time.perf_counter() - start) / 2


def middling_horizon(space: SearchSpace) -> float:
    """The middle of the horizons that a search of the space draws."""
    knobs = {knob.name: knob for knob in space.knobs}
    return float(knobs[HORIZON].at(0.5)) if HORIZON in knobs else 1.0


def made_up(space: SearchSpace, number: int) -> Outcome:
    """A made-up finished trial at a uniform point: its loss falls along a curve with its seconds,
    and has a minimum in every knob.
    """
    point, spec = _point(space, number), _spec(space, number)
    seconds = 1.0 + float(point[0])
    loss = 2.0 - float(np.sqrt(point[0])) + float(np.mean((point - 0.4) ** 2))
    return Outcome(
        number,
        "sampled",
        "finished",
        spec.recipe,
        seconds,
        loss,
        seconds_to_quality=seconds,
        reached=True,
    )


def _spec(space: SearchSpace, number: int) -> TrialSpec:
    policy, horizon, knobs = space.split(space.at(_point(space, number).tolist()))
    return TrialSpec(number, "sampled", "", Recipe(policy, horizon, knobs), 0)


def _point(space: SearchSpace, number: int) -> np.ndarray:
    return np.random.default_rng(number).random(len(space.searched))
