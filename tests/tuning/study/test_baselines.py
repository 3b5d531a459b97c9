"""The control covers all horizons that a space searches."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.base import HORIZON, SearchSpace, horizon
from search_spaces.knobs import Choice, Fixed
from search_spaces.registry import all_spaces, find_space
from tuning.config.config import SearchConfig
from tuning.session.plan import later_specs
from tuning.study.baselines import CONTROL_HORIZONS, WIDEST, baseline_specs, short_controls
from tuning.trial.recipe import Recipe

SPACE = find_space("static_suffix")


def searching(low: float) -> SearchSpace:
    """The space with horizons from ``low`` on."""
    knobs = [horizon(low) if knob.name == HORIZON else knob for knob in SPACE.knobs]
    return dataclasses.replace(SPACE, knobs=tuple(knobs))


@given(low=st.floats(0.01, 0.99))
def test_no_two_neighbours_are_further_apart_than_an_eighth(low: float) -> None:
    """Property: the controls go from the shortest horizon searched to the whole one.

    None is added where the baselines' own reach down to it.
    """
    found = [spec.recipe.horizon for spec in short_controls(searching(low), "w", 3)]
    assert all(low <= h < CONTROL_HORIZONS[0] for h in found)
    assert found == sorted(set(found))
    if low < CONTROL_HORIZONS[0]:
        assert found[0] == low
    everything = [*found, *CONTROL_HORIZONS, 1.0]
    assert all(b - a <= WIDEST + 1e-9 for a, b in itertools.pairwise(everything))


@pytest.mark.parametrize(
    ("knob", "horizons"),
    [(Fixed(HORIZON, 0.4), []), (Choice(HORIZON, (1.0, 0.4)), [0.4])],
    ids=["fixed", "choice"],
)
def test_a_fixed_horizon_needs_none_and_a_choice_its_least(
    knob: Fixed | Choice, horizons: list[float]
) -> None:
    """What is not searched has no short end."""
    space = dataclasses.replace(SPACE, knobs=(knob, *(k for k in SPACE.knobs if k.name != HORIZON)))
    assert [spec.recipe.horizon for spec in short_controls(space, "w", 3)] == horizons


@pytest.mark.parametrize("name", sorted(all_spaces()))
def test_they_follow_the_space_filling_start_and_leave_the_replicates_their_places(
    name: str,
) -> None:
    """Of every embedded space with horizons below the control's: full_update, on the trials' seed,
    from number 16 on, where there are 8 baselines.
    """
    later = later_specs(SearchConfig("run", workload="w", space=name, rung=0.0), 7)
    horizons = next(k.values() for k in all_spaces()[name].knobs if k.name == HORIZON)
    assert sorted(later) == ([16, 18] if float(horizons[0]) < CONTROL_HORIZONS[0] else [])
    for spec in later.values():
        assert (spec.recipe.policy, spec.origin, spec.seed) == ("full_update", "control", 7)


@pytest.mark.parametrize("name", sorted(all_spaces()))
def test_the_control_at_both_ends_of_the_rungs_comes_before_what_is_sampled(name: str) -> None:
    """Of every embedded space: at a quarter of its least and of its greatest horizon."""
    config = SearchConfig("run", workload="w", space=name, rung=0.25)
    first = len(baseline_specs("w", 7, space=all_spaces()[name]))
    low, high = next(k.values() for k in all_spaces()[name].knobs if k.name == HORIZON)
    later = later_specs(config, 7)
    looks = [later[number].recipe for number in (first, first + 1)]
    assert looks == [
        Recipe("full_update", float(low) / 4),
        Recipe("full_update", float(high) / 4),
    ]
    shorter = [at for at in later if at > first + 1]
    assert shorter == ([first + 10, first + 12] if float(low) < CONTROL_HORIZONS[0] else [])


def test_a_smaller_model_is_trained_beside_what_is_found() -> None:
    """A control, not a point of the space; not where no block may be left out."""
    space = find_space("recipe")
    kinds = [spec.recipe.control_kind for spec in baseline_specs("w", 0, space=space)]
    assert kinds.count("smaller") == 1
    whole = [
        Fixed(knob.name, value=False) if knob.name == "use_depth" else knob for knob in space.knobs
    ]
    kinds = [
        spec.recipe.control_kind
        for spec in baseline_specs("w", 0, space=dataclasses.replace(space, knobs=tuple(whole)))
    ]
    assert "smaller" not in kinds


@pytest.mark.parametrize("name", sorted(all_spaces()))
def test_a_suggestion_stands_beside_the_baseline_before_the_rest(name: str) -> None:
    """So that it is known early whether it gains; without one the control is first."""
    space = all_spaces()[name]
    origins = [spec.origin for spec in baseline_specs("w", 0, space=space)]
    first = ["baseline", *["enqueued"] * bool(space.suggested), *["control"] * 4, "enqueued"]
    assert origins[: len(first)] == first


def test_where_no_suggestion_is_left_the_control_is_first() -> None:
    """A rival does not take the place of what the space cannot suggest any more."""
    space = find_space("recipe")
    left = dataclasses.replace(space, suggested=(({"optimizer": "another"},),))
    specs = baseline_specs("w", 0, space=left)
    assert [spec.origin for spec in specs] == ["baseline", *["control"] * 4, "enqueued"]
    assert specs[-1].recipe.control_kind == "smaller"
