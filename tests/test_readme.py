"""What the README shows works: its workload, its loop, its commands."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tuning.export
import tuning.pareto
from models.levers.levers import NO_LEVERS
from policies.presets import TUNED_V2
from tests.support.costs import made_up_costs
from tests.support.searches import search
from tuning.config.arguments import NewSearch, parse
from tuning.trial.course import Timetable
from tuning.trial.recipe_file import RecipeFile

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
EXPORT = "runs/mine --trial best -o recipe.toml"


def blocks(language: str, text: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where one stands: the README's workload is ``my_model.py`` there, its loop ``loop.py``."""
    for name, code in zip(("my_model.py", "loop.py"), blocks("python", README), strict=True):
        (tmp_path / name).write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # as Python does for a script in it
    yield tmp_path
    sys.modules.pop("my_model", None)


def test_the_loop_follows_a_recipe_that_freezes(folder: Path) -> None:
    """Runs it as it stands, on a recipe such as ``tuning.export`` writes."""
    facts = {"seed": 0, "horizon": 1.0, "steps": 400}
    recipe = RecipeFile(TUNED_V2, NO_LEVERS, facts, Timetable(400, 40, 0, 0.2), made_up_costs(4))
    (folder / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
    left = runpy.run_path("loop.py")
    assert left["run"].finished
    assert left["error"] < left["loss"](left["make_model"](7), left["batch_at"](7, 0))


def test_the_guide_to_taking_it_away_runs(folder: Path) -> None:
    """Runs what ``docs/take_away.md`` shows, one block after the other, on the same policy."""
    facts = {"seed": 0, "horizon": 1.0, "steps": 200}
    recipe = RecipeFile(TUNED_V2, NO_LEVERS, facts, Timetable(200, 50, 10, 0.2), made_up_costs(8))
    (folder / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
    guide = (ROOT / "docs" / "take_away.md").read_text(encoding="utf-8")
    (folder / "guide.py").write_text("\n".join(blocks("python", guide)), encoding="utf-8")
    left = runpy.run_path("guide.py")
    assert (left["policy"], left["levers"].used) == (TUNED_V2, False)
    assert left["run"].finished
    assert left["error"] < 2.0


def test_a_reader_gets_an_answer(folder: Path) -> None:
    """Searches by the README's own command, if in one process, for two trials, on a fake clock.

    Then the front is printed, and the best trial is written for the loop and followed by it.
    """
    (flags,) = re.findall(r"-m tuning\.search (--workload .*?)(?: +#|$)", README, re.MULTILINE)
    request = parse([*flags.split(), "--driver", "serial", "--trials", "2", "--target", "1.5"])
    assert isinstance(request, NewSearch)
    found = search(request.config)
    assert list(found.trials["state"]) == ["finished", "finished"]
    assert found.run == Path("runs/mine")
    assert "python -m tuning.pareto runs/mine`" in README
    assert tuning.pareto.main(["runs/mine"]) == 0
    assert (folder / "runs/mine/report.html").is_file()
    assert f"python -m tuning.export {EXPORT}`" in README
    assert tuning.export.main(EXPORT.split()) == 0
    left = runpy.run_path("loop.py")
    assert (left["recipe"].file.policy.name, left["run"].finished) == ("full_update", True)


@pytest.mark.parametrize("module", sorted(set(re.findall(r"python -m (tuning\.\w+)", TEXT))))
def test_commands_exist(module: str) -> None:
    """Asks every command of README, CONTRIBUTING and docs for its help."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_make_targets_exist() -> None:
    """Every ``make`` command that a document shows is a target of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make (\w+)", "\n".join(blocks("sh", TEXT)), flags=re.MULTILINE)
    assert {"search", "test", "check"} <= set(targets)
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)
