"""What a sampler is told a trial was worth: finite numbers, lower is better, in an order that misleads none.

A trial that finished has what it measured. Every other is worse than all of those: stopped ones by how far
they fell short of their horizon, failed ones after them. Nothing here is stored; the next proposal computes
it anew.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from tuning.study import Outcome

Values = tuple[float, ...]
LARGEST = 1e100
"""Losses above it count as it, so that no arithmetic on them overflows."""
FENCE = 3.0
"""Losses so many interquartile ranges above the upper quartile (Tukey's far outliers) are drawn in."""


def values_of(outcomes: Sequence[Outcome], objective: str) -> list[Values]:
    """One tuple an outcome: (seconds, loss) for ``pareto``, one number of seconds for ``time-to-quality``."""
    return _pareto(outcomes) if objective == "pareto" else _time_to_quality(outcomes)


def counts(outcome: Outcome) -> bool:
    """Whether a trial finished with a loss and a time that are numbers."""
    return (
        outcome.state == "finished"
        and outcome.val_loss is not None
        and outcome.train_seconds is not None
        and math.isfinite(outcome.val_loss)
        and math.isfinite(outcome.train_seconds)
    )


def shortfalls(outcomes: Sequence[Outcome]) -> list[float]:
    """How little a trial that did not finish has shown: in [0, 1] if it was stopped, in [2, 3] if it failed.

    Within each, by the share of its horizon that it was short of. A horizon in seconds is not in an outcome,
    so the longest seconds over horizon of any trial stand for the baseline's.
    """
    paces = [_pace(outcome) for outcome in outcomes]
    full = max(paces, default=0.0) or 1.0
    return [
        (0.0 if outcome.state == "stopped" else 2.0) + (1 - pace / full)
        for outcome, pace in zip(outcomes, paces, strict=True)
    ]


def drawn_in(losses: Sequence[float]) -> list[float]:
    """The losses, in the same order, with those far above the rest brought near.

    A diverged trial's loss of 1e30 would leave a model no resolution among the others.
    """
    losses = [min(max(loss, -LARGEST), LARGEST) for loss in losses]
    if len(losses) < 2:
        return losses
    lower, _, upper = statistics.quantiles(losses, n=4, method="inclusive")
    spread = (upper - lower) or abs(upper) or 1.0
    fence = upper + FENCE * spread
    return [
        loss if loss <= fence else fence + spread * math.log1p((loss - fence) / spread) for loss in losses
    ]


def _pareto(outcomes: Sequence[Outcome]) -> list[Values]:
    measured = [outcome for outcome in outcomes if counts(outcome)]
    losses = iter(drawn_in([outcome.val_loss or 0.0 for outcome in measured]))
    points: dict[int, Values] = {
        outcome.number: (outcome.train_seconds or 0.0, next(losses)) for outcome in measured
    }
    beyond = [_beyond([point[i] for point in points.values()]) for i in range(2)]
    return [
        points[outcome.number]
        if outcome.number in points
        else tuple(end + step * short for end, step in beyond)
        for outcome, short in zip(outcomes, shortfalls(outcomes), strict=True)
    ]


def _time_to_quality(outcomes: Sequence[Outcome]) -> list[Values]:
    """Reached: its seconds. Censored: beyond the worst of those, by how far its loss missed the target."""
    reached = {
        o.number: o.seconds_to_quality for o in outcomes if _reached(o) and o.seconds_to_quality is not None
    }
    end, step = _beyond([*reached.values()])
    best = min((o.val_loss or 0.0 for o in outcomes if counts(o)), default=0.0)
    gaps = {
        o.number: (o.val_loss or 0.0) - (best if o.target_loss is None else o.target_loss)
        for o in outcomes
        if counts(o) and o.number not in reached
    }
    scale = statistics.median([gap for gap in gaps.values() if gap > 0] or [1.0])
    values: list[Values] = []
    for outcome, short in zip(outcomes, shortfalls(outcomes), strict=True):
        if outcome.number in reached:
            values.append((reached[outcome.number],))
        elif outcome.number in gaps:
            gap = max(gaps[outcome.number], 0.0)
            values.append((end + step * gap / (gap + scale),))
        else:
            values.append((end + step * (1 + short),))
    return values


def _reached(outcome: Outcome) -> bool:
    seconds = outcome.seconds_to_quality
    return counts(outcome) and bool(outcome.reached) and seconds is not None and math.isfinite(seconds)


def _beyond(values: Sequence[float]) -> tuple[float, float]:
    """(a value worse than all of ``values``, a step on their scale); (1, 1) where there are none."""
    if not values:
        return 1.0, 1.0
    low, high = min(values), max(values)
    step = (high - low) or abs(high) or 1.0
    return high + 0.1 * step, step


def _pace(outcome: Outcome) -> float:
    seconds = outcome.train_seconds
    if seconds is None or not math.isfinite(seconds) or outcome.horizon <= 0:
        return 0.0
    return max(seconds, 0.0) / outcome.horizon
