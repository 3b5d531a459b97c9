"""A trial's life as data: the spec that is asked for, and the record that is left when it is over.

Columns, types and meanings are those of the store's Parquet files; ``TrialRecord`` is one row. Seconds are solo
seconds (the device to itself) unless the name says ``wall``. A value that does not apply is None, never NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Scalar = bool | int | float | str
State = Literal["finished", "stopped", "failed"]
Origin = Literal["baseline", "control", "enqueued", "sampled", "replicate"]
STATES: tuple[State, ...] = ("finished", "stopped", "failed")
ORIGINS: tuple[Origin, ...] = ("baseline", "control", "enqueued", "sampled", "replicate")


@dataclass(frozen=True)
class TrialSpec:
    """What to train: everything a worker must know beyond the run's own configuration.

    Attributes:
        number: dense, from 0.
        horizon: how long to train, as a fraction of the full-update baseline's seconds; > 0.
        knobs: settings of the policy by name; only those that apply to it.
        target_loss: the loss whose first time is ``seconds_to_quality``; None while it is being determined.
    """

    number: int
    origin: Origin
    workload: str
    policy: str
    seed: int
    horizon: float
    knobs: Mapping[str, Scalar] = field(default_factory=dict)
    target_loss: float | None = None


@dataclass(frozen=True)
class CurvePoint:
    """One evaluation: after ``step`` steps and ``train_seconds`` solo seconds the validation loss was this."""

    step: int
    train_seconds: float
    val_loss: float


@dataclass(frozen=True)
class Decision:
    """From ``step`` on, ``active_blocks`` blocks (a count) were updated in ``phase``; one entry a change."""

    step: int
    active_blocks: int
    phase: str


@dataclass(frozen=True)
class TrialRecord:
    """One row of the store. Every attribute is a column, except ``knobs``, which is one column a knob."""

    number: int
    state: State
    origin: Origin
    workload: str
    policy: str
    seed: int
    horizon: float
    knobs: Mapping[str, Scalar]
    started_at: datetime
    finished_at: datetime
    executions: int
    device: str
    train_seconds: float | None = None
    wall_seconds: float | None = None
    measured_seconds: float | None = None
    co_residents: float | None = None
    val_loss: float | None = None
    target_loss: float | None = None
    reached: bool | None = None
    seconds_to_quality: float | None = None
    steps: int | None = None
    probes: int | None = None
    mean_active_fraction: float | None = None
    required_flops: float | None = None
    effective_flops_per_second: float | None = None
    pipeline_overhead_seconds: float | None = None
    forked_from_step: int | None = None
    would_stop_at_step: int | None = None
    error: str | None = None
    curve: tuple[CurvePoint, ...] = ()
    decisions: tuple[Decision, ...] = ()
