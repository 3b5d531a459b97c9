"""What a sampler is told a trial was worth: finite numbers, lower is better, in an order that
misleads none.

A trial that finished has its seconds, and its loss in units of how the losses spread, counted from
the least: so a search proposes the same whatever unit a loss has and wherever its zero lies, where
models look at ratios. Every other trial is worse than all of those: stopped ones by how far they
fell short of their horizon, failed ones after them. Nothing here is stored; the next proposal
computes it anew.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Sequence

from tuning.study.samplers.control_line import ControlLine
from tuning.trial.outcome import Outcome

Values = tuple[float, ...]
LARGEST = 1e100
"""The largest size that a number may have: larger ones count as it, so that no arithmetic on them
overflows.
"""
FENCE = 3.0
"""How many interquartile ranges above the upper quartile losses are drawn in (Tukey's far
outliers).
"""


def values_of(
    outcomes: Sequence[Outcome], objective: str, controls: Sequence[Outcome] = ()
) -> list[Values]:
    """The values that a sampler is told of each outcome, a tuple each.

    They are (seconds, loss in its own units) for ``pareto``. For ``time-to-quality`` it is one
    number: the logarithm of the outcome's seconds over the own control's at its loss, or the
    seconds to the target while the control has no line.

    Args:
        outcomes: those that the sampler is told of.
        objective: the search's.
        controls: runs of the own control.
    """
    if objective == "pareto":
        return _pareto(outcomes)
    line = ControlLine.through(controls)
    return _time_to_quality(outcomes) if line is None else _cost_of_quality(outcomes, line)


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
    """How much each trial that did not finish fell short: in [0, 1] if it was stopped, in [2, 3] if
    it failed.

    Within each range it is the share of its horizon that it did not train. An outcome does not have
    its horizon in seconds, so the largest ratio of seconds to horizon of any trial stands for the
    baseline's seconds.
    """
    paces = [_pace(outcome) for outcome in outcomes]
    full = max(paces, default=0.0) or 1.0
    return [
        (0.0 if outcome.state == "stopped" else 2.0) + (1 - pace / full)
        for outcome, pace in zip(outcomes, paces, strict=True)
    ]


def in_own_units(losses: Sequence[float]) -> list[float]:
    """Each loss above the least, in units of the ``spread`` of all, in the same order.

    >>> in_own_units([-3.0, -1.0, -2.0]) == in_own_units([1e200, 3e200, 2e200]) == [0.0, 2.0, 1.0]
    True
    """
    if not losses:
        return []
    _, power = math.frexp(max(map(abs, losses)))
    # Below 1 no difference overflows, and scaling by a power of two rounds nothing.
    small = [math.ldexp(loss, -power) for loss in losses]
    least = min(small)
    above = [loss - least for loss in small]
    unit = spread(above)
    return [min(loss / unit, LARGEST) for loss in above]


def spread(losses: Sequence[float]) -> float:
    """The interquartile range. Where that is 0, the distance from the upper quartile to the least
    loss, or else to the next loss above; 1 where all losses are the same.
    """
    if len(losses) < 2:
        return 1.0
    lower, _, upper = statistics.quantiles(losses, n=4, method="inclusive")
    higher = min((loss - upper for loss in losses if loss > upper), default=1.0)
    return (upper - lower) or (upper - min(losses)) or higher


def drawn_in(losses: Sequence[float]) -> list[float]:
    """The losses, in the same order, with those far above the rest drawn nearer. A diverged trial's
    loss of 1e30 would leave a model no resolution among the others.
    """
    if len(losses) < 2:
        return list(losses)
    unit = spread(losses)
    fence = statistics.quantiles(losses, n=4, method="inclusive")[-1] + FENCE * unit
    return [
        # Where they meet both have slope 1: what lies just beyond the fence is hardly moved.
        loss if loss <= fence else fence + unit * _log1p((loss - fence) / unit)
        for loss in losses
    ]


def _log1p(ratio: float) -> float:
    """log(1 + ratio), finite even where a tiny spread has made the ratio overflow."""
    return math.log1p(min(ratio, sys.float_info.max))


def _pareto(outcomes: Sequence[Outcome]) -> list[Values]:
    measured = [outcome for outcome in outcomes if counts(outcome)]
    seconds = [_bounded(outcome.train_seconds) for outcome in measured]
    losses = drawn_in(in_own_units([float(outcome.val_loss or 0.0) for outcome in measured]))
    numbers = [outcome.number for outcome in measured]
    points: dict[int, Values] = dict(zip(numbers, zip(seconds, losses, strict=True), strict=True))
    ends = (_beyond(seconds), _beyond(losses))
    return [
        points.get(outcome.number) or tuple(end + step * short for end, step in ends)
        for outcome, short in zip(outcomes, shortfalls(outcomes), strict=True)
    ]


def _cost_of_quality(outcomes: Sequence[Outcome], line: ControlLine) -> list[Values]:
    """The negative logarithm of each finished trial's gain; the values of the rest lie beyond the
    worst of them.
    """
    gains = {
        outcome.number: -line.log_gain(float(outcome.train_seconds or 0), float(outcome.val_loss))
        for outcome in outcomes
        if counts(outcome) and outcome.train_seconds and outcome.val_loss is not None
    }
    end, step = _beyond(list(gains.values()))
    return [
        (gains.get(outcome.number, end + step * short),)
        for outcome, short in zip(outcomes, shortfalls(outcomes), strict=True)
    ]


def _time_to_quality(outcomes: Sequence[Outcome]) -> list[Values]:
    """One value for each trial, lower is better.

    For a trial that reached the target it is the seconds to it. For a censored one it lies beyond
    the worst of those, by how far its loss missed the target; for one that did not finish it lies
    beyond all of these.
    """
    reached = {
        outcome.number: _bounded(outcome.seconds_to_quality)
        for outcome in outcomes
        if _reached(outcome)
    }
    missed = _missed(
        [outcome for outcome in outcomes if counts(outcome) and outcome.number not in reached]
    )
    end, step = _beyond(list(reached.values()))
    values: list[Values] = []
    for outcome, short in zip(outcomes, shortfalls(outcomes), strict=True):
        if outcome.number in reached:
            values.append((reached[outcome.number],))
        else:
            # A loss that missed lies below 1 on this scale, whatever did not finish from 1.5 on.
            values.append((end + step * missed.get(outcome.number, 1.5 + short),))
    return values


def _missed(censored: Sequence[Outcome]) -> dict[int, float]:
    """By how much each loss is above its target, by the trial's number, on a scale of [0, 1] where
    the median is a half. While a target is not known, the least of the losses stands for it.
    """
    losses = [float(outcome.val_loss or 0.0) for outcome in censored]
    best = min(losses, default=0.0)
    targets = [best if outcome.target_loss is None else outcome.target_loss for outcome in censored]
    _, power = math.frexp(max(map(abs, [*losses, *targets]), default=1.0))
    gaps = [
        # Scaled first, as in ``in_own_units``: differences of huge losses overflow.
        max(math.ldexp(loss, -power) - math.ldexp(target, -power), 0.0)
        for loss, target in zip(losses, targets, strict=True)
    ]
    scale = statistics.median([gap for gap in gaps if gap > 0] or [1.0])
    return {
        outcome.number: gap / (gap + scale) for outcome, gap in zip(censored, gaps, strict=True)
    }


def _bounded(value: float | None) -> float:
    """The value within ±``LARGEST``, so that no arithmetic on it overflows."""
    return min(max(value or 0.0, -LARGEST), LARGEST)


def _reached(outcome: Outcome) -> bool:
    seconds = outcome.seconds_to_quality
    return (
        counts(outcome) and bool(outcome.reached) and seconds is not None and math.isfinite(seconds)
    )


def _beyond(values: Sequence[float]) -> tuple[float, float]:
    """(a value worse than all of ``values``, a step on their scale); (1, 1) where there are no
    values.
    """
    if not values:
        return 1.0, 1.0
    low, high = min(values), max(values)
    # A step on which the sum still grows: of equal values the range is 0.
    step = max(high - low, 1e-6 * abs(high)) or 1.0
    return high + 0.1 * step, step


def _pace(outcome: Outcome) -> float:
    seconds = outcome.train_seconds
    if seconds is None or not math.isfinite(seconds) or outcome.recipe.horizon <= 0:
        return 0.0
    return min(max(seconds, 0.0) / outcome.recipe.horizon, LARGEST)
