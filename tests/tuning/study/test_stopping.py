"""The rule for stopping early.

What it promises is tested on arbitrary curves, on known families and on recorded searches.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from benchmarks.truth.stopping import hindsight, spec_of
from benchmarks.truth.stopping_curves import (
    BASELINE_SECONDS,
    FAMILIES,
    catching_up,
    crossing,
    search,
    steady,
)
from tests.support.frames import record
from tests.support.recorded import searches
from tuning.study import stopping
from tuning.study.stopping import (
    SAMPLED,
    STOPPABLE,
    Control,
    Staircase,
    Stopping,
    conformal_quantile,
    runs_on,
    score,
)
from tuning.trial.built import built
from tuning.trial.recipe import Recipe
from tuning.trial.trial import ORIGINS, CurvePoint, Limits, Origin, TrialRecord, TrialSpec

CONFIDENCES = st.floats(0.05, 0.97)
LOSSES = st.floats(-5, 5)
SEEDS = st.integers(0, 2**32 - 1)


def made(seed: int, trials: int = 32) -> list[TrialRecord]:
    """A search of one of the families."""
    random = np.random.default_rng(seed)
    return search(list(FAMILIES.values())[seed % len(FAMILIES)], trials, random)


def rule_of(records: Sequence[TrialRecord], confidence: float, seed: int = 0) -> Stopping:
    """The rule after these trials."""
    return Stopping(confidence, seed=seed, baseline_seconds=BASELINE_SECONDS, records=records)


def spec(number: int, horizon: float = 0.7, origin: Origin = "sampled") -> TrialSpec:
    """A trial to come."""
    return TrialSpec(number, origin, "synthetic", Recipe("schedule", horizon), 0)


def curves(horizon: float) -> st.SearchStrategy[tuple[CurvePoint, ...]]:
    """Any losses at all, evenly spaced over the horizon, whose last is at its end."""

    def curve(losses: list[float]) -> tuple[CurvePoint, ...]:
        seconds = np.linspace(0, horizon * BASELINE_SECONDS, len(losses) + 1)[1:]
        return tuple(
            CurvePoint(i, float(at), loss)
            for i, (at, loss) in enumerate(zip(seconds, losses, strict=True))
        )

    return st.lists(LOSSES, min_size=1, max_size=12).map(curve)


@settings(max_examples=50)
@given(
    seed=SEEDS,
    confidence=CONFIDENCES,
    horizon=st.floats(0.5, 1.5),
    off=st.lists(st.floats(-1e-3, 1e-3) | st.floats(-0.1, 0.1), min_size=1, max_size=9),
    ahead=st.floats(1e-6, 1e-3) | st.floats(1e-6, 0.3),
)
def test_only_a_trial_of_a_high_score_is_stopped_wrongly(
    seed: int, confidence: float, horizon: float, off: list[float], ahead: float
) -> None:
    """Property: a trial that crosses a limit, however closely, and ends below the front has a score
    above the quantile.

    The chance of that is what the confidence bounds, so this is the promise itself, whatever the
    curves look like.
    """
    records = made(seed)
    rule = rule_of(records, confidence)
    limits, q = rule.limits(spec(90, horizon)), rule.quantile
    if limits is None:
        return
    seconds, scale = (
        horizon * BASELINE_SECONDS,
        np.linspace(limits.seconds[0], limits.seconds[-1], len(off) + 2)[1:-1],
    )
    losses = np.interp(scale, limits.seconds, limits.losses) + off
    front = min(r.curve[-1].val_loss for r in records if r.curve[-1].train_seconds <= seconds)
    points = [*zip(scale.tolist(), losses.tolist(), strict=True), (seconds, front - ahead)]
    curve = tuple(CurvePoint(step, at, loss) for step, (at, loss) in enumerate(points))
    control = Control.of([r for r in records if r.origin == "control"], BASELINE_SECONDS)
    assert control is not None
    own = record(90, seconds, front - ahead, horizon=horizon, curve=curve)
    assert q is not None
    if limits.crossed(curve) is not None:
        assert score(own, control, BASELINE_SECONDS) > q - 1e-9


@settings(max_examples=50)
@given(seed=SEEDS, one=CONFIDENCES, other=CONFIDENCES, horizon=st.floats(0.2, 1.5))
def test_more_confidence_never_lowers_a_limit(
    seed: int, one: float, other: float, horizon: float
) -> None:
    """Property: at a higher confidence there is no limit, or it is at least as high everywhere."""
    records = made(seed)
    loose, strict = (rule_of(records, p).limits(spec(90, horizon)) for p in sorted((one, other)))
    if strict is not None:
        assert loose is not None
        assert loose.seconds == strict.seconds
        assert all(a <= b + 1e-9 for a, b in zip(loose.losses, strict.losses, strict=True))


@settings(max_examples=30)
@given(seed=SEEDS, data=st.data())
def test_order_of_telling_is_of_no_matter(seed: int, data: st.DataObject) -> None:
    """Property: trials end in any order where several run at once."""
    records = made(seed)
    rule = rule_of([], 0.8)
    for each in data.draw(st.permutations(records)):
        rule.tell(each)
    assert rule.limits(spec(90)) == rule_of(records, 0.8).limits(spec(90))


def test_only_the_newest_scores_count_whether_told_or_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule told of everything equals one made from every end, the control and the newest trials
    alone.
    """
    monkeypatch.setattr(stopping, "NEWEST", 12)
    records = made(5)
    read = Stopping(
        0.8,
        seed=0,
        baseline_seconds=BASELINE_SECONDS,
        ends=[(r.curve[-1].train_seconds, r.curve[-1].val_loss) for r in records],
        records=[*records[:5], *records[-12:]],
    )
    assert read.limits(spec(90)) == rule_of(records, 0.8).limits(spec(90))
    assert read.quantile != rule_of(records[:-12], 0.8).quantile


