"""A run directory that the version before wrote: it opens, shows its front, exports, confirms."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import tuning
from policies.settings import load_policy
from tuning import export, pareto
from tuning.session.confirm import Device, Request, confirm
from tuning.store.store import Store

BEFORE = Path(__file__).parents[1] / "data" / "run_of_before"
SEARCHED, CONFIRMED, SEEDS = 14, 2 * 6, 2


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy, since confirming renews what is in it."""
    shutil.copytree(BEFORE, tmp_path / "run")
    for folder in ("running", "trunk"):
        (tmp_path / "run" / folder).mkdir(exist_ok=True)
    return tmp_path / "run"


def as_before(found: Any, before: Any) -> bool:
    """Whether JSON values say all that those of before do, whatever they say beside it."""
    if isinstance(before, dict):
        return all(name in found and as_before(found[name], before[name]) for name in before)
    if isinstance(before, list):
        return len(found) == len(before) and all(map(as_before, found, before))
    return bool(found == before)


def test_it_opens(run: Path) -> None:
    """Every row is there, and what confirmed it has the origin of its own."""
    frame = tuning.load(run)
    assert frame["number"].tolist() == list(range(SEARCHED + CONFIRMED))
    assert frame["origin"].value_counts()["confirmation"] == CONFIRMED
    assert frame["origin"].value_counts()["replicate"] == 1
    assert Store.open(run).scan() == []
    assert len(tuning.front(frame)) > 1


def test_it_shows_its_front(run: Path, tmp_path: Path) -> None:
    """The page, the picture and JSON; the confirmation's sentence is the one it wrote."""
    out = tmp_path / "front.json"
    assert pareto.main([str(run), "--json", str(out), "--html", str(tmp_path / "a.html")]) == 0
    found = json.loads(out.read_text())
    written = json.loads((BEFORE / "verdict.json").read_text())
    assert found["confirmation"]["sentence"] == written["sentence"]
    assert as_before(found["confirmation"]["candidates"], written["candidates"])


def test_it_exports(run: Path, tmp_path: Path) -> None:
    """Its best trial's policy is loaded from what is written."""
    out = tmp_path / "recipe.toml"
    assert export.main([str(run), "--trial", "best", "-o", str(out)]) == 0
    assert load_policy(out).name in ("static_suffix", "dynamic_suffix", "full_update")


def test_it_confirms(run: Path) -> None:
    """All of its runs are recorded, so that nothing is trained and the verdict says the same.

    Of the five lengths of the own control that were trained then, four are looked at now.
    """
    costs = Store.open(run).info.calibration
    assert costs is not None
    verdict, _ = confirm(Request(run, 1, SEEDS), device=Device(costs.device, 8))
    written = json.loads((BEFORE / "verdict.json").read_text())
    found = json.loads(verdict.to_json())
    kept = {run["horizon"]: run for run in written["control"]["runs"]}
    assert len(found["control"]["runs"]) == len(kept) - 1
    assert all(run["loss"] == kept[run["horizon"]]["loss"] for run in found["control"]["runs"])
    assert all(found[name] == written[name] for name in ("winner", "alpha", "tested", "seeds"))
    (now,), (then,) = found["candidates"], written["candidates"]
    assert all(now[name] == then[name] for name in ("number", "wins", "bound", "loss"))
    assert max(now["gain"], then["gain"]) < 1
    assert len(tuning.load(run)) == SEARCHED + CONFIRMED
