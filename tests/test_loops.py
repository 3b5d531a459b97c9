"""Every loop of ``examples/loops`` runs, on a recipe such as ``tuning.export`` writes."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tuning.callbacks.recipes import recipe

FOLDER = Path(__file__).parent.parent / "examples" / "loops"
LOOPS = sorted(path.stem for path in FOLDER.glob("*.py"))
pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*' does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated"),
]


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Accelerators of one process share their state."""
    yield
    if "accelerate" in sys.modules:
        from accelerate.state import AcceleratorState, GradientState

        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()


def test_there_is_one_for_each() -> None:
    """A plain loop, and one for each framework."""
    assert LOOPS == ["plain", "with_accelerate", "with_lightning", "with_trainer"]


@pytest.mark.parametrize("name", LOOPS)
def test_it_runs_and_learns(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a script in a folder of one's own; the loss falls, and the steps are the recipe's."""
    knobs = {"optimizer": "muon", "rate": 0.5, "averaging": "ema", "averaging_window": 0.2}
    (tmp_path / "recipe.toml").write_text(recipe(knobs, blocks=4).file.to_toml())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, "recipe.toml"])
    left = runpy.run_path(str(FOLDER / f"{name}.py"))
    assert left["losses"][-1] < left["losses"][0] - 0.5
    assert "steps, loss" in capsys.readouterr().out
