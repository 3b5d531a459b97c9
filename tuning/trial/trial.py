"""A trial's life as data: the spec that is asked for, and the record that is left when it is over.

Columns, types and meanings are those of the store's Parquet files; ``TrialRecord`` is one row.
Seconds are solo seconds (the device to itself) unless the name says ``wall``. A value that does not
apply is None, never NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

import numpy as np

from policies.rules import Scalar as Scalar
from tuning.trial.recipe import Recipe

State = Literal["finished", "stopped", "failed"]
Origin = Literal["baseline", "control", "enqueued", "sampled", "rung", "replicate", "confirmation"]
STATES: tuple[State, ...] = get_args(State)
ORIGINS: tuple[Origin, ...] = get_args(Origin)


@dataclass(frozen=True)
class TrialSpec:
    """What to train: everything a worker must know beyond the run's own configuration.

    Attributes:
        number: dense, from 0.
        target_loss: the loss whose first time is ``seconds_to_quality``; None while it is being
            determined.
    """

    number: int
    origin: Origin
    workload: str
    recipe: Recipe
    seed: int
    target_loss: float | None = None


@dataclass(frozen=True)
class CurvePoint:
    """One evaluation: the validation loss after ``step`` steps and ``train_seconds`` solo
    seconds.
    """

    step: int
    train_seconds: float
    val_loss: float


@dataclass(frozen=True)
class Decision:
    """From ``step`` on, ``active_blocks`` blocks (a count) were updated in ``phase``. There is one
    entry for each change.
    """

    step: int
    active_blocks: int
    phase: str


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One row of the store.

    Every attribute is a column, in this order, with two exceptions. Of ``recipe``, the policy, the
    horizon and each knob are columns; of ``metrics``, the workload's further metrics by name, each
    one is.
    """

    number: int
    state: State
    origin: Origin
    workload: str
    recipe: Recipe
    seed: int
    train_seconds: float | None = None
    wall_seconds: float | None = None
    measured_seconds: float | None = None
    co_residents: float | None = None
    val_loss: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
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
    executions: int
    started_at: datetime
    finished_at: datetime
    device: str
    error: str | None = None
    curve: tuple[CurvePoint, ...] = ()
    decisions: tuple[Decision, ...] = ()


REPLICATE: Literal["replicate"] = "replicate"
CONFIRMATION: Literal["confirmation"] = "confirmation"
AGAIN: tuple[Origin, ...] = (REPLICATE, CONFIRMATION)
"""Origins of re-runs of a recipe on another seed: they are no points of their own, and on no
front.
"""
FIRST_FRESH = 1000
"""How far a confirmation's seeds are at least above the search's first seed; the search's own are
closer.
"""


def is_a_confirmations(origin: str, seed: int, first_seed: int) -> bool:
    """Whether a run is a confirmation's. Runs that take a recipe apart have the same origin, but
    are on the recipe's own seed and on seeds that are twice as far from the search's first.
    """
    return origin == CONFIRMATION and FIRST_FRESH <= seed - first_seed < 2 * FIRST_FRESH


RUNG: Literal["rung"] = "rung"
ASIDE: tuple[Origin, ...] = (*AGAIN, RUNG)
"""Origins of trials that are on no front: re-runs, and short looks at a recipe."""


SEEDS = 3
"""The number of seeds on which full_update sets an automatic target; each is a whole training
before the first trial. It is odd, so that the median is the loss of one seed, on which the trials
then train.
"""


@dataclass(frozen=True)
class Limits:
    """The limits that a trial's evaluations are compared with; ``tuning.study.stopping`` says where
    the numbers come from.

    They are fixed when the trial is asked for, so that a worker that goes on from a checkpoint
    compares it with the same ones.

    Attributes:
        seconds: solo seconds, ascending, at least one; before the first and after the last there is
            no limit.
        losses: the highest loss with which the trial goes on there, linear in between.
        runs_on: whether the trial is one of the sample that trains to its end whatever it shows, to
            check the rule.
    """

    seconds: tuple[float, ...]
    losses: tuple[float, ...]
    runs_on: bool

    def crossed(self, curve: Sequence[CurvePoint]) -> int | None:
        """The step of the first evaluation above its limit, or None.

        >>> limits = Limits(seconds=(2.0, 4.0), losses=(3.0, 2.0), runs_on=False)
        >>> curve = [CurvePoint(10, 1.0, 9.0), CurvePoint(20, 2.0, 3.0), CurvePoint(30, 3.0, 2.6)]
        >>> limits.crossed(curve)
        30
        """
        return next(
            (point.step for point in curve if point.val_loss > self._at(point.train_seconds)), None
        )

    def _at(self, seconds: float) -> float:
        return float(np.interp(seconds, self.seconds, self.losses, left=np.inf, right=np.inf))
