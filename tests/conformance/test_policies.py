"""What every update policy must keep, whoever wrote it.

The registry finds it, nothing here knows it.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.base import PHASES, RELEVANCE_METRICS, UpdatePolicy, state_from_json, state_to_json
from policies.registry import policies
from policies.settings import dump_policy, load_policy
from tests.policies.runs import Shown, policies_of, run, shown

KINDS = [pytest.param(kind, id=name) for name, kind in sorted(policies().items())]
SETTINGS = [
    pytest.param(kind, field, id=f"{name}-{field.name}")
    for name, kind in sorted(policies().items())
    for field in dataclasses.fields(kind)
]
LAW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


@st.composite
def situations(
    draw: st.DrawFn, kind: type[UpdatePolicy[Any]]
) -> tuple[UpdatePolicy[Any], int, list[Shown]]:
    num_blocks = draw(st.integers(1, 12))
    return draw(policies_of(kind)), num_blocks, draw(shown(num_blocks))


@pytest.mark.parametrize("kind", KINDS)
class TestEveryPolicy:
    @LAW
    @given(data=st.data())
    def test_same_inputs_give_same_outputs_and_change_nothing(
        self, kind: type[UpdatePolicy[Any]], data: st.DataObject
    ) -> None:
        """Run twice from equal inputs, with copies of every state taken before it is used."""
        policy, num_blocks, steps = data.draw(situations(kind))
        before = (copy.deepcopy(policy), copy.deepcopy(steps))
        plans, states = run(policy, num_blocks, steps)
        kept = copy.deepcopy(states)
        assert run(policy, num_blocks, steps) == (plans, states)
        assert states == kept
        assert policy == before[0]
        assert repr(steps) == repr(before[1])

    @LAW
    @given(data=st.data())
    def test_a_run_goes_on_from_its_state_in_json(
        self, kind: type[UpdatePolicy[Any]], data: st.DataObject
    ) -> None:
        """Cut a run anywhere, pass the state through strict JSON, and compare the rest with the
        whole.
        """
        policy, num_blocks, steps = data.draw(situations(kind))
        plans, states = run(policy, num_blocks, steps)
        cut = data.draw(st.integers(0, len(steps)))
        text = json.dumps(state_to_json(states[cut]), allow_nan=False)
        revived = state_from_json(policy, json.loads(text))
        assert revived == states[cut]
        assert run(policy, num_blocks, steps, start=revived, first=cut) == (
            plans[cut:],
            states[cut:],
        )

    @LAW
    @given(data=st.data())
    def test_a_plan_is_a_suffix_of_a_depth_the_policy_declares(
        self, kind: type[UpdatePolicy[Any]], data: st.DataObject
    ) -> None:
        """The active blocks are ascending, end in the top block, and are as many as ``depths``
        says.
        """
        policy, num_blocks, steps = data.draw(situations(kind))
        depths = policy.depths(num_blocks)
        assert list(depths) == sorted(set(depths))
        for plan in run(policy, num_blocks, steps)[0]:
            assert plan.active_blocks == tuple(range(num_blocks))[-len(plan.active_blocks) :]
            assert len(plan.active_blocks) in depths
            assert plan.metric in RELEVANCE_METRICS

    @LAW
    @given(data=st.data())
    def test_probes_and_unreduced_phases_train_every_block(
        self, kind: type[UpdatePolicy[Any]], data: st.DataObject
    ) -> None:
        """A probe, the full and the recovery phase name all blocks; recovery does not probe."""
        policy, num_blocks, steps = data.draw(situations(kind))
        for plan in run(policy, num_blocks, steps)[0]:
            if plan.probe or plan.phase != "reduced":
                assert len(plan.active_blocks) == num_blocks
            assert not (plan.probe and plan.phase == "recovery")

    @LAW
    @given(data=st.data())
    def test_phases_come_in_order(self, kind: type[UpdatePolicy[Any]], data: st.DataObject) -> None:
        """Full, then reduced, then recovery: the phases of a run's steps never go back."""
        policy, num_blocks, steps = data.draw(situations(kind))
        order = [PHASES.index(plan.phase) for plan in run(policy, num_blocks, steps)[0]]
        assert order == sorted(order)

    @LAW
    @given(data=st.data())
    def test_the_state_does_not_grow(
        self, kind: type[UpdatePolicy[Any]], data: st.DataObject
    ) -> None:
        """No list in a state is longer than there are blocks, and no state has a list within a
        list.
        """
        policy, num_blocks, steps = data.draw(situations(kind))
        for state in run(policy, num_blocks, steps)[1]:
            for value in state_to_json(state).values():
                assert not isinstance(value, tuple) or len(value) <= num_blocks
                assert not isinstance(value, (list, dict))

    @LAW
    @given(data=st.data())
    def test_settings_survive_toml(
        self, kind: type[UpdatePolicy[Any]], data: st.DataObject
    ) -> None:
        """Write any policy as TOML and load it: an equal one."""
        policy = data.draw(policies_of(kind))
        assert load_policy(dump_policy(policy)) == policy

    def test_its_defaults_keep_its_rules(self, kind: type[UpdatePolicy[Any]]) -> None:
        """A policy can be made without any knob."""
        assert kind().faults() == []


@pytest.mark.parametrize(("kind", "field"), SETTINGS)
class TestEverySetting:
    def test_it_says_what_it_means_and_what_it_allows(
        self, kind: type[UpdatePolicy[Any]], field: dataclasses.Field[Any]
    ) -> None:
        """A meaning in words, and either choices or two finite bounds and a unit."""
        rule = field.metadata
        assert rule["meaning"]
        assert rule["choices"] or (
            rule["unit"] and math.isfinite(rule["low"]) and math.isfinite(rule["high"])
        )

    def test_what_it_does_not_allow_is_refused(
        self, kind: type[UpdatePolicy[Any]], field: dataclasses.Field[Any]
    ) -> None:
        """Just beyond each bound, values that are no numbers, of other types, or not among the
        choices.
        """
        for value in _forbidden(field):
            with pytest.raises(ValueError, match=rf"{field.name}.*but got"):
                kind(**{field.name: value})


def _forbidden(field: dataclasses.Field[Any]) -> list[Any]:
    rule = field.metadata
    if rule["choices"]:
        return ["no such choice", 7, None]
    if field.type == "int":
        return [
            rule["low"] - 1,
            rule["high"] + 1,
            rule["low"] + 0.5,
            float(rule["low"]),
            True,
            "1",
            None,
        ]
    below, above = math.nextafter(rule["low"], -math.inf), math.nextafter(rule["high"], math.inf)
    return [below, above, math.nan, math.inf, -math.inf, True, "0.5", None]
