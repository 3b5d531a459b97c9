"""``python -m tuning.check``: what it prints, what it writes, and its exit status."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from models.registry import own_knobs_of
from models.workload import Workload
from tests.support import tiny, unsound
from tuning.check import main
from tuning.report.soundness_table import duration, soundness_lines
from tuning.trial.anatomy import BESIDE_SECONDS, Anatomy
from tuning.trial.soundness import Finding, Soundness


def refused() -> Workload:
    """Its loss is a dict."""
    return unsound.REFUSED["a dict"][0]()


def test_a_sound_workload(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything a person acts on is printed, and written as JSON; status 0."""
    file = tmp_path / "found.json"
    assert main(["--workload", "tests.support.tiny:tiny", "--json", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "tests.support.tiny:tiny is sound"
    by_name = {line.split()[0]: line for line in lines if line and line[0] != " "}
    assert "stem: 144 parameters" in by_name["stem"]
    assert "4 x ResidualBlock: 4.29 k parameters" in by_name["blocks"]
    assert "head: 17 parameters" in by_name["head"]
    assert "with fewer blocks trained 2:" in by_name["a"] or "about" in by_name["a"]
    assert all(len(line) <= 100 for line in lines)
    found = json.loads(file.read_text())
    assert (found["sound"], found["forks"], found["findings"]) == (True, True, [])
    assert found["anatomy"]["parts"][1]["parameters"] == 4288
    abilities = {each["name"]: each["fault"] for each in found["anatomy"]["abilities"]}
    assert abilities["dtype bfloat16"] is None
    assert "nothing to force" in abilities["attention_backend math"]
    assert abilities["optimizer muon"] is abilities["optimizer adamw"] is None
    assert "averaging" in by_name["levers"]
    assert "own" not in by_name
    assert found["search_seconds"] > 0


def between() -> Workload:
    """Its two middle blocks are not given as such."""
    whole = tiny.tiny()
    return replace(whole, blocks=lambda model: [*whole.blocks(model)][::3])


def test_what_runs_between_the_blocks_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """It is trained with the one before it, so it is no stem and no head."""
    assert main(["--workload", f"{__name__}:between"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 x ResidualBlock, with blocks.1, blocks.2 between them: 4.29 k" in printed


def test_own_knobs_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """With what they may be, and what they are where nobody turns them."""
    assert main(["--workload", "tests.support.knobby:make"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "own knobs " in printed
    for name, knob in own_knobs_of("tests.support.knobby:make").items():
        assert f"{name}, {knob.range.span()}, else {knob.default}" in printed


def test_a_refused_workload(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The finding is printed and written; status 2."""
    file = tmp_path / "found.json"
    assert main(["--workload", f"{__name__}:refused", "--json", str(file)]) == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert "is refused refused (nothing is trained):" in printed
    assert "but got a dict with 'loss': return its [\"loss\"] (loss at unsound.py:" in printed
    found = json.loads(file.read_text())
    assert (found["sound"], found["anatomy"]) == (False, None)
    assert found["findings"][0]["follows"] == "refused"


def test_bad_input_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No such workload, and nowhere to write; status 2."""
    assert main(["--workload", "no.such:thing"]) == 2
    assert "must be importable" in capsys.readouterr().err
    assert main(["--json", str(tmp_path / "no" / "file.json")]) == 2
    assert "--json must lie in a directory that exists" in capsys.readouterr().err


def test_findings_stand_under_what_follows_from_them() -> None:
    """The gravest first, each with its consequence."""
    found = Soundness.of([Finding("a", "one", "remark"), Finding("b", "two", "unforked")])
    assert list(soundness_lines("w", found)) == [
        "w is sound, but for forks",
        "unforked (trials train alone: each from its first step, without forks, also after a "
        "stop):",
        "  - two",
        "remark (nothing else follows):",
        "  - one",
    ]


def test_a_search_is_as_long_as_its_trainings() -> None:
    """32 trials of three quarters and five references, two at once, with their evaluations."""
    found = Anatomy((), 0, "", "", "", {1: 1.0}, 0.0, 2.0, (), 10.0, 5.0)
    assert found.search_seconds(32, 5, 2) == BESIDE_SECONDS + (5 + 0.75 * 32) * 20 / 2
    assert duration(found.search_seconds(32, 5, 2)) == "6 minutes"
