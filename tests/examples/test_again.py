"""examples/again.py: a trial's own loss, once more."""

from __future__ import annotations

import dataclasses
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from examples.gpt2_text import make
from tests.tuning.callbacks.recipes import RECIPES, STEPS, recipe
from tuning.training.generators import generators_kept
from tuning.training.loop import TrainingRun
from tuning.training.plain_loop import LoadedRecipe

ROOT = Path(__file__).parents[2]


def recorded(found: LoadedRecipe) -> LoadedRecipe:
    """The recipe with the facts of a trial of it that the search's own loop trained."""
    task = dataclasses.replace(
        make(), steps=STEPS, eval_every=4, warmup_steps=2, decay_fraction=0.3
    )
    costs = found.file.costs
    assert costs is not None
    trial = TrainingRun(
        task, found.file.policy, seed=found.seed, horizon=1.0, costs=costs,
        device=torch.device("cpu"), levers=found.file.levers,
    )  # fmt: skip
    while not trial.finished:
        trial.advance()
    facts = {
        "workload": f"{ROOT / 'examples' / 'gpt2_text.py'}:make",
        "seed": found.seed,
        "horizon": 1.0,
        "steps": trial.steps,
        "val_loss": trial.curve[-1].val_loss,
    }
    return LoadedRecipe(dataclasses.replace(found.file, facts=facts))


@pytest.mark.parametrize("loop", ["plain", "trainer"])
def test_it_has_the_trials_loss(
    loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the bit, in a loop of one's own and in Trainer, with GPT-2's own dropout."""
    threads = torch.get_num_threads()
    with generators_kept():
        torch.set_num_threads(1)
        found = recorded(recipe(RECIPES["muon, averaged"], blocks=4))
        (tmp_path / "recipe.toml").write_text(found.file.to_toml())
        monkeypatch.setattr(sys, "argv", ["again", str(tmp_path / "recipe.toml"), loop])
        left = runpy.run_path(str(ROOT / "examples" / "again.py"), run_name="__main__")
        torch.set_num_threads(threads)
    assert left["same"]
    assert f"{found.steps} steps: validation loss" in capsys.readouterr().out


def test_it_runs_beside_a_package_of_the_same_name(tmp_path: Path) -> None:
    """Copied to a folder that has a package ``models``, as a user may, it gets as far as the
    recipe, which is not there.
    """
    shutil.copy(ROOT / "examples" / "again.py", tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("")
    ended = subprocess.run(
        [sys.executable, "again.py", "none.toml", "plain"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "FileNotFoundError" in ended.stderr
    assert "none.toml" in ended.stderr
