"""torch's compiler is loaded when it is asked for, and is the same then."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest


@pytest.fixture(scope="module")
def scenes() -> dict[str, Any]:
    """What each scene of ``tests.support.late_compiler`` came to, in a process of its own."""
    command = [sys.executable, "-m", "tests.support.late_compiler"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_optimizers_step_without_it_and_come_to_the_same(scenes: dict[str, Any]) -> None:
    """Losses of a few steps with several optimizers, with the compiler and without, to the bit."""
    without, ever = scenes["trained"], scenes["a_module_of_it"]["trained"]
    assert without["losses"] == ever["losses"]
    assert (without["late"], ever["late"]) == (True, False)
    assert (without["sympy"], ever["sympy"]) == (False, True)


def test_a_module_of_it_brings_all_of_it_once(scenes: dict[str, Any]) -> None:
    """The module is asked for first, and is then the one that the package has."""
    found = {name: scenes["a_module_of_it"][name] for name in ("one", "late", "loader")}
    assert found == {"one": True, "late": False, "loader": "SourceFileLoader"}
    assert scenes["a_module_that_it_does_not_import"] == {"one": True, "late": False}


def test_whoever_looks_over_all_modules_does_not_load_it(scenes: dict[str, Any]) -> None:
    """Names that Python gives modules, and one that it has."""
    seen = scenes["looked_over"]
    assert (seen["found"], seen["late"]) == ([None, None], True)
    assert seen["file"].endswith("__init__.py")


def test_what_must_not_be_traced_is_left_alone_by_a_compiler_that_came_late(
    scenes: dict[str, Any],
) -> None:
    """An optimizer's ``zero_grad`` within a compiled function divides it into two graphs."""
    assert scenes["compiled"] == {"found": 6.0, "graphs": 2, "late": False, "left alone": True}


def test_a_trial_that_compiles_nothing_does_not_load_it(scenes: dict[str, Any]) -> None:
    """Trained, evaluated and measured to its end."""
    assert scenes["a_trial"] == {"metrics": ["Weight, drawn", "error"], "late": True}
