"""From measurements to a trial's record: what was reached, when, and the three terms of its time.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from tuning.trial.clock import CostTable, Ledger, charge
from tuning.trial.trial import CurvePoint, Decision, State, TrialRecord, TrialSpec


@dataclass(frozen=True)
class Measurements:
    """What a run has measured: what it did, its evaluations, which blocks it updated when, and at
    its end further metrics by name.
    """

    ledger: Ledger
    curve: tuple[CurvePoint, ...]
    decisions: tuple[Decision, ...]
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Circumstances:
    """What happened around a run and is not the run itself: when, where, beside how many others."""

    started_at: datetime
    finished_at: datetime
    wall_seconds: float
    co_residents: float
    executions: int
    device: str
    measured_seconds: float | None = None


def seconds_to_quality(curve: Sequence[CurvePoint], target: float) -> float | None:
    """Solo seconds of the first evaluation whose loss is at or below ``target``; None if there is
    none (censored).
    """
    return next((point.train_seconds for point in curve if point.val_loss <= target), None)


# Request, measurements and circumstances are objects; the other arguments say how it ended.
def record_of(
    spec: TrialSpec,
    costs: CostTable | None,
    measured: Measurements | None,
    around: Circumstances,
    *,
    state: State = "finished",
    error: str | None = None,
    forked_from_step: int | None = None,
    would_stop_at_step: int | None = None,
) -> TrialRecord:
    """The record of a trial that ended in ``state`` after ``measured`` (None if it never started
    training).

    ``val_loss`` is the last evaluation's, None if there was none. ``reached`` and
    ``seconds_to_quality`` are None where no target was set, and for a trial that did not finish,
    which shows nothing about its schedule.
    """
    record = TrialRecord(
        recipe=spec.recipe,
        number=spec.number,
        state=state,
        origin=spec.origin,
        workload=spec.workload,
        seed=spec.seed,
        started_at=around.started_at,
        finished_at=around.finished_at,
        executions=around.executions,
        device=around.device,
        wall_seconds=around.wall_seconds,
        measured_seconds=around.measured_seconds,
        co_residents=around.co_residents,
        target_loss=spec.target_loss,
        error=error,
        forked_from_step=forked_from_step,
        would_stop_at_step=would_stop_at_step,
    )
    return (
        record if measured is None or costs is None else _with_measurements(record, costs, measured)
    )


def _with_measurements(
    record: TrialRecord, costs: CostTable, measured: Measurements
) -> TrialRecord:
    terms = charge(costs, measured.ledger)
    target = record.target_loss if record.state == "finished" else None
    seconds = None if target is None else seconds_to_quality(measured.curve, target)
    return replace(
        record,
        train_seconds=terms.train_seconds,
        val_loss=measured.curve[-1].val_loss if measured.curve else None,
        metrics=measured.metrics,
        reached=None if target is None else seconds is not None,
        seconds_to_quality=seconds,
        steps=measured.ledger.steps,
        probes=measured.ledger.all_probes,
        mean_active_fraction=measured.ledger.mean_active_fraction(costs.num_blocks),
        required_flops=terms.required_flops,
        effective_flops_per_second=terms.effective_flops_per_second,
        pipeline_overhead_seconds=terms.pipeline_overhead_seconds,
        curve=measured.curve,
        decisions=measured.decisions,
    )
