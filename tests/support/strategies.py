"""Hypothesis strategies for the values that pass between the parts of a search."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from tuning.store.info import KNOB_KINDS, AtOnce, KnobKind, Memory, RunInfo, SamplerChoice, Target
from tuning.trial.clock import CostTable
from tuning.trial.recipe import Recipe
from tuning.trial.trial import (
    FIRST_FRESH,
    ORIGINS,
    REPLICATE,
    STATES,
    CurvePoint,
    Decision,
    TrialRecord,
    TrialSpec,
)

INT64 = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.integers(0, 99_999_999)
COUNTS = st.integers(0, 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8)
KNOB_COLUMNS: Mapping[str, KnobKind] = {
    "threshold": "float",
    "levels": "int",
    "gate": "bool",
    "metric": "str",
}
METRICS = ("accuracy", "F1 at 10")
_KNOB_VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "float": FLOATS,
    "int": INT64,
    "bool": st.booleans(),
    "str": TEXTS,
}


def moments() -> st.SearchStrategy[datetime]:
    """Aware times, in zones other than UTC too."""
    zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
    return st.datetimes(datetime(1700, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC) | zones)


def knobs(columns: Mapping[str, KnobKind] = KNOB_COLUMNS) -> st.SearchStrategy[dict[str, Any]]:
    """Settings of some of the knobs."""
    return st.fixed_dictionaries(
        {}, optional={n: _KNOB_VALUES[kind] for n, kind in columns.items()}
    )


def knob_columns() -> st.SearchStrategy[dict[str, KnobKind]]:
    """Knobs with their kinds."""
    return st.dictionaries(NAMES, st.sampled_from(KNOB_KINDS), max_size=6)


def recipes(columns: Mapping[str, KnobKind] = KNOB_COLUMNS) -> st.SearchStrategy[Recipe]:
    """Any recipe that a store with these knob columns takes."""
    return st.builds(Recipe, TEXTS, FLOATS, knobs(columns))


def specs(numbers: st.SearchStrategy[int] = COUNTS) -> st.SearchStrategy[TrialSpec]:
    """Trials to be trained."""
    return st.builds(
        TrialSpec,
        number=numbers,
        origin=st.sampled_from(ORIGINS),
        workload=TEXTS,
        recipe=recipes(),
        seed=INT64,
        target_loss=st.none() | FLOATS,
    )


def records(
    numbers: st.SearchStrategy[int] = NUMBERS,
    columns: Mapping[str, KnobKind] = KNOB_COLUMNS,
) -> st.SearchStrategy[TrialRecord]:
    """Any record that the store accepts.

    Every None, sign and letter that may occur, consistent or not.
    """
    optional_float, optional_count = st.none() | FLOATS, st.none() | INT64
    return st.builds(
        TrialRecord,
        number=numbers,
        state=st.sampled_from(STATES),
        origin=st.sampled_from(ORIGINS),
        workload=TEXTS,
        recipe=recipes(columns),
        seed=INT64,
        started_at=moments(),
        finished_at=moments(),
        executions=INT64,
        device=TEXTS,
        train_seconds=optional_float,
        wall_seconds=optional_float,
        measured_seconds=optional_float,
        co_residents=optional_float,
        val_loss=optional_float,
        metrics=st.dictionaries(st.sampled_from(METRICS), FLOATS),
        target_loss=optional_float,
        reached=st.none() | st.booleans(),
        seconds_to_quality=optional_float,
        steps=optional_count,
        probes=optional_count,
        mean_active_fraction=optional_float,
        required_flops=optional_float,
        effective_flops_per_second=optional_float,
        pipeline_overhead_seconds=optional_float,
        forked_from_step=optional_count,
        would_stop_at_step=optional_count,
        error=st.none() | TEXTS,
        curve=st.lists(st.builds(CurvePoint, INT64, FLOATS, FLOATS), max_size=4).map(tuple),
        decisions=st.lists(st.builds(Decision, INT64, INT64, TEXTS), max_size=4).map(tuple),
    ).filter(_is_of_today)


def _is_of_today(record: TrialRecord) -> bool:
    """A replicate on a fresh seed is how a confirmation's run was recorded before."""
    return record.origin != REPLICATE or record.seed < FIRST_FRESH


def cost_tables() -> st.SearchStrategy[CostTable]:
    """Calibrations, sensible or not."""
    by_depth = st.dictionaries(st.integers(1, 64), FLOATS, max_size=4)
    return st.builds(
        CostTable,
        num_blocks=st.integers(1, 64),
        step_seconds=by_depth,
        step_flops=by_depth,
        data_seconds=FLOATS,
        probe_seconds=FLOATS,
        probe_flops=FLOATS,
        evaluation_seconds=FLOATS,
        device=TEXTS,
        threads=COUNTS,
        spread=st.dictionaries(NAMES, FLOATS, max_size=3),
        step_parts=st.dictionaries(NAMES, by_depth, max_size=3),
        warmup_seconds=FLOATS,
        tries=COUNTS,
        disturbances=st.lists(TEXTS, max_size=2).map(tuple),
        key=st.dictionaries(NAMES, TEXTS, max_size=3),
    )


def run_infos() -> st.SearchStrategy[RunInfo]:
    """Descriptions of runs."""
    values = st.none() | st.booleans() | INT64 | FLOATS | TEXTS
    targets = st.builds(
        Target,
        loss=FLOATS,
        seeds=st.lists(INT64, max_size=3).map(tuple),
        losses=st.lists(FLOATS, max_size=3).map(tuple),
        seed=st.none() | INT64,
    )
    return st.builds(
        RunInfo,
        version=TEXTS,
        created_at=moments(),
        config=st.dictionaries(TEXTS, values | st.lists(values, max_size=3), max_size=4),
        knob_columns=knob_columns(),
        metrics=st.lists(NAMES, max_size=3, unique=True).map(tuple),
        space_fingerprint=TEXTS,
        workload_fingerprint=TEXTS,
        versions=st.dictionaries(NAMES, TEXTS, max_size=3),
        device=TEXTS,
        calibration=st.none() | cost_tables(),
        target=st.none() | targets,
        sampler=st.none()
        | st.builds(SamplerChoice, TEXTS, TEXTS, st.none() | FLOATS, st.none() | FLOATS),
        memory=st.none() | st.builds(Memory, INT64, INT64),
        at_once=st.none() | st.builds(AtOnce, INT64, TEXTS),
    )
