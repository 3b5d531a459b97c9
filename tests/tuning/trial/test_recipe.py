"""What counts as training for less: full_update with no lever pulled, whoever proposed it."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.levers.levers import NO_LEVERS, lever_settings, make_levers
from tuning.findings.front import control, control_kinds, controls, levered, never_froze
from tuning.trial.recipe import OFF, ControlKind, Recipe, recipe_of
from tuning.trial.trial import Scalar

FIELDS = lever_settings()


def values_of(name: str) -> tuple[bool | float | str, ...]:
    """A switch's choices, or its value in a run without the lever and another."""
    field = FIELDS[name]
    if str(field.type) == "float":
        return (OFF[name], 0.5)
    return field.metadata["choices"] or (False, True)


SETTINGS = {name: st.sampled_from(values_of(name)) for name in OFF}
KNOBS = st.fixed_dictionaries({}, optional=SETTINGS)


@given(st.sampled_from(["full_update", "static_suffix"]), KNOBS)
def test_a_control_is_a_run_that_no_lever_changes(
    policy: str, knobs: dict[str, bool | float | str]
) -> None:
    """Property, against the levers themselves.

    A lever is off by name exactly where the run's levers do nothing.
    """
    try:
        levers = make_levers(knobs)
    except ValueError:  # settings that rule each other out are no recipe
        return
    assert Recipe(policy, 1.0, knobs).is_control == (policy == "full_update" and not levers.used)


@given(
    st.lists(
        st.tuples(st.sampled_from(["full_update", "static_suffix"]), KNOBS), min_size=1, max_size=8
    )
)
def test_tables_rows_and_trials_agree(
    runs: list[tuple[str, dict[str, bool | float | str]]],
) -> None:
    """Property: the same answer for a whole table, one of its rows, and a trial.

    Null knobs are off.
    """
    rows = [
        {"policy": policy, "horizon": 1.0, **{f"knob_{name}": knobs.get(name) for name in OFF}}
        for policy, knobs in runs
    ]
    frame = pd.DataFrame(rows)
    expected = [Recipe(policy, 1.0, knobs).is_control for policy, knobs in runs]
    assert controls(frame).tolist() == expected
    assert [recipe_of(row).is_control for _, row in frame.iterrows()] == expected
    assert [recipe_of(row).is_control for row in rows] == expected
    kinds = [Recipe(policy, 1.0, knobs).control_kind for policy, knobs in runs]
    assert control_kinds(frame).tolist() == kinds


def test_off_is_the_default() -> None:
    """What counts as off is what a trial has that does not give the setting."""
    assert {name: FIELDS[name].default for name in OFF} == dict(OFF)
    assert Recipe("full_update").is_control
    assert not NO_LEVERS.used


@pytest.mark.parametrize(
    ("policy", "knobs", "kind"),
    [
        ("full_update", {}, "own"),
        ("full_update", {"rate": 1.0, "final_rate": 0.0, "depth_end": 1.0}, "own"),
        ("full_update", {"batch_change_at": 0.2, "growth_at": 0.3}, "own"),
        ("full_update", {"rate": 2.0}, "tuned"),
        ("full_update", {"optimizer": "own", "rate_head": 0.3, "decay_added": 0.5}, "tuned"),
        ("full_update", {"batch_start": 0.5}, "tuned"),
        ("full_update", {"batch_start": 0.5, "batch_end": 2.0, "rate": 2.0}, "tuned"),
        ("full_update", {"depth_start": 0.5, "depth_end": 0.5}, "smaller"),
        ("full_update", {"depth_start": 0.5, "depth_end": 0.5, "growth_at": 0.1}, "smaller"),
        ("full_update", {"depth_start": 0.5, "depth_end": 0.5, "layer_dropout": 0.1}, None),
        ("full_update", {"depth_start": 0.5, "depth_end": 0.5, "rate": 2.0}, None),
        ("full_update", {"depth_start": 0.5}, None),
        ("full_update", {"averaging": "ema"}, None),
        ("full_update", {"optimizer": "muon", "rate": 2.0}, None),
        ("full_update", {"rate": 2.0, "compiled": True}, None),
        ("static_suffix", {"rate": 2.0}, None),
        ("static_suffix", {}, None),
    ],
)
def test_which_control_a_recipe_is(
    policy: str, knobs: dict[str, bool | float | str], kind: ControlKind | None
) -> None:
    """By hand, at a horizon beyond the baseline's as well."""
    assert Recipe(policy, 0.5, knobs).control_kind == kind
    assert Recipe(policy, 1.5, knobs).control_kind == kind
    assert Recipe(policy, 1.5, knobs).is_control == (kind == "own")


def test_a_lever_is_named_by_its_choice_or_by_itself() -> None:
    """No name has a number in it."""
    recipe = Recipe(
        "full_update", 1.0, {"rate": 2.0, "batch_start": 0.5, "batch_end": 4.0, "averaging": "ema"}
    )
    assert recipe.name == "full_update + ema + batch + tuned"


@pytest.mark.parametrize(
    ("policy", "knobs", "active", "expected"),
    [
        ("full_update", {}, 1.0, False),
        ("dynamic_suffix", {}, 1.0, False),
        ("dynamic_suffix", {}, 0.9, True),
        ("dynamic_suffix", {"approximation": "svd"}, 1.0, True),
        ("full_update", {"attention_backend": "math"}, 1.0, True),
        ("full_update", {"approximation": "none", "compiled": False}, 1.0, False),
    ],
)
def test_a_schedule_freezes_or_pulls_a_lever(
    policy: str, knobs: dict[str, bool | str], active: float, expected: bool
) -> None:
    """By hand: anything else is full_update under another name."""
    assert Recipe(policy, 1.0, knobs).is_schedule(active) == expected


def test_a_levered_full_update_is_no_control_and_no_renamed_one() -> None:
    """In a table of finished trials only the run without levers is the control, and neither counts
    as never frozen.
    """
    common = {
        "state": "finished",
        "origin": "sampled",
        "policy": "full_update",
        "horizon": 1.0,
        "mean_active_fraction": 1.0,
    }
    frame = pd.DataFrame(
        [
            {
                **common,
                "number": 0,
                "train_seconds": 1.0,
                "val_loss": 1.0,
                "knob_approximation": None,
            },
            {
                **common,
                "number": 1,
                "train_seconds": 0.5,
                "val_loss": 0.9,
                "knob_approximation": "svd",
            },
        ]
    )
    assert control(frame)["number"].tolist() == [0]
    assert levered(frame).tolist() == [False, True]
    assert not never_froze(frame).any()
    assert recipe_of(frame.iloc[1]).name == "full_update + svd"


def test_a_row_of_a_table_makes_policy_and_levers() -> None:
    """Whole numbers and choices come as numpy's, which no rule of a knob takes: a rival that is
    read off the table is to be trained again.
    """
    frame = pd.DataFrame(
        {
            "policy": ["full_update"],
            "horizon": [1.0],
            "knob_compiled": pd.array([False], dtype="boolean"),
            "knob_newton_schulz_steps": pd.array([3], dtype="Int64"),
            "knob_optimizer": ["muon"],
        }
    )
    knobs: dict[str, Scalar] = {"compiled": False, "newton_schulz_steps": 3, "optimizer": "muon"}
    found = recipe_of(frame.iloc[0])
    assert found == Recipe("full_update", 1.0, knobs)
    assert found.levers == Recipe("full_update", 1.0, knobs).levers
