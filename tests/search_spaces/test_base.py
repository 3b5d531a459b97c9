"""Search spaces: conditions, the split into policy, horizon and knobs, and the refusal of invalid
points.
"""

from __future__ import annotations

import dataclasses

import pytest

from policies.base import Scalar
from policies.dynamic_suffix import DynamicSuffix
from policies.static_suffix import StaticSuffix
from search_spaces.base import SearchSpace, horizon, knob
from search_spaces.knobs import Choice, Fixed, Float, Int, Knob
from search_spaces.registry import all_spaces, find_space
from search_spaces.rules import space_faults


def space(*knobs: Knob, policy: str | None = DynamicSuffix.name) -> SearchSpace:
    return SearchSpace("mine", "a space for tests", knobs, policy)


GATE = knob(DynamicSuffix, "gate")
WINDOW = knob(DynamicSuffix, "stability_window", 5, 100, log=True, when={"gate": (True,)})


def test_a_knob_takes_unit_and_meaning_from_its_policy() -> None:
    """Compares with the setting's own metadata."""
    rule = {f.name: f.metadata for f in dataclasses.fields(DynamicSuffix)}["probe_every"]
    made = knob(DynamicSuffix, "probe_every", 5, 50, log=True)
    assert made == Int("probe_every", 5, 50, True, unit=rule["unit"], meaning=rule["meaning"])


def test_the_kind_follows_the_setting() -> None:
    """Numbers make ranges, truth values and choices make choices."""
    assert isinstance(knob(DynamicSuffix, "threshold", 0, 1), Float)
    assert isinstance(GATE, Choice)
    assert GATE.choices == (False, True)
    assert knob(DynamicSuffix, "relevance", choices=("ratio",)).values() == ("ratio",)


def test_a_number_needs_a_range() -> None:
    """Asks for one without."""
    with pytest.raises(ValueError, match="a number needs low and high, but got threshold"):
        knob(DynamicSuffix, "threshold")


def test_a_condition_that_fails_drops_the_knob() -> None:
    """The window applies behind a gate, not without one."""
    gated = space(GATE, WINDOW)
    assert gated.at([0.0, 0.0]) == {"gate": False}
    assert gated.at([1.0, 0.0]) == {"gate": True, "stability_window": 5}
    assert gated.active({"gate": False, "stability_window": 5}) == {"gate": False}


def test_what_a_fixed_knob_rules_out_is_not_searched() -> None:
    """With the gate fixed shut there is nothing conditional and nothing to search."""
    shut = space(Fixed("gate", False), WINDOW)
    assert (shut.searched, shut.conditional) == ((), False)
    assert shut.at([]) == {"gate": False}
    opened = space(Fixed("gate", True), WINDOW)
    assert (opened.searched, opened.conditional) == ((WINDOW,), False)


def test_split_gives_horizon_and_policy_their_own_places() -> None:
    """The horizon and a chosen policy are not among the policy's knobs."""
    schedule = find_space("schedule")
    params: dict[str, Scalar] = {"horizon": 0.5, "policy": "static_suffix", "active_fraction": 0.3}
    assert schedule.split(params) == ("static_suffix", 0.5, {"active_fraction": 0.3})
    assert space(GATE).split({"gate": True}) == ("dynamic_suffix", 1.0, {"gate": True})


def test_params_of_refuses_what_is_not_a_point() -> None:
    """Another policy, a value out of range, and a default out of range are no points.

    A good default is.
    """
    static = find_space("static_suffix")
    assert static.params_of("static_suffix", 0.5, {}) == {"horizon": 0.5, "active_fraction": 0.5}
    assert static.params_of("static_suffix", 0.1, {}) is None
    assert static.params_of("full_update", 0.5, {}) is None
    assert static.params_of("static_suffix", 0.5, {"active_fraction": 0.05}) is None


