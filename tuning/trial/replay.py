"""Replaying a policy over a recorded full-update run, to find where it first departs from it.

Until a policy freezes something, and until its learning rate departs from the trunk's, its run *is*
the full-update run: same weights, same batches, same losses. So it needs not be trained: its pure
decisions are replayed over the losses and relevance scores that the trunk recorded, and training
starts at the last snapshot before the departure. What the run is charged for is its own ledger,
probes included, as if it had trained the shared part itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from models.levers.averaging import Averaging
from models.levers.cached_prefix import CachedPrefix
from models.levers.depth import Depth
from models.levers.form import PLAIN
from models.levers.levers import NO_LEVERS, Levers
from policies.base import Observation, Progress, StateT, StepPlan, UpdatePolicy
from tuning.trial.clock import CostTable
from tuning.trial.course import Course, Timetable


@dataclass(frozen=True)
class Trunk:
    """What a full-update run of horizon 1.0 recorded.

    Attributes:
        losses: training loss of every step.
        relevance: metric -> step -> one score for each block.
        evaluations: validation loss by the step after which it was measured.
        snapshots: steps before which the run was saved, ascending.
        metrics: the workload's further ones, by name, as they were after the last step.
    """

    losses: Sequence[float]
    relevance: Mapping[str, Sequence[Sequence[float]]]
    evaluations: Mapping[int, float]
    snapshots: Sequence[int]
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing(Generic[StateT]):
    """Where a replayed run stands before ``step``.

    Attributes:
        step: how many steps it has taken.
        state: its policy's state.
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
    """Where a run under ``policy`` stands at the last snapshot of ``trunk`` before it departs from
    the trunk.

    Where the run never departs it is the run's end; None where there is no snapshot before its
    departure.
    """
    course, along = Course(timetable, costs, horizon, levers), Course(timetable, costs, 1.0)
    if course.other_optimizer or levers.of(Depth).on:
        return None  # not even the trunk's moments before its first step are this run's
    state = policy.init(costs.num_blocks)
    averaging = levers.of(Averaging).on
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
        # From here on an average of the weights is evaluated, which the trunk did not keep.
        if averaging and course.averages:
            return found
        if course.evaluation_due:
            # A shorter run is evaluated at its end, where the trunk need not have been.
            if course.steps not in trunk.evaluations:
                return found
            course.evaluated(trunk.evaluations[course.steps])
        if plan.probe:
            probed[step] = tuple(trunk.relevance[plan.metric][step])
        seen = Observation(
            step,
            trunk.losses[step],
            probed.get(step),
            phase=plan.phase,
            model_blocks=plan.model_blocks,
        )
        state = policy.observe(state, seen)
    if trunk.metrics and course.steps < len(trunk.losses):
        return found  # what they are there was not measured
    course.measured(trunk.metrics)
    return Standing(course.steps, state, course.state_dict(), finished=True)


def departs(plan: StepPlan, course: Course, along: Course) -> bool:
    """Whether the next step would not be the trunk's: because of other blocks, another learning
    rate, or another form.
    """
    return (
        len(plan.active_blocks) < course.num_blocks
        or course.form != PLAIN
        # To the bit: until one of them decays both factors are the same products.
        or course.rate_factor != along.rate_factor
    )


def _full(num_blocks: int) -> StepPlan:
    return StepPlan(tuple(range(num_blocks)), probe=False, phase="full")


@dataclass(frozen=True)
class Schedule:
    """Everything that decides a run on a given clock."""

    policy: UpdatePolicy[Any]
    levers: Levers
    seed: int
    horizon: float


@dataclass(frozen=True)
class FinishedRun:
    """A run that was trained to its end.

    Attributes:
        schedule: what it followed.
        losses: training loss of every step.
        relevance: one score for each block, by the step of each of its own probes.
        evaluations: validation loss by the step after which it was measured.
        metrics: the workload's further ones, by name, as they were after the last step.
    """

    schedule: Schedule
    losses: Sequence[float]
    relevance: Mapping[int, Sequence[float]]
    evaluations: Mapping[int, float]
    metrics: Mapping[str, float] = field(default_factory=dict)


def repeats(
    schedule: Schedule,
    run: FinishedRun,
    timetable: Timetable,
    costs: CostTable,
    until: int | None = None,
) -> Standing[Any] | None:
    """Where a run under ``schedule`` ends, or stands before step ``until``, if it is the same as
    ``run``; None if it is not.
    """
    theirs, blocks = run.schedule, costs.num_blocks
    if (schedule.seed, schedule.horizon) != (theirs.seed, theirs.horizon):
        return None
    if schedule.levers.settled(blocks) != theirs.levers.settled(blocks):
        return None
    if schedule.levers.of(CachedPrefix).on:
        return None  # which activations were there is not recorded
    end = _followed(schedule.policy, run, timetable, costs, until)
    if (
        end is None
        or schedule.policy.moments_at_thaw == theirs.policy.moments_at_thaw
        or _never_froze(end, costs)
    ):
        return end
    return None


def _followed(
    policy: UpdatePolicy[StateT],
    run: FinishedRun,
    timetable: Timetable,
    costs: CostTable,
    until: int | None,
) -> Standing[StateT] | None:
    """Where a run under ``policy`` ends, or stands before step ``until``, if it plans every step as
    ``run`` did; else None.
    """
    other = run.schedule.policy
    course = Course(timetable, costs, run.schedule.horizon, run.schedule.levers)
    mine, theirs = policy.init(costs.num_blocks), other.init(costs.num_blocks)
    while not course.finished and course.steps != until:
        step = course.steps
        plan = policy.plan(mine, Progress(step, course.fraction))
        if not _alike(plan, other.plan(theirs, Progress(step, course.fraction))):
            return None
        course.step(plan)
        if course.evaluation_due:
            course.evaluated(run.evaluations[course.steps])
        scores = tuple(run.relevance[step]) if plan.probe else None
        seen = Observation(
            step, run.losses[step], scores, phase=plan.phase, model_blocks=plan.model_blocks
        )
        mine, theirs = policy.observe(mine, seen), other.observe(theirs, seen)
    if course.finished:
        course.measured(run.metrics)
    return Standing(course.steps, mine, course.state_dict(), course.finished)


def _alike(mine: StepPlan, theirs: StepPlan) -> bool:
    """Whether two plans are the same. The metric of a plan that does not probe does not count."""
    if not mine.probe:
        theirs = dataclasses.replace(theirs, metric=mine.metric)
    return mine == theirs


def _never_froze(end: Standing[Any], costs: CostTable) -> bool:
    """Whether all blocks were active in every step, so that none ever thawed."""
    return all(
        decision["active_blocks"] == costs.num_blocks for decision in end.course["decisions"]
    )