@pytest.mark.parametrize(("confidence", "needed"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19)])
def test_too_few_trials_stop_nothing(confidence: float, needed: int) -> None:
    """P / (1 − P) trials that could have been stopped are the least.

    The control's runs are not among them.
    """
    records = search(steady, 5 + needed, np.random.default_rng(1))
    assert rule_of(records[:-1], confidence).limits(spec(99)) is None
    assert rule_of(records, confidence).limits(spec(99)) is not None


def test_nothing_is_stopped_without_a_control() -> None:
    """The control says what is ahead of a trial.

    And without a trial as short there is no front to reach.
    """
    records = search(steady, 40, np.random.default_rng(1))
    assert rule_of(records[5:], 0.8).limits(spec(99)) is None
    assert rule_of(records, 0.8).limits(spec(99, horizon=0.01)) is None
    assert rule_of(records, 0.8).limits(spec(99)) is not None


@pytest.mark.parametrize("origin", sorted(set(ORIGINS) - set(STOPPABLE)))
def test_baselines_control_and_replicates_are_never_stopped(origin: Origin) -> None:
    """Whatever is known."""
    assert rule_of(made(0), 0.5).limits(spec(99, origin=origin)) is None


@pytest.mark.parametrize(
    "change", [{"state": "stopped"}, {"state": "failed"}, {"origin": "replicate"}]
)
def test_what_has_no_end_of_its_own_teaches_nothing(change: dict[str, Any]) -> None:
    """Stopped and failed trials and re-runs, however good their losses, leave the limits as they
    are.
    """
    rule, records = rule_of(made(0), 0.8), made(7)
    before = rule.limits(spec(99))
    for each in records[5:]:
        rule.tell(dataclasses.replace(each, number=each.number + 100, val_loss=0.1, **change))
    assert rule.limits(spec(99)) == before


