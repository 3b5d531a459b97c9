"""Replaying a policy over a recorded full-update run, to find where it first departs from it.

Until a policy freezes something, and until its learning rate departs from the trunk's, its run *is* the full-update
run: same weights, same batches, same losses. So it needs not be trained: its pure decisions are replayed over the
losses and relevance scores that the trunk recorded, and training starts at the last snapshot before the departure. What
the run is charged for is its own ledger, probes included, as if it had trained the shared part itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from models.levers.form import PLAIN
from models.levers.levers import NO_LEVERS, Levers
from policies.base import Observation, Progress, StateT, StepPlan, UpdatePolicy
from tuning.clock import CostTable
from tuning.course import Course, Timetable


@dataclass(frozen=True)
class Trunk:
    """What a full-update run of horizon 1.0 recorded.

    Attributes:
        losses: training loss of every step.
        relevance: metric -> step -> one score a block.
        evaluations: validation loss by the step after which it was measured.
        snapshots: steps before which the run was saved, ascending.
    """

    losses: Sequence[float]
    relevance: Mapping[str, Sequence[Sequence[float]]]
    evaluations: Mapping[int, float]
    snapshots: Sequence[int]


@dataclass(frozen=True)
class Standing(Generic[StateT]):
    """Where a replayed run stands before ``step``.

    Attributes:
        step: how many it has taken.
        state: its policy's.
        course: ``Course.state_dict``.
        finished: whether it is over.
        probed: the scores it has seen, by step.
    """

    step: int
    state: StateT
    course: Mapping[str, Any]
    finished: bool
    probed: Mapping[int, tuple[float, ...]] = field(default_factory=dict)


def replay(
    policy: UpdatePolicy[StateT],
    trunk: Trunk,
    timetable: Timetable,
    costs: CostTable,
    horizon: float,
    levers: Levers = NO_LEVERS,
) -> Standing[StateT] | None:
    """The last snapshot of ``trunk`` at which a run under ``policy`` has not yet departed from it.

    Where the run never departs, its end. None where there is no snapshot before its departure.
    """
    course, along = Course(timetable, costs, horizon, levers), Course(timetable, costs, 1.0)
    state = policy.init(costs.num_blocks)
    found: Standing[StateT] | None = None
    probed: dict[int, tuple[float, ...]] = {}
    snapshots = set(trunk.snapshots)
    while not course.finished:
        step = course.steps
        if step in snapshots:
            found = Standing(step, state, course.state_dict(), finished=False, probed=dict(probed))
        plan = policy.plan(state, Progress(step, course.fraction))
        if step >= len(trunk.losses) or departs(plan, course, along):
            return found
        for each in (course, along):
            each.step(plan if each is course else _full(costs.num_blocks))
        if course.evaluation_due:
            if course.steps not in trunk.evaluations:
                return found
            course.evaluated(trunk.evaluations[course.steps])
        if plan.probe:
            probed[step] = tuple(trunk.relevance[plan.metric][step])
        seen = Observation(step, trunk.losses[step], probed.get(step), phase=plan.phase)
        state = policy.observe(state, seen)
    return Standing(course.steps, state, course.state_dict(), finished=True)


def departs(plan: StepPlan, course: Course, along: Course) -> bool:
    """Whether the next step would not be the trunk's: other blocks, another learning rate, another form."""
    return (
        len(plan.active_blocks) < course.num_blocks or course.form != PLAIN or course.rate_factor != along.rate_factor
    )


def _full(num_blocks: int) -> StepPlan:
    return StepPlan(tuple(range(num_blocks)), probe=False, phase="full")
