"""The statistics of paired comparisons, against scipy, exact small cases and their laws."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tuning.findings.paired import (
    BEYOND,
    Bound,
    ControlCurve,
    SeedComparison,
    bca_interval,
    compare,
    gain_over_seeds,
    holm,
    mean_gain,
    p_value,
    t_interval,
)

HORIZONS = (0.5, 0.625, 0.75, 0.875, 1.0)
differences = st.lists(st.floats(-1, 1).filter(lambda v: abs(v) > 1e-6), min_size=2, max_size=9)


def falling(seconds: float) -> float:
    """A parabola in the log of seconds, as the curve is."""
    x = math.log(seconds / 10)
    return 2.0 - 0.2 * x + 0.05 * x * x


CURVE = ControlCurve.fit([10 * h for h in HORIZONS], [falling(10 * h) for h in HORIZONS])


@given(st.floats(5.0, 10.0))
def test_curve_through_a_parabola_is_that_parabola(seconds: float) -> None:
    """Exact case: five points of a parabola give the loss at any seconds between.

    From the loss they give back the seconds.
    """
    loss = CURVE.loss_at(seconds)
    assert loss == pytest.approx(falling(seconds), abs=1e-9)
    assert loss is not None
    found = CURVE.seconds_at(min(max(loss, CURVE.level), falling(5.0) - 1e-12))
    assert found is not None
    assert found[0] == pytest.approx(seconds, rel=1e-6)


def test_curve_agrees_with_numpy() -> None:
    """Noisy losses: the coefficients are numpy.polyfit's."""
    losses = [2.2, 2.11, 2.09, 2.04, 2.01]
    curve = ControlCurve.fit(HORIZONS, losses)
    assert (curve.curvature, curve.slope, curve.level) == pytest.approx(
        tuple(np.polyfit(np.log(HORIZONS), losses, 2))
    )


def test_few_controls_make_a_line() -> None:
    """Two runs: exactly the line through them, in the log of seconds."""
    curve = ControlCurve.fit([5.0, 10.0], [2.2, 2.0])
    assert curve.loss_at(10 * math.sqrt(0.5)) == pytest.approx(2.1)
    found = curve.seconds_at(2.1)
    assert found is not None
    assert found[0] == pytest.approx(10 * math.sqrt(0.5))
    assert found[1] == ""


def test_one_horizon_is_no_control() -> None:
    """ValueError with the rule and the values."""
    with pytest.raises(ValueError, match=r"two different seconds, but got \[3.0, 3.0\]"):
        ControlCurve.fit([3.0, 3.0], [2.0, 2.1])


def test_beyond_its_ends_the_curve_gives_bounds() -> None:
    """A loss below the longest run's takes at least its seconds, one above the shortest's at
    most.
    """
    assert CURVE.seconds_at(1.9) == (10.0, "at least")
    assert CURVE.seconds_at(9.0) == (5.0, "at most")


def test_losses_are_continued_along_the_tangent_and_no_further_than_said() -> None:
    """A little longer than the longest: level plus slope; far longer or shorter: None."""
    assert CURVE.loss_at(11.0) == pytest.approx(2.0 - 0.2 * math.log(1.1))
    assert CURVE.loss_at(10 * math.exp(BEYOND + 0.01)) is None
    assert CURVE.loss_at(5 * math.exp(-BEYOND - 0.01)) is None


def test_a_curve_that_rises_at_first_is_read_off_its_chord() -> None:
    """It falls nowhere surely; its chord does."""
    bent = ControlCurve(curvature=-1.0, slope=-1.2, level=2.0, shortest=5.0, longest=10.0)
    assert not bent.falls
    top = 2.0 + 1.2 * math.log(2) - math.log(2) ** 2
    found = bent.seconds_at((2.0 + top) / 2)
    assert found is not None
    assert found[0] == pytest.approx(10 * math.sqrt(0.5))