@pytest.mark.parametrize(
    "family", [steady, catching_up, crossing], ids=lambda family: family.__name__
)
@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95])
def test_false_stops_stay_within_the_stated_confidence(
    family: Callable[..., Any], confidence: float
) -> None:
    """Twelve searches of a family: the wrong stops are no more than 1 − P explains, of all trials
    and of the good ones.

    The bound is the binomial distribution's at one in a thousand.
    """
    found = [
        hindsight(
            search(family, 80, np.random.default_rng(seed)), confidence, seed, BASELINE_SECONDS
        )
        for seed in range(12)
    ]
    wrong = sum(len(each.wrong) for each in found)
    for of in ("judged", "reaching"):
        assert wrong <= binom.ppf(
            0.999, sum(len(getattr(each, of)) for each in found), 1 - confidence
        )
    if family is steady:
        assert sum(each.saved for each in found) > 0.25 * sum(each.seconds for each in found)


@pytest.mark.parametrize("confidence", [0.5, 0.7, 0.8, 0.9, 0.95, 0.99])
def test_final_fronts_of_recorded_searches(confidence: float) -> None:
    """Of the members of the final fronts no larger share is stopped than the confidence leaves.

    That is over all searches; in a single one as many as the binomial distribution explains at one
    in a hundred. At 0.95, the default, no member is lost in any.
    """
    found = []
    for records in searches().values():
        baseline_seconds = records[0].curve[-1].train_seconds
        found.append(hindsight(records, confidence, 0, baseline_seconds))
    members = [len(each.front) for each in found]
    lost = [len((each.stopped | each.run_on) & each.front) for each in found]
    assert sum(lost) <= (1 - confidence) * sum(members)
    assert all(
        n <= binom.ppf(0.99, of, 1 - confidence) for n, of in zip(lost, members, strict=True)
    )
    assert confidence < 0.95 or sum(lost) == 0
    assert any(each.stopped for each in found), "a rule that stops nothing passes every test"


@settings(max_examples=30)
@given(seed=SEEDS, confidence=CONFIDENCES)
def test_quantile_covers_trials_and_members_of_the_front(seed: int, confidence: float) -> None:
    """Property: no more scores lie above it than 1 − P of all and one more, nor on the front.

    Few there: none does.
    """
    records = made(seed)
    q, control = rule_of(records, confidence).quantile, Control.of(records[:5], BASELINE_SECONDS)
    assert control is not None
    if q is None:
        return
    ends = [(r.curve[-1].train_seconds, r.curve[-1].val_loss) for r in records]
    scores = {r.number: score(r, control, BASELINE_SECONDS) for r in records[5:]}
    front = [n for n in scores if all(at > ends[n][0] or loss >= ends[n][1] for at, loss in ends)]
    for numbers in (list(scores), front):
        above = sum(scores[n] > q for n in numbers)
        assert above <= (1 - confidence) * (len(numbers) + 1)
        assert above == 0 or len(numbers) >= confidence / (1 - confidence) - 1e-6


@given(weighted=st.lists(st.tuples(LOSSES, st.integers(1, 5)), max_size=30), confidence=CONFIDENCES)
def test_a_weight_counts_as_so_many_trials(
    weighted: list[tuple[float, int]], confidence: float
) -> None:
    """Property: the quantile of weighted scores is that of each repeated.

    It also covers its share of one more.
    """
    repeated = [(value, 1) for value, weight in weighted for _ in range(weight)]
    q = conformal_quantile(weighted, confidence)
    assert q == conformal_quantile(repeated, confidence)
    if q is not None:
        assert sum(value <= q for value, _ in repeated) >= confidence * (len(repeated) + 1) - 1e-6
        assert sum(value < q for value, _ in repeated) < confidence * (len(repeated) + 1)


