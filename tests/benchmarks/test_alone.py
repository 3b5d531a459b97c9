"""Each lever alone: its settings are recipes, and its rows gains over the own control's line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.quality.alone import HORIZONS, SETTINGS, Plan, possible, rows
from benchmarks.studies.plan import Job, control_job
from benchmarks.studies.runs import Done
from models.workloads.teacher_student import teacher_student
from tuning.session.listed import Subject

SEEDS = (1000, 1001, 1002)


def plan_of(*names: str) -> Plan:
    """Whole horizons of the settings."""
    return Plan("w", names, 1.0, HORIZONS, SEEDS)


def done(job: Job, seconds: float, loss: float) -> Done:
    """A run as it is recorded."""
    return Done(job, seconds, loss, steps=100, probes=0, mean_active_fraction=1.0)


def runs_of(name: str, gains: tuple[float, ...]) -> dict[Job, Done]:
    """The own control at 10 s a horizon, 2 − horizon / 2 its loss; the lever's at gain × 10 s."""
    found: dict[Job, Done] = {}
    for seed, gain in zip(SEEDS, gains, strict=True):
        jobs = [done(control_job("w", h, seed), 10 * h, 2 - h / 2) for h in HORIZONS]
        lever = done(plan_of(name).lever_job(name, seed), 10.0, 2 - gain / 2)
        found |= {run.job: run for run in [*jobs, lever]}
    return found


def test_a_gain_is_the_controls_seconds_over_its_own() -> None:
    """At the lever's loss, on each seed, by the mean of the logarithms."""
    (row,) = rows(runs_of("Muon", (1.2, 1.25, 1.3)), plan_of("Muon"))
    assert row["gain"] == pytest.approx((1.2 * 1.25 * 1.3) ** (1 / 3), rel=0.01)
    assert row["gain, low"] < row["gain"] < row["gain, high"]
    assert row["p"] < 0.01
    assert row["ms a step"] == pytest.approx(100.0)


def test_every_setting_is_a_recipe_of_its_own() -> None:
    """None is the control, none another's."""
    recipes = [plan_of().lever_job(name, 0).recipe for name in SETTINGS]
    assert len({recipe.digest_text for recipe in recipes}) == len(SETTINGS)
    assert not any(recipe.is_control for recipe in recipes)


def test_what_a_workload_cannot_have_is_left_out() -> None:
    """Windows without ``shrink``, a kept prefix without ``examples_at``."""
    plain = replace(teacher_student(), shrink=None, examples_at=None)
    left = set(SETTINGS) - set(possible(Subject("w", None, plain)))
    assert left == {
        "half windows until 0.3",
        "together, and half windows",
        "together, growth, half windows",
        "together: kept quarter, Muon, average",
        "kept prefix until 0.9",
        "top third, the rest kept",
    }
