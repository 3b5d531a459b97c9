"""What every search space must keep. A new file in search_spaces/ is picked up here."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.levers.levers import divide_knobs, make_levers
from policies.registry import make_policy
from search_spaces.base import HORIZON, SearchSpace
from search_spaces.knobs import Fixed, Float, Gate, Int
from search_spaces.narrow import applied, narrow
from search_spaces.registry import all_spaces, find_space
from search_spaces.rules import space_faults
from tuning.study.baselines import baseline_specs, knob_columns

NAMES = tuple(all_spaces())


@pytest.fixture(params=NAMES, scope="module")
def space(request: pytest.FixtureRequest) -> SearchSpace:
    return find_space(request.param)


@pytest.fixture(scope="module")
def fingerprints() -> dict[str, str]:
    """Of every space by name, from a new interpreter with another hash seed."""
    code = (
        "import json; from search_spaces.registry import all_spaces, find_space; "
        "print(json.dumps({find_space(name).name: find_space(name).fingerprint() "
        "for name in all_spaces()}))"
    )
    command = [sys.executable, "-c", code]
    there = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    )
    found: dict[str, str] = json.loads(there.stdout)
    return found


def points(space: SearchSpace) -> st.SearchStrategy[list[float]]:
    """Points of the unit cube, its faces and corners among them."""
    size = len(space.searched)
    return st.lists(
        st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0]), min_size=size, max_size=size
    )


class TestSearchSpace:
    def test_it_has_no_fault(self, space: SearchSpace) -> None:
        """By its own rules, which try its corners."""
        assert space_faults(space) == []

    @settings(max_examples=30)
    @given(data=st.data())
    def test_every_point_is_a_valid_trial(self, space: SearchSpace, data: st.DataObject) -> None:
        """Property: the policy and the levers themselves accept what a point stands for, with
        nothing adjusted.
        """
        params = space.at(data.draw(points(space)))
        policy, horizon, knobs = space.split(params)
        own, others = divide_knobs(knobs)
        made, levers = make_policy(policy, own), make_levers(others)
        assert {name: getattr(made, name) for name in own} == own
        settings_made = {name: v for part in levers.parts for name, v in asdict(part).items()}
        assert settings_made | others == settings_made
        assert horizon > 0

    @settings(max_examples=30)
    @given(data=st.data())
    def test_splitting_loses_nothing(self, space: SearchSpace, data: st.DataObject) -> None:
        """Property: params come back from policy, horizon and knobs, and only what applies is among
        them.
        """
        params = space.at(data.draw(points(space)))
        assert space.params_of(*space.split(params)) == params == space.active(params)

    @settings(max_examples=30)
    @given(data=st.data())
    def test_knobs_survive_json(self, space: SearchSpace, data: st.DataObject) -> None:
        """Property: what is written of a trial in flight is what comes back."""
        _, _, knobs = space.split(space.at(data.draw(points(space))))
        assert json.loads(json.dumps(knobs)) == knobs

    def test_every_knob_says_what_it_is(self, space: SearchSpace) -> None:
        """A meaning for each; a unit for each number."""
        assert all(knob.meaning for knob in space.knobs)
        assert all(knob.unit for knob in space.knobs if isinstance(knob, (Float, Int)))

    def test_it_searches_the_horizon(self, space: SearchSpace) -> None:
        """Training for less is what every schedule must beat, so it is a knob of each."""
        assert space.knobs[0].name == HORIZON

    def test_the_fingerprint_is_the_same_in_another_process(
        self, space: SearchSpace, fingerprints: dict[str, str]
    ) -> None:
        """Computes it in a new interpreter with another hash seed."""
        assert fingerprints[space.name] == space.fingerprint()

    def test_each_knob_can_be_fixed_where_it_stands(self, space: SearchSpace) -> None:
        """Fixes every knob in turn at the first end of its range: no fault, another fingerprint.

        All points are tried for one of them alone: of a large space that takes a second.
        """
        for place, knob in enumerate(space.searched):
            look = narrow if place == len(space.searched) // 2 else applied
            fixed, faults = look(space, {knob.name: knob.values()[0]})
            assert faults == []
            assert isinstance(fixed.knob(knob.name), (Fixed, Gate))
            assert len(fixed.knob(knob.name).values()) == 1
            assert fixed.fingerprint() != space.fingerprint()

    def test_its_own_ranges_narrow_nothing(self, space: SearchSpace) -> None:
        """Gives every range as it stands."""
        ranges = {
            k.name: {"low": k.low, "high": k.high}
            for k in space.knobs
            if isinstance(k, (Float, Int))
        }
        same, faults = narrow(space, ranges)
        assert (same.fingerprint(), faults) == (space.fingerprint(), [])

    def test_every_knob_has_a_column(self, space: SearchSpace) -> None:
        """The knobs of the space's points and of the baselines are columns of the store."""
        settings = {knob.name for knob in space.knobs if not isinstance(knob, Gate)}
        names = settings - {"horizon", "policy"}
        baselines = baseline_specs("w", 0, space=space)
        known = {name for spec in baselines for name in spec.recipe.knobs}
        assert names | known <= knob_columns(space).keys()

    def test_presets_of_its_policies_are_points(self, space: SearchSpace) -> None:
        """A model learns from the schedules that are trained before it samples."""
        presets = [
            s
            for s in baseline_specs("w", 0, space=space)
            if s.origin == "enqueued"
            and s.recipe.policy in space.policies()
            and s.recipe.control_kind is None  # rivals stand outside
        ]
        recipes = [s.recipe for s in presets]
        assert all(space.params_of(r.policy, r.horizon, r.knobs) for r in recipes)