def test_a_trial_that_was_let_run_on_stands_for_those_that_were_stopped() -> None:
    """The best of twenty scores decides nothing at 0.8, unless its trial was let run on.

    Then it counts five times.
    """
    records = search(steady, 25, np.random.default_rng(4))
    control = Control.of(records[:5], BASELINE_SECONDS)
    assert control is not None
    last = max(records[5:], key=lambda each: score(each, control, BASELINE_SECONDS))
    marked = [dataclasses.replace(r, would_stop_at_step=3) if r is last else r for r in records]
    before, after = (rule_of(each, 0.8).limits(spec(99)) for each in (records, marked))
    assert before is not None
    assert after is not None
    assert after.losses > before.losses


@given(points=st.lists(st.tuples(st.floats(0, 9), LOSSES), max_size=25), seconds=st.floats(0, 9))
def test_staircase_is_the_least_loss_so_far(
    points: list[tuple[float, float]], seconds: float
) -> None:
    """Property: against the definition."""
    stairs = Staircase()
    for point in points:
        stairs.add(*point)
    assert stairs.least(seconds) == min(
        (loss for at, loss in points if at <= seconds), default=math.inf
    )


@given(seed=SEEDS, horizon=st.floats(0.3, 1.0))
def test_control_of_a_known_horizon_is_its_own_curve(seed: int, horizon: float) -> None:
    """Property: the control's end lies between those of its runs, and at a run's own horizon it is
    that run's.
    """
    runs = made(seed)[:5]
    control = Control.of(runs, BASELINE_SECONDS)
    assert control is not None
    ends = [run.curve[-1].val_loss for run in runs]
    assert control.at(runs[2].recipe.horizon)[-1] == pytest.approx(ends[2])
    if horizon >= 0.5:
        assert min(ends) - 1e-9 <= control.at(horizon)[-1] <= max(ends) + 1e-9
    else:
        assert math.isfinite(control.at(horizon)[-1])


def test_good_enough_is_a_floor() -> None:
    """A loss that counts wherever it is reached lifts the limits that a better front would give."""
    records = made(0)
    plain = rule_of(records, 0.8).limits(spec(99))
    lifted = Stopping(
        0.8, seed=0, baseline_seconds=BASELINE_SECONDS, good_enough=3.0, records=records
    ).limits(spec(99))
    assert plain is not None
    assert lifted is not None
    assert all(high > low for high, low in zip(lifted.losses, plain.losses, strict=True))


def test_one_in_five_is_let_run_on() -> None:
    """Fixed by seed and number, different from seed to seed, and a fifth of many."""
    chosen = [number for number in range(10_000) if runs_on(0, number)]
    assert abs(len(chosen) - 10_000 / SAMPLED) < 200
    assert chosen != [number for number in range(10_000) if runs_on(1, number)]
    limits = rule_of(made(0), 0.8).limits(spec(chosen[100]))
    assert limits is not None
    assert limits.runs_on


@given(curve=curves(0.5), heights=st.lists(LOSSES, min_size=2, max_size=6), runs=st.booleans())
def test_crossing_is_the_first_evaluation_above_the_line(
    curve: tuple[CurvePoint, ...], heights: list[float], runs: bool
) -> None:
    """Property: the limit is that of a line drawn between the points.

    Nothing outside them is held against a limit.
    """
    seconds = np.linspace(1.0, 4.0, len(heights))
    limits = Limits(tuple(seconds.tolist()), tuple(heights), runs)
    above = [
        p.step
        for p in curve
        if 1.0 <= p.train_seconds <= 4.0
        and p.val_loss > np.interp(p.train_seconds, seconds, heights)
    ]
    assert limits.crossed(curve) == (above[0] if above else None)
    assert built(Limits, json.loads(json.dumps(dataclasses.asdict(limits)))) == limits


def test_spec_of_a_record_is_what_was_asked_for() -> None:
    """What hindsight judges is the trial as it was asked for."""
    assert spec_of(record(3, 1.0, 2.0, horizon=0.4)).recipe.horizon == 0.4