@pytest.mark.parametrize(
    ("policy", "knobs", "why"),
    [
        ("static_suffix", {}, None),
        ("static_suffix", {"active_fraction": 0.05}, "its active_fraction is 0.05, and here 0.1"),
        ("full_update", {}, "its policy is full_update, and this space has static_suffix"),
        ("static_suffix", {"own.width": 3}, "it has knobs of its own that this workload has not"),
    ],
)
def test_why_a_trial_is_no_point_is_said(
    policy: str, knobs: dict[str, Scalar], why: str | None
) -> None:
    """What keeps it out, with the range where it is a value."""
    found = find_space("static_suffix").why_outside(policy, 0.5, knobs)
    assert found is None if why is None else (found or "").startswith(why)


def test_ranges_that_cross_are_refused() -> None:
    """The fewest active blocks could exceed the most; the policy's own rule is quoted once."""
    crossing = space(
        knob(DynamicSuffix, "min_active", 0.1, 0.8), knob(DynamicSuffix, "max_active", 0.5, 1.0)
    )
    (fault,) = space_faults(crossing)
    assert "every point of the space must be a valid policy" in fault
    assert "min_active <= max_active must hold" in fault


def test_a_contradiction_behind_conditions_is_found() -> None:
    """Two of the budget's factors cross only where the budget adapts."""
    adaptive = {"adaptive": (True,)}
    crossing = space(
        knob(DynamicSuffix, "adaptive"),
        knob(DynamicSuffix, "budget_upper", 0.9, 1.1, when=adaptive),
        knob(DynamicSuffix, "budget_lower", 0.9, 1.0, when=adaptive),
    )
    assert any(
        "budget_lower <= budget_upper must hold" in fault for fault in space_faults(crossing)
    )


def test_a_range_beyond_the_policys_is_refused() -> None:
    """The policy's bound is quoted."""
    (fault,) = space_faults(space(knob(DynamicSuffix, "threshold", 0.5, 1.5)))
    assert "0 <= threshold <= 1 must hold, but got threshold=1.5" in fault


def test_all_faults_of_form_come_together() -> None:
    """One space with an unknown setting, a repeated knob, a dangling condition, and a horizon of
    zero.
    """
    bad = space(
        Float("horizon", 0.0, 1.0),
        Float("treshold", 0, 1),
        GATE,
        GATE,
        dataclasses.replace(WINDOW, when={"gait": (True,)}),
    )
    text = "\n".join(space_faults(bad))
    assert "did you mean 'threshold'?" in text
    assert "gate: a knob must appear once, but appears twice" in text
    assert "stability_window: a condition must name an earlier knob, but names 'gait'" in text
    assert "0 < horizon must hold, but got 0.0" in text


def test_a_space_needs_policies_that_exist() -> None:
    """An unknown choice of policy and no policy at all."""
    assert (
        "but got 'sometimes'"
        in space_faults(space(Choice("policy", ("sometimes",)), policy=None))[0]
    )
    assert "must have a policy" in space_faults(space(horizon(), policy=None))[0]


def test_a_knob_of_one_policy_needs_its_condition() -> None:
    """A static suffix's knob in a space of both policies is no setting of the other."""
    both = space(
        Choice("policy", ("static_suffix", "dynamic_suffix")),
        knob(StaticSuffix, "active_fraction", 0.1, 1.0),
        policy=None,
    )
    (fault,) = space_faults(both)
    assert (
        "active_fraction must be a setting of dynamic_suffix or of a lever, but is neither" in fault
    )


def test_fingerprint_follows_the_ranges_only() -> None:
    """A new title leaves it; a new end, condition or scale changes it."""
    plain = space(GATE, WINDOW)
    assert dataclasses.replace(plain, title="another").fingerprint() == plain.fingerprint()
    others = [
        space(
            GATE, knob(DynamicSuffix, "stability_window", 5, 90, log=True, when={"gate": (True,)})
        ),
        space(GATE, knob(DynamicSuffix, "stability_window", 5, 100, when={"gate": (True,)})),
        space(GATE, knob(DynamicSuffix, "stability_window", 5, 100, log=True)),
    ]
    assert len({plain.fingerprint(), *(other.fingerprint() for other in others)}) == 4


def test_an_unknown_space_is_refused_with_the_nearest() -> None:
    """Asks for a space with a letter missing."""
    with pytest.raises(ValueError, match="did you mean 'schedule'"):
        find_space("shedule")
    assert sorted(all_spaces()) == list(all_spaces())
