"""Finding policies and making them from knobs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from policies.base import Scalar
from policies.dynamic_suffix import DynamicSuffix
from policies.presets import PRESETS
from policies.registry import make_policy, policies
from policies.settings import dump_policy, knobs_of, load_policy


def test_the_policies_of_the_design_are_found_by_their_names() -> None:
    """Each class is filed under the name it carries."""
    assert {"full_update", "static_suffix", "dynamic_suffix"} <= set(policies())
    assert all(kind.name == name for name, kind in policies().items())


def test_deciding_needs_no_torch() -> None:
    """Import registry, policies and presets in a fresh interpreter and look for torch."""
    code = (
        "import sys, policies.registry as r, policies.presets; r.policies(); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_missing_knob_has_its_default() -> None:
    """A policy made from one knob equals the class called with it."""
    assert make_policy("dynamic_suffix", {"levels": 3}) == DynamicSuffix(levels=3)


def test_an_unknown_policy_is_refused_with_the_known_ones() -> None:
    """The message lists them."""
    with pytest.raises(
        ValueError, match=r"one of \['dynamic_suffix', 'full_update', 'static_suffix'\].*'freeze'"
    ):
        make_policy("freeze", {})


def test_every_fault_is_named_at_once() -> None:
    """An unknown knob, a value out of range, a wrong type, three contradictions: one message."""
    knobs: dict[str, Scalar] = {
        "depth": 3,
        "ema_beta": 1.5,
        "levels": "four",
        "min_active": 0.9,
        "max_active": 0.3,
        "budget_lower": 1.2,
        "budget_upper": 1.1,
        "freeze_start": 0.7,
        "recovery": 0.6,
    }
    with pytest.raises(ValueError, match="has no knob 'depth'") as caught:
        make_policy("dynamic_suffix", knobs)
    for fault in (
        "0 <= ema_beta <= 0.999 must hold, but got ema_beta=1.5",
        "levels must be a int, but got 'four'",
        "min_active <= max_active must hold, but got min_active=0.9, max_active=0.3",
        "budget_lower <= budget_upper must hold, but got budget_lower=1.2, budget_upper=1.1",
        "freeze_start + recovery <= 1 must hold",
    ):
        assert fault in str(caught.value)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_are_made_again_from_their_knobs(name: str) -> None:
    """Through a dictionary of knobs and through TOML."""
    preset = PRESETS[name]
    assert make_policy(preset.name, knobs_of(preset)) == preset
    assert load_policy(dump_policy(preset)) == preset
