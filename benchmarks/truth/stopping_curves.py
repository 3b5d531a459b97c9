"""Synthetic searches for ``benchmarks.truth.stopping``, whose every ending is known.

The control follows loss(h, v) = 1.6 + 0.3 · (h·v)^-0.35 + 0.15 · (1 − decay), with decay rising
from 0 to 1 over the last fifth of a horizon h, much like byte_lm_narrow. A schedule has an excess
over it: E at its end, and at the fraction v of its horizon E + (1 − v) · lag, and every evaluation
strays. Families differ in E and lag.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from tuning.study.baselines import CONTROL_HORIZONS
from tuning.trial.recipe import Recipe
from tuning.trial.trial import CurvePoint, Origin, TrialRecord

BASELINE_SECONDS = 10.0
EVALUATIONS = 12
STRAY = 0.004
START = datetime(2026, 1, 1, tzinfo=UTC)

Excess = Callable[[np.random.Generator, float], tuple[float, float]]
"""(random, share of the search that is over) -> (E, lag)."""


def steady(random: np.random.Generator, progress: float) -> tuple[float, float]:
    """Most schedules are worse than the control by as much all along."""
    return random.normal(0.06, 0.07), random.normal(0.0, 0.02)


def catching_up(random: np.random.Generator, progress: float) -> tuple[float, float]:
    """Schedules that make up for part of their excess, some for most of it.

    Those that thaw late or decay further do so.
    """
    return random.normal(0.06, 0.07), 0.15 * random.gamma(1.0)


def crossing(random: np.random.Generator, progress: float) -> tuple[float, float]:
    """The worst case: the better a schedule ends, the worse it looks before."""
    end = random.normal(0.06, 0.07)
    return end, max(0.0, 0.2 - 2 * end) + random.normal(0.0, 0.02)


def learning(random: np.random.Generator, progress: float) -> tuple[float, float]:
    """A sampler that learns: from wide to near the front, and to schedules that catch up later.

    Its trials are not exchangeable.
    """
    return random.normal(
        0.12 - 0.12 * progress, 0.07 - 0.05 * progress
    ), 0.1 * progress * random.gamma(1.0)


FAMILIES: dict[str, Excess] = {
    each.__name__: each for each in (steady, catching_up, crossing, learning)
}


def search(family: Excess, trials: int, random: np.random.Generator) -> list[TrialRecord]:
    """A search as the store would hold it, every trial trained to its end.

    The control's runs come first, then the family's schedules.
    """
    control = [
        _trial(n, "control", h, 0.0, 0.0, random) for n, h in enumerate((*CONTROL_HORIZONS, 1.0))
    ]
    rest = range(len(control), trials)
    return control + [
        _trial(n, "sampled", random.uniform(0.3, 1.0), *family(random, n / trials), random)
        for n in rest
    ]


def _trial(
    number: int, origin: Origin, horizon: float, end: float, lag: float, random: np.random.Generator
) -> TrialRecord:
    fractions = np.arange(1, EVALUATIONS + 1) / EVALUATIONS
    decay = np.clip((fractions - 0.8) / 0.2, 0, 1)
    losses = (
        1.6
        + 0.3 * (horizon * fractions) ** -0.35
        + 0.15 * (1 - decay)
        + end
        + (1 - fractions) * lag
    )
    losses += STRAY * random.standard_normal(EVALUATIONS)
    seconds = fractions * horizon * BASELINE_SECONDS
    points = zip(seconds.tolist(), losses.tolist(), strict=True)
    curve = tuple(CurvePoint(step, at, loss) for step, (at, loss) in enumerate(points, start=1))
    return TrialRecord(
        recipe=Recipe("full_update" if origin == "control" else "schedule", horizon),
        number=number,
        state="finished",
        origin=origin,
        workload="synthetic",
        seed=0,
        started_at=START,
        finished_at=START,
        executions=1,
        device="none",
        train_seconds=curve[-1].train_seconds,
        val_loss=curve[-1].val_loss,
        curve=curve,
    )