@given(turn=st.floats(-0.6, -0.05), share=st.floats(0.02, 0.98))
def test_a_control_that_overfits_is_read_before_it_does(turn: float, share: float) -> None:
    """Property: a loss that it has on the way has a price, and the first time counts.

    Its longest run's loss is higher than what shorter ones had, and prices nothing.
    """
    bent = ControlCurve(1.0, -2 * turn, 2.0, shortest=10 * math.exp(2 * turn - 0.1), longest=10.0)
    lowest = 2.0 - turn**2
    loss = lowest + share * turn**2
    found = bent.seconds_at(loss)
    assert found is not None
    seconds, bound = found
    assert bound == ""
    assert seconds <= 10 * math.exp(turn)
    assert bent.loss_at(seconds) == pytest.approx(loss)
    best, bound = bent.seconds_at(lowest - 0.01) or (0.0, "")
    assert best == pytest.approx(10 * math.exp(turn))
    assert bound == "at least"
    for taken in (best / 2, (best + 10.0) / 2, 12.0):
        counted = max(best, min(10.0, taken))
        assert compare(0, bent, taken, lowest - 0.01).gain == pytest.approx(counted / taken)


def test_rising_control_belongs_to_no_loss() -> None:
    """Where more time means a higher loss, no seconds belong to a loss."""
    assert ControlCurve.fit([5.0, 10.0], [2.0, 2.2]).seconds_at(2.1) is None


@given(st.floats(5.2, 9.8), st.floats(1.0, 2.0))
def test_gain_of_a_known_speed_up_is_found(seconds: float, speed: float) -> None:
    """A candidate on the control's curve at a fraction of its seconds has just that gain."""
    found = compare(0, CURVE, seconds / speed, falling(seconds))
    assert found.bound == ""
    assert found.gain == pytest.approx(speed, rel=1e-6)


clear_of_ends = st.floats(2.001, 2.15) | st.floats(1.9, 1.999) | st.floats(2.17, 2.3)
"""Losses of which rounding does not decide on which side of the control's ends they lie."""


@given(
    st.floats(0.01, 1000.0),
    st.lists(st.tuples(st.floats(5.5, 9.5), clear_of_ends), min_size=2, max_size=6),
)
def test_the_unit_of_time_does_not_matter(unit: float, runs: list[tuple[float, float]]) -> None:
    """Property: minutes instead of seconds leave gains, bounds and differences of loss as they
    are.
    """
    losses = [falling(10 * h) for h in HORIZONS]
    other = ControlCurve.fit([10 * h * unit for h in HORIZONS], losses)
    for seed, (seconds, loss) in enumerate(runs):
        one, two = compare(seed, CURVE, seconds, loss), compare(seed, other, seconds * unit, loss)
        assert one.bound == two.bound
        assert one.gain == pytest.approx(two.gain, rel=1e-6)
        assert one.lower_loss == pytest.approx(two.lower_loss, abs=1e-9)


@given(differences)
def test_p_is_scipys(values: list[float]) -> None:
    """The one-sided one-sample t-test of scipy."""
    if np.std(values) > max(1e-9, 1e-8 * abs(float(np.mean(values)))):
        wanted = stats.ttest_1samp(values, 0.0, alternative="greater").pvalue
        assert p_value(values) == pytest.approx(float(wanted), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    ("values", "p"), [([0.1], 1.0), ([0.5, 0.5], 0.25), ([0.0, 0.0], 1.0), ([-0.5, -0.5], 1.0)]
)
def test_p_of_exact_cases(values: list[float], p: float) -> None:
    """One seed shows nothing; of differences that do not stray only the sign is known."""
    assert p_value(values) == p


@given(
    total=st.integers(2, 10**6),
    right=st.lists(st.integers(0, 10**6), min_size=2, max_size=9),
    more=st.integers(1, 5),
)
def test_p_of_equal_steps_is_their_signs(total: int, right: list[int], more: int) -> None:
    """Property: accuracies that differ by as many examples on each seed stray in their last bit
    alone, which is no evidence.
    """
    counts = [min(each, total) for each in right]
    assert p_value([(n + more) / total - n / total for n in counts]) == 0.5 ** len(counts)


@given(
    level=st.floats(-1e200, 1e200),
    runs=st.lists(st.floats(5.0, 15.0), min_size=2, max_size=5, unique=True),
    seconds=st.lists(st.floats(5.0, 15.0), min_size=2, max_size=5),
)
def test_what_all_runs_share_is_no_win(
    level: float, runs: list[float], seconds: list[float]
) -> None:
    """Property: a metric that has one value for all, an accuracy at its end say. No difference,
    not even by rounding, and no gain.
    """
    curve = ControlCurve.fit(runs, [level] * len(runs))
    seen = [compare(seed, curve, each, level) for seed, each in enumerate(seconds)]
    assert {c.lower_loss for c in seen} <= {0.0, None}
    assert {c.gain for c in seen} == {None}
    assert p_value([c.lower_loss for c in seen if c.lower_loss is not None] or [0.0]) == 1.0


