"""The arithmetic of a comparison, on runs that are made up."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.base import PHASES, Phase, StepPlan
from tests.support.costs import made_up_costs
from tests.support.frames import record
from tuning.findings.comparison import (
    FULL,
    Row,
    Trained,
    controls_of,
    depth_facts,
    ledger_of,
    rows_of,
    steps_as_seconds,
    summary_of,
)
from tuning.trial.clock import Ledger, baseline_seconds, charge
from tuning.trial.course import Course, Timetable

BASELINE = Trained(
    schedule=FULL,
    policy=FULL,
    mode="steps",
    control_for=None,
    seed=0,
    seconds=20.0,
    measured_seconds=22.0,
    steps=1000,
    probes=0,
    levels=(),
    mean_active_blocks=24.0,
    mean_reduced_blocks=None,
    val_loss=0.1,
)
"""Twenty milliseconds a step."""
TUNED = replace(
    BASELINE,
    schedule="tuned",
    policy="dynamic_suffix",
    seconds=16.0,
    levels=(12, 18),
    val_loss=0.11,
    mean_active_blocks=16.0,
)
"""Sixteen."""
CONTROL = replace(
    BASELINE, mode="control", control_for="tuned", seconds=16.0, steps=800, val_loss=0.105
)
LONGER = replace(TUNED, mode="time", seconds=20.0, steps=1250, val_loss=0.1)


def on_seed(seed: int, by: float = 0.0) -> list[Trained]:
    """The four runs above, on another seed, every loss higher by ``by``."""
    runs = (BASELINE, TUNED, CONTROL, LONGER)
    return [replace(run, seed=seed, val_loss=(run.val_loss or math.nan) + by) for run in runs]


class TestRows:
    def test_follow_their_definitions(self) -> None:
        """By hand: 20 ms against 16 ms is 1.25 times as fast, 0.11 against 0.1 a gap of ten per
        cent.
        """
        tuned = rows_of(on_seed(0))[2]
        assert (tuned["schedule"], tuned["policy"], tuned["mode"]) == (
            "tuned",
            "dynamic_suffix",
            "steps",
        )
        assert tuned["ms_per_step"] == pytest.approx(16)
        assert tuned["measured_ms_per_step"] == pytest.approx(22)
        assert tuned["speedup"] == pytest.approx(1.25)
        assert tuned["gap_percent"] == pytest.approx(10)
        assert tuned["levels"] == [12, 18]

    def test_full_update_stands_in_both_modes(self) -> None:
        """Trained once, it is a row of equal steps and one of equal time, without gap or
        speedup.
        """
        full = [
            row
            for row in rows_of(on_seed(0))
            if row["schedule"] == FULL and row["control_for"] is None
        ]
        assert [row["mode"] for row in full] == ["steps", "time"]
        assert all(row["gap_percent"] == 0 and row["speedup"] == 1 for row in full)

    @given(st.lists(st.floats(1e-3, 10), min_size=2, max_size=4, unique=True))
    def test_a_gap_is_taken_on_its_own_seed(self, losses: list[float]) -> None:
        """However much the seeds differ, a schedule twice as high on each has a gap of a hundred
        per cent.
        """
        runs = []
        for seed, loss in enumerate(losses):
            runs += [
                replace(BASELINE, seed=seed, val_loss=loss),
                replace(TUNED, seed=seed, val_loss=2 * loss),
            ]
        gaps = [row["gap_percent"] for row in rows_of(runs) if row["schedule"] == "tuned"]
        assert gaps == pytest.approx([100.0] * len(losses))

    def test_a_failed_run_has_no_gap_and_its_reason(self) -> None:
        failed = replace(
            TUNED, val_loss=None, error="training loss became nan at step 3", steps=0, seconds=0.0
        )
        row = rows_of([BASELINE, failed])[-1]
        assert (row["gap_percent"], row["ms_per_step"], row["speedup"]) == (None, None, None)
        assert row["error"] == "training loss became nan at step 3"


class TestSummary:
    def test_means_and_deviations_over_seeds(self) -> None:
        """Two seeds whose losses differ by 0.02."""
        rows = rows_of([*on_seed(0), *on_seed(1, by=0.02)])
        tuned = summary_of(rows)[2]
        assert (tuned["schedule"], tuned["mode"], tuned["n"]) == ("tuned", "steps", 2)
        assert tuned["val_loss"] == pytest.approx(0.12)
        assert tuned["val_loss_sd"] == pytest.approx(statistics.stdev([0.11, 0.13]))
        assert tuned["gap_percent"] == pytest.approx((10 + 100 * (0.13 / 0.12 - 1)) / 2)

    def test_one_seed_has_no_deviation_and_levels_are_those_of_any_seed(self) -> None:
        alone = summary_of(rows_of(on_seed(0)))[2]
        assert alone["val_loss_sd"] is None
        other = [BASELINE, TUNED, replace(BASELINE, seed=1), replace(TUNED, seed=1, levels=(6,))]
        assert summary_of(rows_of(other))[2]["levels"] == [6, 12, 18]

    def test_a_failed_seed_does_not_count(self) -> None:
        runs = [*on_seed(0), *on_seed(1)]
        runs[5] = replace(runs[5], val_loss=None, error="training loss became inf at step 3")
        tuned = summary_of(rows_of(runs))[2]
        assert (tuned["n"], tuned["val_loss"]) == (1, pytest.approx(0.11))

    def test_order_is_that_of_the_rows(self) -> None:
        """And the control keeps the name of the schedule whose seconds it has."""
        found = [
            (row["mode"], row["schedule"], row["control_for"])
            for row in summary_of(rows_of(on_seed(0)))
        ]
        assert found == [
            ("steps", FULL, None),
            ("time", FULL, None),
            ("steps", "tuned", None),
            ("control", FULL, "tuned"),
            ("time", "tuned", None),
        ]


def test_control_losses_are_full_updates_in_the_same_seconds() -> None:
    """At equal steps its shortened run, at equal time its whole one."""
    rows: list[Row] = rows_of([*on_seed(0), *on_seed(3, by=0.01)])
    steps, time = (controls_of(rows, "tuned", mode) for mode in ("steps", "time"))
    assert {seed: row["val_loss"] for seed, row in steps.items()} == pytest.approx(
        {0: 0.105, 3: 0.115}
    )
    assert {seed: row["val_loss"] for seed, row in time.items()} == pytest.approx({0: 0.1, 3: 0.11})


@given(st.dictionaries(st.integers(1, 4), st.integers(0, 50), min_size=1))
def test_depth_facts_agree_with_a_list_of_every_step(counts: dict[int, int]) -> None:
    """Spell the ledger out as one depth a step and take plain means of it."""
    depths = [depth for depth, count in counts.items() for _ in range(count)]
    reduced = [depth for depth in depths if depth < 4]
    facts = depth_facts(Ledger(dict(counts)), 4)
    assert facts["levels"] == tuple(sorted(set(reduced)))
    assert facts["mean_active_blocks"] == (
        pytest.approx(statistics.fmean(depths)) if depths else None
    )
    assert facts["mean_reduced_blocks"] == (
        pytest.approx(statistics.fmean(reduced)) if reduced else None
    )


@given(st.dictionaries(st.integers(1, 4), st.integers(0, 500), min_size=1), st.integers(0, 20))
def test_on_the_clock_of_steps_seconds_are_steps(counts: dict[int, int], probes: int) -> None:
    """Whatever was trained at whatever depth, and so a horizon of 1 is the baseline's number of
    steps.
    """
    costs = steps_as_seconds(made_up_costs())
    assert charge(costs, Ledger(dict(counts), probes)).train_seconds == sum(counts.values())
    assert baseline_seconds(costs, 123) == 123


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans(), st.sampled_from(PHASES)), max_size=30))
def test_a_record_tells_what_its_run_did(steps: list[tuple[int, bool, Phase]]) -> None:
    """The decisions and the probes of any course are enough for its whole ledger."""
    costs = made_up_costs()
    course = Course(Timetable(1000, 10, 0, 0.2), costs, 1.0)
    for depth, probe, phase in steps:
        course.step(StepPlan(tuple(range(4 - depth, 4)), probe, phase))
    measured = course.measurements()
    told = record(0, 1.0, 1.0, steps=len(steps), probes=measured.ledger.all_probes)
    assert ledger_of(replace(told, decisions=measured.decisions)) == measured.ledger
