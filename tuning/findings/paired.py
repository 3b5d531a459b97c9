"""Is a schedule better than training for less? The statistics of a paired comparison over fresh
seeds. Pure.

On one seed the candidate and the control (full_update at several horizons) share initial weights
and batches. What is common to the seed therefore cancels within it, and the seeds are the
independent samples:

    d_s    = loss of the control after the candidate's seconds − loss of the candidate      (equal
    time) gain_s = seconds of the control at the candidate's loss / seconds of the candidate
    (equal loss)

``d_s`` is linear in the measured losses, so that Student's one-sided t-test on it is exact for
normal noise and never needs a control that lies outside its horizons. It decides. ``gain_s`` is
what a reader wants to know; beyond the losses of the control it is only known as a bound, and is
called one. ``docs/decisions/verdict.md`` has the reasons, ``benchmarks/truth/verdict.py`` how often
each is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special  # scipy.stats has the same by name but takes seconds to load

from tuning.trial.dominance import Floats
from tuning.trial.line import tried_for

Bound = Literal["", "at least", "at most"]

MIN_CONTROLS = 2
BEYOND = math.log(1.15)
"""How far, in the log of seconds, the control's curve is continued along its tangent. It has to be,
because measured seconds vary.
"""
RESAMPLES = 4000
TIED = 1e-9
"""Means that differ by less than this share of the values' range are the same mean, and values that
stray by less than this share of their mean are the same value: losses of rounded counts are equal
steps apart but for their last bit.
"""


@dataclass(frozen=True)
class ControlCurve:
    """The control's loss on one seed as a parabola (a line below three runs) in x = log(seconds /
    longest).

    It is fitted by least squares over all horizons, because one run's loss is as noisy as the
    differences that are looked for.

    Attributes:
        curvature, slope, level: loss = curvature · x² + slope · x + level; ``level`` is the longest
            run's loss.
        shortest, longest: seconds of the control's runs at both ends.
        losses: those of its runs, by their seconds.
    """

    curvature: float
    slope: float
    level: float
    shortest: float
    longest: float
    losses: tuple[float, ...] = ()

    @classmethod
    def fit(cls, seconds: Sequence[float], losses: Sequence[float]) -> ControlCurve:
        """The curve through runs of ``seconds`` (> 0) and final ``losses``, both of shape (runs,).

        Raises:
            ValueError: there are fewer than two different seconds.
        """
        if len(set(seconds)) < MIN_CONTROLS:
            raise ValueError(
                f"a control needs runs of two different seconds, but got {list(seconds)}"
            )
        degree = 2 if len(set(seconds)) >= 3 else 1
        longest = max(seconds)
        x = np.log(np.asarray(seconds, dtype=float) / longest)
        # Relative to one of the losses, so that runs of equal losses give exactly that loss.
        base = float(losses[0])
        away = np.asarray(losses, dtype=float) - base
        fitted, *_ = np.linalg.lstsq(np.vander(x, degree + 1), away, rcond=None)
        curvature, slope, level = (0.0,) * (2 - degree) + tuple(float(value) for value in fitted)
        ordered = tuple(loss for _, loss in sorted(zip(seconds, losses, strict=True)))
        return cls(curvature, slope, base + level, min(seconds), longest, ordered)

    @property
    def start(self) -> float:
        """Where the shortest run lies on the x axis; negative."""
        return math.log(self.shortest / self.longest)

    @property
    def falls(self) -> bool:
        """Whether more seconds mean a lower loss everywhere between the shortest and the longest
        run.
        """
        return self.slope < 0 and self.slope + 2 * self.curvature * self.start < 0

    def loss_at(self, seconds: float) -> float | None:
        """The loss after ``seconds``. Beyond either end the curve goes on along its tangent; more
        than 15 % beyond it is None.
        """
        x = math.log(seconds / self.longest)
        near = min(max(x, self.start), 0.0)
        if abs(x - near) > BEYOND:
            return None
        return self._at(near) + (self.slope + 2 * self.curvature * near) * (x - near)

    @property
    def turn(self) -> float:
        """Where the loss is least on the x axis: 0, or before it where longer runs overfit."""
        if self.curvature <= 0:
            return 0.0
        return min(max(-self.slope / (2 * self.curvature), self.start), 0.0)

    def seconds_at(self, loss: float) -> tuple[float, Bound] | None:
        """Seconds at which the loss is first ``loss``; above all of its losses the shortest run's,
        and below all of them those of the best, as a bound.

        A curve that turns upwards is read before it turns. Where noise has bent its beginning
        upwards, its chord is read. None where even the chord does not fall.
        """
        highest, lowest = self._at(self.start), self._at(self.turn)
        if highest <= lowest:
            return None
        if loss < lowest:
            return self.longest * math.exp(self.turn), "at least"
        if loss > highest:
            return self.shortest, "at most"
        if self.turn < 0:
            return self.longest * math.exp(self._before_turn(loss)), ""
        curvature, slope = (
            (self.curvature, self.slope)
            if self.falls
            else (0.0, (highest - self.level) / self.start)
        )
        # In units of the largest of them, because squares of extreme losses overflow or vanish.
        unit = max(abs(curvature), abs(slope), abs(self.level - loss))
        curvature, slope, above = curvature / unit, slope / unit, (self.level - loss) / unit
        # Rounding may take the discriminant of a double root below zero.
        root = math.sqrt(max(0.0, slope**2 - 4 * curvature * above))
        # The root next to 0 of curvature · x² + slope · x + above, in the form that divides by no
        # curvature and takes no difference of near numbers: slope < 0.
        return self.longest * math.exp(2 * above / (root - slope)), ""

    def _at(self, x: float) -> float:
        return (self.curvature * x + self.slope) * x + self.level

    def _before_turn(self, loss: float) -> float:
        """Where the falling branch of a curve that turns upwards has the loss, on the x axis."""
        return self.turn - math.sqrt(max(0.0, (loss - self._at(self.turn)) / self.curvature))


@dataclass(frozen=True)
class SeedComparison:
    """A candidate beside the control on one seed.

    Attributes:
        seconds, loss: the candidate's.
        lower_loss: ``d_s`` above; positive where the candidate is better. None more than 15 %
            outside the control's seconds.
        gain: ``gain_s`` above, or the bound that is known; None where the control's loss does not
            fall with time.
        bound: what kind of number ``gain`` is.
    """

    seed: int
    seconds: float
    loss: float
    lower_loss: float | None
    gain: float | None
    bound: Bound = ""


def compare(seed: int, curve: ControlCurve, seconds: float, loss: float) -> SeedComparison:
    """The candidate's run of ``seconds`` and final ``loss`` beside the control on its seed."""
    at_equal_time = curve.loss_at(seconds)
    gain, bound = _gain(curve, seconds, loss)
    lower = None if at_equal_time is None else at_equal_time - loss
    return SeedComparison(seed, seconds, loss, lower, gain, bound)


