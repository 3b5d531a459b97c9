"""Telling, without training, that a trial would be a run that was trained before.

A run follows from its seed, its horizon, its levers and the plans of its policy. Knobs that never come to bear (a
budget that adapts and never bites, a gate that opens at once) give the same plans, so the same weights, losses and
evaluations, to the last bit on a CPU. Whether two policies plan alike is found by asking both, step by step, over what
the finished run recorded: up to the first step at which they do not, they see the same losses and scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.levers.levers import Levers
from policies.base import Observation, Progress, StateT, StepPlan, UpdatePolicy
from tuning.clock import CostTable
from tuning.course import Course, Timetable
from tuning.replay import Standing


@dataclass(frozen=True)
class Schedule:
    """All that a run on a given clock follows from."""

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
        relevance: one score a block by the step of each of its own probes.
        evaluations: validation loss by the step after which it was measured.
    """

    schedule: Schedule
    losses: Sequence[float]
    relevance: Mapping[int, Sequence[float]]
    evaluations: Mapping[int, float]


def repeats(
    schedule: Schedule, run: FinishedRun, timetable: Timetable, costs: CostTable, until: int | None = None
) -> Standing[Any] | None:
    """Where a run under ``schedule`` ends, or stands before step ``until``, if it is ``run``; None where it is not."""
    theirs = run.schedule
    if (schedule.seed, schedule.horizon, schedule.levers) != (theirs.seed, theirs.horizon, theirs.levers):
        return None
    end = _followed(schedule.policy, run, timetable, costs, until)
    if end is None or schedule.policy.moments_at_thaw == theirs.policy.moments_at_thaw or _never_froze(end, costs):
        return end
    return None


def _followed(
    policy: UpdatePolicy[StateT], run: FinishedRun, timetable: Timetable, costs: CostTable, until: int | None
) -> Standing[StateT] | None:
    """Where a run under ``policy`` stands then, if it plans every step as ``run`` did."""
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
        seen = Observation(step, run.losses[step], scores, phase=plan.phase)
        mine, theirs = policy.observe(mine, seen), other.observe(theirs, seen)
    return Standing(course.steps, mine, course.state_dict(), course.finished)


def _alike(mine: StepPlan, theirs: StepPlan) -> bool:
    """Whether two plans are the same; a metric that nothing is read by does not count."""
    plans = (mine.active_blocks, mine.probe, mine.phase) == (theirs.active_blocks, theirs.probe, theirs.phase)
    return plans and (mine.metric == theirs.metric or not mine.probe)


def _never_froze(end: Standing[Any], costs: CostTable) -> bool:
    """Whether all blocks were active in every step, so that none ever thawed."""
    return all(decision["active_blocks"] == costs.num_blocks for decision in end.course["decisions"])
