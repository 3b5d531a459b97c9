"""Whatever unit a loss has and wherever its zero lies: the same front, winner, stops, proposals.

Losses are whole numbers of 1/1024, shifts whole numbers and units powers of two, so that a shifted
or scaled loss is exact, and so are differences of two. What must be the same must be the same to
the bit, except where a line is fitted or drawn between losses.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.truth.stopping_curves import BASELINE_SECONDS, FAMILIES, search
from search_spaces.registry import find_space
from tests.support.frames import frame_of, record, search_records
from tests.support.outcomes import history
from tests.support.verdicts import HORIZONS, SEEDS
from tests.tuning.findings.test_comparison import on_seed
from tuning.findings import comparison
from tuning.findings.context import Background, noise_of
from tuning.findings.judge import judge
from tuning.findings.rows import member, rows_of
from tuning.findings.summary import FrontSummary, summary
from tuning.findings.verdict import Candidate, Run, Verdict
from tuning.report.render import render
from tuning.study.replicates import choose
from tuning.study.samplers.sampler import OptunaSampler
from tuning.study.stopping import Stopping
from tuning.trial.metric import Metric
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe
from tuning.trial.trial import TrialRecord, TrialSpec

GRID = 1024
SHIFTS = st.integers(-8, 8)
UNITS = st.sampled_from([-900, -7, 0, 7, 600]).map(lambda power: 2.0**power)
FACTS = ("number", "reached", "gain", "within_noise", "never_froze", "replicates")

Move = Callable[[float], float]


def moves() -> st.SearchStrategy[Move]:
    """What turns a loss into the same in another unit, from another zero."""
    return st.builds(lambda shift, unit: lambda loss: (loss + shift) * unit, SHIFTS, UNITS)


def rounded(loss: float) -> float:
    """To the grid."""
    return round(loss * GRID) / GRID


def moved(entry: TrialRecord, move: Move) -> TrialRecord:
    """The record with each of its losses rounded to the grid and moved."""

    def to(loss: float | None) -> float | None:
        return None if loss is None else move(rounded(loss))

    curve = tuple(
        dataclasses.replace(point, val_loss=move(rounded(point.val_loss))) for point in entry.curve
    )
    losses: dict[str, Any] = {"val_loss": to(entry.val_loss), "target_loss": to(entry.target_loss)}
    return dataclasses.replace(entry, curve=curve, **losses)


def same(loss: float) -> float:
    """Not moved."""
    return loss


@settings(max_examples=4, deadline=None)
@given(
    power=st.integers(-1074, -1010) | st.integers(-40, 600),
    maximize=st.booleans(),
    seed=st.integers(0, 20),
)
def test_page_and_picture_are_drawn(power: int, maximize: bool, seed: int) -> None:
    """Property: of a search with losses of any size, down to the least that a float can be."""

    def to(loss: float) -> float:
        return math.ldexp(-loss if maximize else loss, power)

    frame = frame_of([moved(each, to) for each in search_records(strong=True, seed=seed)])
    reading = summary(frame, None, Background(metric=Metric("score", maximize)))
    assert b"</html>" in render("html", reading, frame, {})
    assert render("png", reading, frame, {}).startswith(b"\x89PNG")


@settings(max_examples=10, deadline=None)
@given(move=moves(), strong=st.booleans(), seed=st.integers(0, 20))
def test_front_gains_and_winner_stay(move: Move, strong: bool, seed: int) -> None:
    """Property: a realistic search read again, on its noise."""
    records = search_records(strong=strong, seed=seed)

    def reading(to: Move) -> FrontSummary:
        noise = noise_of([to(loss) for loss in (1.875, 1.8828125, 1.890625)])
        found = [moved(entry, to) for entry in records]
        return summary(frame_of(found), background=Background(noise=noise))

    before, after = reading(same), reading(move)
    for name in ("winner", "front_seconds", "control_seconds", "gain", "censored"):
        assert getattr(after, name) == getattr(before, name), name
    assert near(after.line_gain, before.line_gain)
    for one, other in zip(facts(before), facts(after), strict=True):
        assert all(near(other[name], one[name]) for name in FACTS)


def near(value: float | None, expected: float | None) -> bool:
    """Equal but for rounding, or nothing where nothing is expected."""
    if value is None or expected is None:
        return value is expected
    return value == pytest.approx(expected, rel=1e-9)


def facts(reading: FrontSummary) -> list[dict[str, Any]]:
    """What is said of each member of the front."""
    members = [member(row, reading) for row in rows_of(reading.front)]
    return [{name: fact[name] for name in FACTS} for fact in members]


@settings(max_examples=25, deadline=None)
@given(move=moves(), seed=st.integers(0, 50), gain=st.floats(0.98, 1.1))
def test_verdicts_stay(move: Move, seed: int, gain: float) -> None:
    """Property: p, gain, interval and winner over five seeds."""
    before, after = verdict(same, seed, gain), verdict(move, seed, gain)
    assert after.winner == before.winner
    (one,), (other,) = before.candidates, after.candidates
    # A difference of losses has no more digits than its shift leaves it.
    for name in ("p", "p_corrected", "gain", "interval", "bootstrap_interval", "solo_gain"):
        expected = getattr(one, name)
        assert getattr(other, name) == pytest.approx(expected, rel=1e-6, abs=1e-12), name


def verdict(move: Move, seed: int, gain: float) -> Verdict:
    """On one schedule of this true gain, over control runs of eleven to eight sixteenths."""
    random = np.random.default_rng(seed)
    shifts = random.normal(0, 0.01, len(SEEDS))

    def run(place: int, horizon: float, true_gain: float) -> Run:
        loss = 1.75 + 0.15 / (horizon * true_gain) + shifts[place] + random.normal(0, 0.004)
        return Run(SEEDS[place], 12 * horizon, None, move(rounded(float(loss))), None)

    control = {h: [run(place, h, 1.0) for place in range(len(SEEDS))] for h in HORIZONS}
    runs = [run(place, 0.75, gain) for place in range(len(SEEDS))]
    candidate = Candidate(7, Recipe("dynamic_suffix", 0.75))
    return judge([(candidate, runs)], control, seeds=SEEDS, target=move(1.9))


@settings(max_examples=25, deadline=None)
@given(move=moves(), seed=st.integers(0, 100), confidence=st.floats(0.5, 0.9))
def test_stops_stay(move: Move, seed: int, confidence: float) -> None:
    """Property: the quantile is the same, and every limit is moved as the losses are."""
    family = list(FAMILIES.values())[seed % len(FAMILIES)]
    records = search(family, 32, np.random.default_rng(seed))

    def rule(to: Move) -> Stopping:
        told = [moved(entry, to) for entry in records]
        return Stopping(confidence, seed=0, baseline_seconds=BASELINE_SECONDS, records=told)

    before, after = rule(same), rule(move)
    assert after.quantile == pytest.approx(before.quantile, rel=1e-6)
    spec = TrialSpec(99, "sampled", "w", Recipe("schedule", 0.7), 0)
    limits, others = before.limits(spec), after.limits(spec)
    assert (limits is None) == (others is None)
    if limits is not None and others is not None:
        unit = move(1.0) - move(0.0)
        back = [(loss - move(0.0)) / unit for loss in others.losses]
        assert back == pytest.approx(limits.losses, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("objective", ["pareto", "time-to-quality"])
@pytest.mark.parametrize("name", ["tpe", "gp", "nsga2"])
@pytest.mark.parametrize("move", [lambda v: v - 5, lambda v: v * 2.0**600, lambda v: v * 2.0**-900])
def test_proposals_stay(name: str, objective: str, move: Move) -> None:
    """Negative, huge and tiny losses: what each sampler proposes, to the bit."""
    space = find_space("static_suffix")
    found = history(space, 24, unfinished=[3, 11])
    sampler = OptunaSampler(space, name, 1, objective, first=-20)
    proposed = [
        [sampler.propose(number, told(found, to), []) for number in (24, 25)] for to in (same, move)
    ]
    assert proposed[0] == proposed[1]


def told(found: Sequence[Outcome], move: Move) -> list[Outcome]:
    """The outcomes with their losses on the grid, moved."""
    return [
        dataclasses.replace(
            outcome,
            val_loss=None if outcome.val_loss is None else move(rounded(outcome.val_loss)),
            target_loss=move(rounded(outcome.target_loss or 0.0)),
        )
        for outcome in found
    ]


@given(move=moves(), seed=st.integers(0, 100))
def test_what_is_replicated_stays(move: Move, seed: int) -> None:
    """Property: the member of a front that is run again."""
    random = np.random.default_rng(seed)
    space = find_space("static_suffix")
    found = [
        dataclasses.replace(outcome, seed=0, mean_active_fraction=float(random.uniform(0.3, 0.9)))
        for outcome in history(space, 12)
    ]
    before, after = (choose(told(found, to), {}, 0) for to in (same, move))
    assert before is not None
    assert after is not None
    assert (after[0].number, after[1]) == (before[0].number, before[1])


@given(shift=st.integers(-8, 8), unit=UNITS)
def test_a_comparison_concludes_the_same(shift: int, unit: float) -> None:
    """Property: which schedule comes closest, on how many seeds, p; per cent only above zero."""
    runs = [*on_seed(0), *on_seed(1, by=0.25), *on_seed(2, by=0.125)]

    def concluded(to: Move) -> list[comparison.AgainstControl]:
        return comparison.against_control(
            comparison.rows_of(
                dataclasses.replace(run, val_loss=to(rounded(run.val_loss or 0.0))) for run in runs
            )
        )

    before, after = concluded(same), concluded(lambda loss: (loss + shift) * unit)
    for one, other in zip(before, after, strict=True):
        assert (other.schedule, other.mode, other.lower) == (one.schedule, one.mode, one.lower)
        assert other.p == pytest.approx(one.p, rel=1e-6)
        assert other.above == pytest.approx(one.above * unit, rel=1e-9)
        assert (other.percent is None) == (shift < 0)


def test_a_loss_of_zero_is_compared_like_any_other() -> None:
    """A control that reached 0 is no missing control, and nothing is a per cent of it."""
    runs = on_seed(0)
    full = runs[0].val_loss or 0.0
    rows = comparison.rows_of(
        dataclasses.replace(run, val_loss=(run.val_loss or 0.0) - full) for run in runs
    )
    (_, at_equal_time) = comparison.against_control(rows)
    assert (at_equal_time.seeds, at_equal_time.percent) == (1, None)
    assert [row["gap_percent"] for row in rows] == [None] * len(rows)


def test_a_constant_loss_makes_a_front_of_the_quickest() -> None:
    """Nothing is told apart, so what trained least is all of the front."""
    found = [record(n, 3.0 - n, -0.5, target_loss=-0.5) for n in range(3)]
    reading = summary(frame_of(found))
    assert list(reading.front["number"]) == [2]
    assert reading.shown(-0.5) == "-0.5000"