def _gain(curve: ControlCurve, seconds: float, loss: float) -> tuple[float | None, Bound]:
    found = curve.seconds_at(loss)
    if found is None:
        return None, ""
    there, bound = found
    if bound == "at least":
        there = tried_for(there, curve.longest, seconds)
    return there / seconds, bound


@dataclass(frozen=True)
class Gain:
    """Gain over seeds: the geometric mean and what surrounds it.

    Attributes:
        value: geometric mean; None where a seed has none, or bounds of both kinds stand side by
            side.
        bound: what kind of number ``value`` is.
        interval: 95 %, Student's t on the logarithms; an end that bounds leave open is None.
        bootstrap: 95 %, BCa on the logarithms, likewise.
    """

    value: float | None
    bound: Bound = ""
    interval: tuple[float | None, float | None] = (None, None)
    bootstrap: tuple[float | None, float | None] = (None, None)


def mean_gain(comparisons: Sequence[SeedComparison]) -> tuple[float | None, Bound]:
    """The geometric mean of the seeds' gains. It is a bound where one of them is, and None as
    ``Gain`` says.
    """
    gains = [comparison.gain for comparison in comparisons]
    known = [gain for gain in gains if gain is not None]
    bounds = {comparison.bound for comparison in comparisons} - {""}
    if not known or len(known) < len(gains) or len(bounds) > 1:
        return None, ""
    # fsum, because the last bit of an ordinary mean depends on the order of the seeds.
    return math.exp(math.fsum(map(math.log, known)) / len(known)), bounds.pop() if bounds else ""


def gain_over_seeds(comparisons: Sequence[SeedComparison]) -> Gain:
    """The gain over seeds, with its intervals."""
    value, bound = mean_gain(comparisons)
    if value is None:
        return Gain(None)
    # Sorted, so that neither a sum's last bit nor the resamples depend on the order of seeds.
    logs = np.log(np.sort(np.array([comparison.gain for comparison in comparisons], dtype=float)))
    return Gain(value, bound, _open(t_interval(logs), bound), _open(bca_interval(logs), bound))