def test_p_of_two_seeds_by_hand() -> None:
    """One degree of freedom is Cauchy: p = 1/2 − arctan(t)/π."""
    t = 2.0 / (math.sqrt(2.0) / math.sqrt(2))
    assert p_value([1.0, 3.0]) == pytest.approx(0.5 - math.atan(t) / math.pi)


@given(differences)
def test_t_interval_is_scipys(values: list[float]) -> None:
    """``scipy.stats.t.interval`` at 95 %."""
    array = np.array(values)
    if array.std() > 1e-9:
        error = stats.sem(array)
        wanted = stats.t.interval(0.95, len(array) - 1, loc=array.mean(), scale=error)
        assert t_interval(array) == pytest.approx(tuple(map(float, wanted)), abs=1e-9)


def test_bootstrap_is_scipys() -> None:
    """Agrees with scipy's BCa on twelve values.

    Two draws of resamples agree to a few per cent of the interval's width.
    """
    values = np.random.default_rng(3).gamma(2.0, size=12)
    found = bca_interval(values)
    wanted = stats.bootstrap(
        (values,), np.mean, n_resamples=20000, method="BCa", rng=np.random.default_rng(1)
    )
    low, high = wanted.confidence_interval
    assert found is not None
    assert found == pytest.approx((low, high), abs=0.06 * (high - low))


def test_intervals_of_degenerate_samples() -> None:
    """One value has no interval; equal values have none but themselves."""
    assert t_interval(np.array([1.0])) is None
    assert bca_interval(np.array([1.0])) is None
    assert bca_interval(np.array([0.5, 0.5, 0.5])) == (0.5, 0.5)


def test_holm_by_hand() -> None:
    """Holm's steps 3p, 2p, p with the running maximum, in the order given; capped at 1.

    Earlier tests count among the steps.
    """
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.01], tested=5) == pytest.approx([0.05])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_only_raises_and_keeps_the_order(ps: list[float]) -> None:
    """Property: no p falls, no two change places, and nothing exceeds Bonferroni."""
    corrected = holm(ps)
    assert all(a <= b <= min(1.0, len(ps) * a) + 1e-15 for a, b in zip(ps, corrected, strict=True))
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    assert [corrected[i] for i in order] == sorted(corrected)


def comparison(seed: int, gain: float | None, bound: Bound = "") -> SeedComparison:
    return SeedComparison(seed, 1.0, 2.0, 0.0, gain, bound)


def test_gain_is_the_geometric_mean() -> None:
    """0.5 and 2 are no gain at all."""
    gain = gain_over_seeds([comparison(0, 0.5), comparison(1, 2.0)])
    assert gain.value == pytest.approx(1.0)
    assert gain.bound == ""


@pytest.mark.parametrize(
    ("bounds", "value", "bound"),
    [
        (("at least", ""), 1.1, "at least"),
        (("at most", "at most"), 1.1, "at most"),
        (("at least", "at most"), None, ""),
    ],
)
def test_bounds_are_bounds_and_are_never_mixed(
    bounds: Sequence[Bound], value: float | None, bound: str
) -> None:
    """A bound among the seeds makes the mean a bound with one open end; both kinds make none."""
    gain = gain_over_seeds([comparison(seed, 1.1, b) for seed, b in enumerate(bounds)])
    assert gain.bound == bound
    assert gain.value == (None if value is None else pytest.approx(value))
    assert gain.interval[0 if bound == "at most" else 1] is None


def test_a_seed_without_a_gain_leaves_none() -> None:
    """A mean over the seeds that happen to have one would choose among them."""
    assert mean_gain([comparison(0, 1.2), comparison(1, None)]) == (None, "")


@given(st.lists(st.floats(0.5, 2.0), min_size=2, max_size=7), st.randoms(use_true_random=False))
def test_the_order_of_seeds_does_not_matter(gains: list[float], random: object) -> None:
    """Property: shuffled seeds give the same gain and the same intervals to the last bit."""
    comparisons = [comparison(seed, gain) for seed, gain in enumerate(gains)]
    shuffled = list(comparisons)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert gain_over_seeds(comparisons) == gain_over_seeds(shuffled)
