"""Tune first: where plain training is on a plateau, or its numbers are far from their best."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.frames import frame_of, record
from tuning.findings.context import Asked, Background, Noise
from tuning.findings.next_step import next_step
from tuning.findings.summary import FrontSummary, summary
from tuning.findings.untuned import Plateau, plateau_of, second_half
from tuning.trial.metric import Metric
from tuning.trial.trial import CurvePoint, TrialRecord

FALLING = (3.0, 2.6, 2.4, 2.2, 2.0)
FLAT = (3.0, 2.005, 2.0, 2.0, 2.0)
WORSE = (3.0, 2.0, 1.9, 2.0, 2.2)


def run(losses: Sequence[float], shift: float = 0.0) -> TrialRecord:
    """The own recipe on a seed, evaluated every second."""
    curve = tuple(CurvePoint(10 * i, float(i), loss + shift) for i, loss in enumerate(losses, 1))
    trained = record(0, curve[-1].train_seconds, curve[-1].val_loss, policy="full_update")
    return dataclasses.replace(trained, curve=curve)


def seeds(losses: Sequence[float], shift: float = 0.0) -> list[TrialRecord]:
    """Five runs that end 0.01 apart, a deviation of 0.0158."""
    return [run([loss + i / 100 for loss in losses], shift) for i in range(5)]


@pytest.mark.parametrize("shift", [0.0, -2.5, -1000.0, 1000.0])
@pytest.mark.parametrize(("losses", "on"), [(FALLING, False), (FLAT, True), (WORSE, True)])
def test_a_plateau_is_where_half_of_the_time_buys_nothing(
    losses: Sequence[float], on: bool, shift: float
) -> None:
    """Whatever the losses' size and sign: a shift turns nothing round."""
    assert (plateau_of(seeds(losses, shift)) is not None) is on


@given(
    st.lists(st.floats(-2, 2), min_size=4, max_size=12),
    st.floats(-100, 100),
    st.sampled_from([0.25, 4.0]),
)
def test_shift_and_scale_turn_nothing_round(
    losses: list[float], shift: float, scale: float
) -> None:
    """Law: what is compared are differences. Losses in steps of 2**-10, so that sums are exact."""
    exact = [round(loss * 1024) / 1024 for loss in losses]
    moved = [(loss + round(shift)) * scale for loss in exact]
    plain, other = plateau_of(own(exact)), plateau_of(own(moved, scale))
    assert (plain is None) == (other is None)
    if plain is not None and other is not None:
        assert other.fall == pytest.approx(plain.fall * scale, abs=1e-9)


def own(losses: Sequence[float], unit: float = 1.0) -> list[TrialRecord]:
    """Four seeds that end a 32nd apart."""
    return [run([loss + unit * i / 32 for loss in losses]) for i in range(4)]


def test_it_is_measured_against_what_another_seed_changes() -> None:
    """The same fall is much where seeds agree and nothing where they do not."""
    assert plateau_of(own([3.0, 2.1, 2.05, 2.0])) is None
    assert plateau_of(own([3.0, 2.1, 2.05, 2.0], unit=20.0)) is not None


@pytest.mark.parametrize(
    ("losses", "fall"), [((4.0, 3.0, 2.0, 1.0), 2.0), ((5.0, 4.0, 3.0, 2.0, 1.0), 3.0)]
)
def test_the_second_half_begins_at_the_last_evaluation_of_the_first(
    losses: Sequence[float], fall: float
) -> None:
    """By hand, of an even and an odd number of evaluations."""
    assert second_half(run(losses).curve) == fall


def test_too_little_says_nothing() -> None:
    """A run of three evaluations has no halves, one seed has no noise, a failed run no end."""
    assert second_half(run((3.0, 2.0, 2.0)).curve) is None
    assert plateau_of(seeds(FLAT)[:1]) is None
    failed = [dataclasses.replace(each, state="failed") for each in seeds(FLAT)]
    assert plateau_of(failed) is None


@pytest.mark.parametrize(
    ("fall", "metric", "said"),
    [
        (0.004, Metric(), "the second half of its run lowers its loss by 0.00400, and another"),
        (-0.1, Metric(), "the second half of its run makes its loss worse by 0.100, and another"),
        (0.004, Metric("accuracy", True), "half of its run raises its accuracy by 0.00400"),
    ],
)
def test_it_is_told_in_the_metrics_own_direction(fall: float, metric: Metric, said: str) -> None:
    """With what another seed changes beside it."""
    assert said in Plateau(fall, 0.02).told(metric)


def tuned(number: int, seconds: float, loss: float) -> TrialRecord:
    return record(number, seconds, loss, policy="full_update", knobs={"rate": 1.5})


def reading(*trials: TrialRecord, space: str = "recipe", **known: object) -> FrontSummary:
    """Beside an own recipe that takes 5 s to 2.0 and 10 s to 1.8."""
    full = {"policy": "full_update", "origin": "control", "steps": 100}
    runs = [record(0, 10, 1.8, horizon=1.0, **full), record(1, 5, 2.0, horizon=0.5, **full)]
    background = Background(asked=Asked("run", "mine", space, 64), **known)  # type: ignore[arg-type]
    return summary(frame_of([*runs, *trials]), 1.9, background)


TUNE = "python -m tuning.search --workload mine --space tune"
BEST = record(5, 4, 1.8, knobs={"threshold": 0.5})


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (reading(BEST, plateau=Plateau(0.0, 0.01)), TUNE),
        (reading(BEST), "python -m tuning.confirm DIR"),
        (reading(BEST, tuned(3, 6, 1.8)), TUNE),
        (reading(BEST, tuned(3, 9, 1.8)), "python -m tuning.confirm DIR"),
        (reading(BEST, tuned(3, 6, 1.8), noise=Noise(0.2, 5)), "python -m tuning.confirm DIR"),
        (reading(BEST, tuned(3, 6, 1.8), space="tune"), "python -m tuning.confirm DIR"),
    ],
    ids=["plateau", "sound", "far off", "near enough", "within noise", "being tuned"],
)
def test_a_baseline_that_was_not_tuned_is_tuned_before_a_win_is_confirmed(
    found: FrontSummary, expected: str
) -> None:
    """A gain over it says more of the baseline than of the recipe."""
    step = next_step(found)
    assert step is not None
    assert step.command == expected


def test_why_is_said_with_its_figures() -> None:
    """Number and gain of the trial that shows it."""
    step = next_step(reading(BEST, tuned(3, 6, 1.8)))
    assert step is not None
    assert step.why == (
        "Trial 3, which turned nothing but your own numbers, is 1.67 times as fast as your own "
        "recipe: tune them first."
    )
