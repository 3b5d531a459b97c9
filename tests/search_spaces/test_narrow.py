"""A user's own ranges: what they change, and every way in which they can be wrong."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from search_spaces.knobs import Choice, Fixed, Float, Int
from search_spaces.narrow import narrow, unheeded
from search_spaces.registry import find_space

SPACE = find_space("dynamic_suffix")


def overrides(text: str) -> dict[str, Any]:
    """The [knobs] of a TOML text."""
    return tomllib.loads(text)["knobs"]  # type: ignore[no-any-return]


def test_a_value_fixes_a_table_changes_what_it_gives() -> None:
    """Fixes one knob, narrows one, puts one on another scale, and keeps everything else."""
    space, faults = narrow(
        SPACE,
        overrides(
            """
            [knobs]
            ema_beta = 0.9
            relevance = { choices = ["saliency"] }
            [knobs.probe_every]
            low = 10
            log = false
            [knobs.horizon]
            high = 2
            """
        ),
    )
    assert faults == []
    before = SPACE.knob("ema_beta")
    assert space.knob("ema_beta") == Fixed(
        "ema_beta", 0.9, unit=before.unit, meaning=before.meaning
    )
    relevance, probe_every, horizon = (
        space.knob(n) for n in ("relevance", "probe_every", "horizon")
    )
    assert isinstance(relevance, Choice)
    assert relevance.choices == ("saliency",)
    assert isinstance(probe_every, Int)
    assert (probe_every.low, probe_every.high, probe_every.log) == (10, 200, False)
    assert isinstance(horizon, Float)
    assert (horizon.low, horizon.high) == (0.3, 2.0)
    assert [k.name for k in space.knobs] == [k.name for k in SPACE.knobs]


def test_a_range_may_be_widened_within_the_policys_rules() -> None:
    """Thresholds down to zero are the policy's to allow."""
    space, faults = narrow(SPACE, {"threshold": {"low": 0.0, "high": 1.0}})
    assert faults == []
    assert space.knob("threshold").values() == (0.0, 1.0)


def test_a_whole_number_fixes_a_float_as_a_float() -> None:
    """The column is a float's; so is the value."""
    space, faults = narrow(SPACE, {"max_active": 1})
    assert faults == []
    assert repr(space.knob("max_active").values()) == "(1.0,)"


def test_nothing_given_changes_nothing() -> None:
    """The same space, by its fingerprint."""
    assert narrow(SPACE, {})[0].fingerprint() == SPACE.fingerprint()


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (
            {"ema_bta": 0.5},
            "knob 'ema_bta' must be one of space dynamic_suffix, but is not: did you mean",
        ),
        (
            {"levels": {"low": 4, "high": 2}},
            "levels: low <= high must hold, but got (low=4, high=2)",
        ),
        (
            {"probe_every": {"low": 0}},
            "probe_every: low > 0 must hold on a log scale, but got low=0",
        ),
        ({"threshold": "high"}, "threshold must be a number, but got 'high'"),
        ({"threshold": True}, "threshold must be a number, but got True"),
        ({"levels": 2.5}, "levels must be a whole number, but got 2.5"),
        ({"levels": {"low": 1.5}}, "levels: low must be a whole number, but got 1.5"),
        ({"threshold": {"low": "a"}}, "threshold: low must be a number, but got 'a'"),
        ({"threshold": {"log": "yes"}}, "threshold: log must be true or false, but got 'yes'"),
        (
            {"threshold": {"lo": 0.1}},
            "threshold: a table must hold only low, high, log, but got 'lo'",
        ),
        (
            {"threshold": {}},
            "threshold: a table must give at least one of low, high, log, but gives none",
        ),
        ({"relevance": {"low": 1}}, "relevance: a table must hold only choices, but got 'low'"),
        (
            {"relevance": {"choices": "ratio"}},
            "relevance: choices must be a list of values, but got 'ratio'",
        ),
        ({"relevance": {"choices": []}}, "relevance: at least one choice must be left, but got []"),
        (
            {"relevance": ["ratio"]},
            "relevance must be a value or a table { choices = [ … ] }, but got ['ratio']",
        ),
        (
            {"threshold": [0.5, 0.9]},
            "threshold must be a number or a table { low = …, high = … }, but got [0.5, 0.9]",
        ),
        (
            {"threshold": {"high": float("inf")}},
            "low and high must be finite, but got (low=0.3, high=inf)",
        ),
        ({"relevance": "plain"}, "relevance must be one of ['ratio', 'saliency'], but got 'plain'"),
        (
            {"relevance": {"choices": ["plain"]}},
            "must be one of ['ratio', 'saliency'], but got 'plain'",
        ),
        ({"threshold": 1.5}, "0 <= threshold <= 1 must hold, but got threshold=1.5"),
        ({"min_active": {"high": 0.9}}, "min_active <= max_active must hold"),
        ({"horizon": 0}, "0 < horizon must hold, but got 0.0"),
        ({"horizon": {"low": -1}}, "0 < horizon must hold, but got -1.0"),
    ],
)  # fmt: skip
def test_each_fault_is_named(given: dict[str, Any], fault: str) -> None:
    """Compares the message: the rule, the value, and where there is one the nearest name."""
    _, faults = narrow(SPACE, given)
    assert [text for text in faults if fault in text], faults


