"""Policies in runs with levers that leave blocks out."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from models.levers.levers import Levers, make_levers
from models.levers.planning import planned
from policies.base import Observation, Progress, state_from_json, state_to_json
from policies.registry import make_policy

BLOCKS = 6
POLICIES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("full_update", {}),
    ("static_suffix", {"active_fraction": 0.34}),
    ("dynamic_suffix", {"freeze_start": 0.0, "probe_every": 2, "gate": False}),
)


@st.composite
def levers(draw: st.DrawFn) -> Levers:
    if draw(st.booleans()):
        return make_levers({"prefix": draw(st.floats(0.01, 1.0)), "prefix_until": 0.6})
    start = draw(st.floats(0.01, 1.0))
    return make_levers(
        {
            "depth_start": start,
            "depth_end": draw(st.floats(start, 1.0)),
            "growth_steps": draw(st.integers(1, 3)),
            "layer_dropout": draw(st.sampled_from([0.0, 0.5])),
        }
    )


@given(levers(), st.sampled_from(POLICIES), st.integers(0, 9))
def test_plans_are_suffixes_of_what_is_present(
    levers: Levers, which: tuple[str, dict[str, Any]], seed: int
) -> None:
    """Property: over a whole run, state through JSON at every step.

    What is trained are the top ones of what is run, never more than the policy asked for, all of
    them in a probe; the model never shrinks; and the same run plans the same.
    """
    own = make_policy(which[0], which[1])
    policy = planned(own, levers, BLOCKS, seed)
    state = policy.init(BLOCKS)
    had = 0
    for step in range(20):
        progress = Progress(step, step / 20)
        plan = policy.plan(state, progress)
        assert plan == planned(own, levers, BLOCKS, seed).plan(state, progress)
        present = plan.present_blocks(BLOCKS)
        assert plan.active_blocks
        assert plan.active_blocks == present[len(present) - len(plan.active_blocks) :]
        assert had <= (plan.model_blocks or BLOCKS)
        had = plan.model_blocks or BLOCKS
        assert not (plan.probe and plan.left_out)
        scores = tuple(float(b < had) for b in range(BLOCKS)) if plan.probe else None
        seen = Observation(step, 1.0, scores, phase=plan.phase, model_blocks=plan.model_blocks)
        state = policy.observe(state, seen)
        state = state_from_json(policy, json.loads(json.dumps(state_to_json(state))))


def test_without_such_levers_the_policy_is_itself() -> None:
    """Nothing is put around it."""
    own = make_policy("full_update", {})
    assert planned(own, make_levers({"optimizer": "muon"}), BLOCKS, 0) is own


def test_relevance_moves_to_the_top() -> None:
    """By hand: of two blocks present the scores are those of the policy's top two."""
    policy = planned(
        make_policy("dynamic_suffix", {"ema_beta": 0.0}),
        make_levers({"depth_start": 0.34, "depth_end": 0.34}),
        BLOCKS,
        0,
    )
    seen = Observation(0, 1.0, (3.0, 5.0, 0, 0, 0, 0), phase="full", model_blocks=2)
    state = policy.observe(policy.init(BLOCKS), seen)
    assert state_to_json(state)["inner"]["ema"] == (0.0, 0.0, 0.0, 0.0, 3.0, 5.0)
