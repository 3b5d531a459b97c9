"""From measurements to a record: by hand, on a fake clock."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.support.costs import made_up_costs
from tuning.trial.clock import Ledger, charge
from tuning.trial.recipe import Recipe
from tuning.trial.record import Circumstances, Measurements, record_of, seconds_to_quality
from tuning.trial.trial import CurvePoint, Decision, TrialSpec

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
AROUND = Circumstances(
    WHEN, WHEN, wall_seconds=9.0, co_residents=1.0, executions=2, device="fake device"
)
CURVE = (CurvePoint(2, 0.02, 3.0), CurvePoint(4, 0.04, 2.0), CurvePoint(6, 0.06, 2.5))
MEASURED = Measurements(
    Ledger({4: 5, 2: 1}, probes=2), CURVE, (Decision(0, 4, "full"), Decision(5, 2, "reduced"))
)


def spec(target: float | None) -> TrialSpec:
    return TrialSpec(
        3, "sampled", "tiny", Recipe("static_suffix", 0.5, {"active_fraction": 0.5}), 0, target
    )


def test_first_time_at_or_below_the_target() -> None:
    """By hand: 2.0 is first met at the second point, though the last point is above it.

    1.9 never is.
    """
    assert seconds_to_quality(CURVE, 2.0) == 0.04
    assert seconds_to_quality(CURVE, 2.7) == 0.04
    assert seconds_to_quality(CURVE, 1.9) is None


def test_record_of_a_finished_trial() -> None:
    """Every column that measurements determine is the measurements'."""
    costs = made_up_costs()
    record = record_of(spec(2.0), costs, MEASURED, AROUND)
    terms = charge(costs, MEASURED.ledger)
    assert (record.state, record.val_loss, record.reached, record.seconds_to_quality) == (
        "finished",
        2.5,
        True,
        0.04,
    )
    assert (record.steps, record.probes, record.mean_active_fraction) == (6, 2, 22 / 24)
    assert (record.train_seconds, record.required_flops) == (
        terms.train_seconds,
        terms.required_flops,
    )
    assert (record.wall_seconds, record.co_residents, record.executions) == (9.0, 1.0, 2)
    assert record.curve == CURVE


def test_censored_trial_has_no_time_to_quality() -> None:
    """A target that was not met: reached is False and the time is None, never NaN or infinite."""
    record = record_of(spec(1.0), made_up_costs(), MEASURED, AROUND)
    assert record.reached is False
    assert record.seconds_to_quality is None


def test_without_target_nothing_is_reached_or_missed() -> None:
    """While the target is being determined both columns are None."""
    record = record_of(spec(None), made_up_costs(), MEASURED, AROUND)
    assert record.reached is None
    assert record.seconds_to_quality is None


def test_failed_trial_shows_nothing_about_its_schedule() -> None:
    """A failed trial keeps its reason and what it had measured, but is not judged against the
    target.
    """
    record = record_of(spec(2.0), made_up_costs(), MEASURED, AROUND, state="failed", error="boom")
    assert (record.state, record.error, record.reached, record.seconds_to_quality) == (
        "failed",
        "boom",
        None,
        None,
    )
    before_training = record_of(spec(2.0), None, None, AROUND, state="failed", error="boom")
    assert before_training.train_seconds is None
    assert before_training.curve == ()
