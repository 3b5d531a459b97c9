"""Policies run without a model: settings drawn within their rules, losses and scores made up."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from policies.base import Observation, Progress, Scalar, StepPlan, UpdatePolicy

Shown = tuple[float, tuple[float, ...]]
"""A step's loss and the relevance of each block, which is shown to the policy only where it probes.
"""


def values(field: dataclasses.Field[Any]) -> st.SearchStrategy[Scalar]:
    """Values of a setting that keep its rule, small counts as often as large ones."""
    rule = field.metadata
    if rule["choices"]:
        return st.sampled_from(rule["choices"])
    if field.type == "int":
        near = st.integers(int(rule["low"]), int(min(rule["high"], rule["low"] + 20)))
        return near | st.integers(int(rule["low"]), int(rule["high"]))
    return st.floats(rule["low"], rule["high"])


@st.composite
def policies_of(draw: st.DrawFn, kind: type[UpdatePolicy[Any]]) -> UpdatePolicy[Any]:
    """A policy of ``kind`` with any settings its rules allow; each is its default about half of the
    time.
    """
    fields = [field for field in dataclasses.fields(kind) if draw(st.booleans())]
    knobs = {field.name: draw(values(field)) for field in fields}
    try:
        return kind(**knobs)
    except ValueError:
        assume(False)
        raise


@st.composite
def shown(draw: st.DrawFn, num_blocks: int, max_steps: int = 25) -> list[Shown]:
    """What a run shows: losses and scores, now and then not finite, as under mixed precision."""
    losses = st.floats(0.0, 100.0) | st.sampled_from([float("nan"), float("inf")])
    score = st.floats(0.0, 1e6) | st.sampled_from([0.0, float("inf")])
    scores = st.lists(score, min_size=num_blocks, max_size=num_blocks).map(tuple)
    return draw(st.lists(st.tuples(losses, scores), min_size=1, max_size=max_steps))


def run(
    policy: UpdatePolicy[Any],
    num_blocks: int,
    steps: Sequence[Shown],
    start: Any = None,
    first: int = 0,
) -> tuple[list[StepPlan], list[Any]]:
    """The plans of each step and the states before the first, and after each, of them."""
    states = [policy.init(num_blocks) if start is None else start]
    plans = []
    for step, (loss, scores) in list(enumerate(steps))[first:]:
        plan = policy.plan(states[-1], Progress(step, step / len(steps)))
        seen = Observation(step, loss, scores if plan.probe else None, phase=plan.phase)
        plans.append(plan)
        states.append(policy.observe(states[-1], seen))
    return plans, states