def test_all_faults_come_together() -> None:
    """Four kinds at once, one message each."""
    given = {"ema_bta": 1, "threshold": {"low": 2, "high": 1}, "levels": "many", "gate": {"low": 0}}
    assert len(narrow(SPACE, given)[1]) == 4


def test_an_unknown_policy_is_a_fault_of_the_space_that_chooses() -> None:
    """Adds a policy that is not there to those that the schedule chooses from."""
    _, faults = narrow(
        find_space("schedule"), {"policy": {"choices": ["static_suffix", "sometimes"]}}
    )
    assert any("policy must be one of" in fault and "'sometimes'" in fault for fault in faults)


def test_the_policy_may_be_fixed() -> None:
    """Only its own knobs are then searched."""
    space, faults = narrow(find_space("schedule"), {"policy": "static_suffix"})
    assert faults == []
    assert [k.name for k in space.searched] == ["horizon", "active_fraction"]


@pytest.mark.parametrize(
    ("given", "without_effect", "by"),
    [
        ({"use_batch": False, "batch_start": 2.0}, "batch_start", "use_batch is false"),
        ({"use_depth": False, "growth_at": {"low": 0.3}}, "growth_at", "use_depth is false"),
        ({"use_prefix": True, "use_depth": True}, "use_prefix", "use_depth is true"),
        ({"use_prefix": True, "policy": "dynamic_suffix"}, "use_prefix", "policy is dynamic"),
        ({"approximation": "svd", "optimizer": "muon"}, "approximation", "optimizer is muon"),
        ({"optimizer": "own", "muon_momentum": 0.9}, "muon_momentum", "optimizer is own"),
        ({"policy": "full_update", "active_fraction": 0.7}, "active_fraction", "policy is full"),
    ],
)  # fmt: skip
def test_a_knob_that_another_leaves_without_effect_is_named(
    given: dict[str, Any], without_effect: str, by: str
) -> None:
    """Each by itself is sound, and so is either one alone."""
    space = find_space("recipe")
    (fault,) = unheeded(space, given)
    assert fault.startswith(f"{without_effect} must apply at some point of the space"), fault
    assert by in fault
    assert narrow(space, given)[1] == []
    assert [unheeded(space, {name: value}) for name, value in given.items()] == [[], []]


@pytest.mark.parametrize(
    "given",
    [
        {"use_batch": False, "batch_start": 1.0},
        {"optimizer": "own", "newton_schulz_steps": 5},
        {"use_prefix": True, "use_depth": False},
        {"use_depth": True, "depth_start": 0.5, "growth_at": 0.3, "use_prefix": False},
        {"policy": {"choices": ["full_update", "static_suffix"]}, "active_fraction": 0.7},
    ],
)
def test_what_changes_nothing_may_be_held_beside_any_other(given: dict[str, Any]) -> None:
    """A lever that is off, a setting at what it has without its lever, what applies at times."""
    assert unheeded(find_space("recipe"), given) == []