def _open(interval: tuple[float, float] | None, bound: Bound) -> tuple[float | None, float | None]:
    if interval is None:
        return None, None
    low, high = math.exp(interval[0]), math.exp(interval[1])
    return (None if bound == "at most" else low), (None if bound == "at least" else high)


def p_value(lower_losses: Sequence[float]) -> float:
    """One-sided p of "the candidate is no better at equal time": Student's t on paired differences,
    shape (seeds,).

    Student (1908), with n − 1 degrees of freedom. One difference alone shows nothing, so its p is
    1. Differences that are all the same are steps of a metric that counts, an accuracy near its end
    say, to which Student's test does not apply: only their sign is known, and p = 2⁻ⁿ.
    """
    count = len(lower_losses)
    if count < 2:
        return 1.0
    mean, deviation = mean_and_deviation(lower_losses)
    if deviation <= TIED * abs(mean):
        return sign_p(lower_losses)
    # The upper tail by symmetry: 1 − stdtr(t) would lose the digits of a small p.
    return float(special.stdtr(count - 1, -mean / deviation * math.sqrt(count)))


def sign_p(lower_losses: Sequence[float]) -> float:
    """One-sided p where only the signs of the differences are known: 2⁻ⁿ where all are better, else
    1.

    >>> sign_p([0.1, 0.2, 0.1])
    0.125
    """
    return 0.5 ** len(lower_losses) if min(lower_losses) > 0 else 1.0


def signs_needed(alpha: float) -> int:
    """The least number of seeds at which signs alone can reach a p of ``alpha``.

    >>> signs_needed(0.008)
    7
    """
    return math.ceil(-math.log2(alpha))


def only_counts(comparisons: Sequence[SeedComparison], curves: Sequence[ControlCurve]) -> bool:
    """Whether no loss varies from seed to seed, neither the candidate's nor any of the control's.

    Only the seconds then vary in their differences: the metric counts in steps that are larger than
    what a seed changes.
    """
    return len({c.loss for c in comparisons}) == 1 and len({c.losses for c in curves}) == 1


def mean_and_deviation(values: Sequence[float] | Floats) -> tuple[float, float]:
    """Mean and standard deviation of n >= 2 ``values`` of any size: squares are taken in units of
    the largest.
    """
    found = np.asarray(values, dtype=float)
    unit = _unit(found)
    scaled = found / unit
    return float(scaled.mean()) * unit, float(scaled.std(ddof=1)) * unit


def _unit(values: Floats) -> float:
    """The power of two above the largest size of ``values``: dividing by it rounds nothing."""
    # No power beyond 1023 is a float; the quotient is then below 2, which does as well.
    return 2.0 ** min(math.frexp(float(np.abs(values).max()))[1], 1023)


def holm(p_values: Sequence[float], tested: int | None = None) -> list[float]:
    """Each p corrected for ``tested`` candidates, in their order (Holm 1979, step-down). The
    default is the number of p-values; a larger one counts candidates that were tried before as
    well.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    count = max(tested or 0, len(p_values))
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        # Step-down: none is surer than one with a smaller p.
        highest = max(highest, min(1.0, (count - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def t_interval(values: Floats, level: float = 0.95) -> tuple[float, float] | None:
    """Student's interval of the mean of ``values``, shape (n,); None for fewer than two."""
    if len(values) < 2:
        return None
    mean, deviation = mean_and_deviation(values)
    quantile = float(special.stdtrit(len(values) - 1, (1 + level) / 2))
    half = quantile * deviation / math.sqrt(len(values))
    return mean - half, mean + half


def bca_interval(values: Floats, level: float = 0.95) -> tuple[float, float] | None:
    """Bias-corrected accelerated bootstrap interval of the mean (Efron 1987, eq. 6.3–6.6); None for
    fewer than two.

    It is too narrow for few values, whose resamples never leave their range;
    ``benchmarks.truth.verdict`` says by how much.
    """
    count = len(values)
    if count < 2:
        return None
    mean = float(values.mean())
    if np.ptp(values) == 0:
        return mean, mean
    # Always the same draws: a verdict made again is the same to the last byte.
    draws = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
    means = np.sort(values[draws].mean(axis=1))
    # Resamples that hold every value once have the mean itself, however their sum is rounded.
    tie = TIED * float(np.ptp(values))
    below = ((means < mean - tie).mean() + (means <= mean + tie).mean()) / 2
    bias = special.ndtri(below)
    # The jackknife: means with one value left out each.
    left_out = (values.sum() - values) / (count - 1)
    away = left_out.mean() - left_out
    acceleration = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    z = bias + special.ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    low, high = np.quantile(means, special.ndtr(bias + z / (1 - acceleration * z)))
    return float(low), float(high)
