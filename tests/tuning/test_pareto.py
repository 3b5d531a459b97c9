"""``python -m tuning.pareto`` on runs written by the real store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.frames import record, search_records
from tests.support.runs import write_run
from tests.support.verdicts import confirmed
from tuning.layout import VERDICT
from tuning.pareto import main
from tuning.store.files import Files


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 48 trials in which a schedule wins."""
    return write_run(tmp_path_factory.mktemp("runs") / "mine", search_records())


def test_without_outputs_the_runs_own_page_and_picture_are_renewed(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table is printed, and both files named."""
    assert main([str(run)]) == 0
    printed = capsys.readouterr().out
    assert "dynamic_suffix #37 reaches 1.9444 (target 1.9500)" in printed
    assert f"wrote {run / 'report.html'}" in printed.replace("\n", "")
    assert (run / "report.html").stat().st_size > 10_000
    assert (run / "front.png").stat().st_size > 10_000


def test_outputs_that_are_asked_for_are_the_only_ones(tmp_path: Path) -> None:
    """Four files in four formats, at a target of one's own; nothing in the run directory."""
    mine = write_run(tmp_path / "run", search_records(24))
    files = {kind: tmp_path / f"out.{kind}" for kind in ("html", "png", "csv", "json")}
    flags = [text for kind, path in files.items() for text in (f"--{kind}", str(path))]
    assert main([str(mine), "--target", "2.0", *flags]) == 0
    assert all(path.stat().st_size for path in files.values())
    assert json.loads(files["json"].read_text())["target_loss"] == 2.0
    assert not (mine / "report.html").exists()


def test_a_confirmed_run_is_read_with_its_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """verdict.json is found in the run, printed first and written into the JSON.

    A torn one is named instead.
    """
    mine, out = write_run(tmp_path / "run", search_records()), tmp_path / "out.json"
    (mine / VERDICT).write_text(confirmed({37: 1.08}).to_json())
    assert main([str(mine), "--json", str(out)]) == 0
    assert capsys.readouterr().out.startswith("dynamic_suffix (trial 37) beats training for less")
    assert json.loads(out.read_text())["confirmation"]["winner"] == 37
    (mine / VERDICT).write_text("{")
    assert main([str(mine), "--json", str(out)]) == 0
    assert "must hold a verdict that this version reads" in " ".join(
        capsys.readouterr().out.split()
    )
    assert json.loads(out.read_text())["confirmation"] is None


def test_a_target_of_the_run_that_nothing_reached_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is a finding, not a fault: status 0, and null in the JSON."""
    mine = write_run(tmp_path / "run", [record(0, 5.0, 2.0, target_loss=1.5)])
    out = tmp_path / "out.json"
    assert main([str(mine), "--json", str(out)]) == 0
    assert "No finished trial reached 1.500" in capsys.readouterr().out
    assert json.loads(out.read_text())["gain_at_target"] is None


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ["--target", "low"],
            "--target must be a finite number, a value of the metric, but got 'low'",
        ),
        (
            ["--target", "nan"],
            "--target must be a finite number, a value of the metric, but got 'nan'",
        ),
        (
            ["--target", "0.5"],
            "--target must be a loss that a finished trial reached, but got 0.5000 and the lowest",
        ),
        (["--png", "{tmp}"], "--png must be a file, but {tmp} is a directory"),
        (
            ["--csv", "{tmp}/no/x.csv"],
            "--csv must lie in a directory that exists, but {tmp}/no does not",
        ),
        (["--csv", "{tmp}/x", "--json", "{tmp}/x"], "each output must have its own file"),
    ],
)
def test_bad_flags_are_named_and_nothing_is_written(
    run: Path, tmp_path: Path, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2, one message, no traceback, no file."""
    assert main([str(run), *(flag.format(tmp=tmp_path) for flag in flags)]) == 2
    message = capsys.readouterr().err
    assert said.format(tmp=tmp_path) in message
    assert "Traceback" not in message
    assert list(tmp_path.iterdir()) == []


def test_all_faults_are_named_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that is none, a target that is none, and an output that cannot be."""
    assert main([str(tmp_path), "--target", "x", "--html", str(tmp_path / "no" / "x.html")]) == 2
    assert capsys.readouterr().err.count("\n- ") == 3


def test_a_run_without_finished_trials_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that has only failed, and one that has nothing."""
    for name, records in (("failed", [record(0, None, None, state="failed")]), ("empty", [])):
        assert main([str(write_run(tmp_path / name, records))]) == 2
        assert "--resume" in capsys.readouterr().err
        assert not (tmp_path / name / "report.html").exists()


def test_a_file_that_cannot_be_written_is_named(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a full disk says it, at the moment of writing."""

    def full(_files: Files, _path: Path, _content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Files, "write_atomic", full)
    assert main([str(run), "--csv", str(tmp_path / "x.csv")]) == 2
    assert "No space left on device" in capsys.readouterr().err


def test_the_command_starts_light() -> None:
    """``--help`` works, names every flag with its default, and imports none of the heavy
    libraries.
    """
    code = (
        "import sys; from tuning.pareto import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'ray', 'optuna', 'pandas', "
        "'pyarrow')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for flag in ("--target", "--html", "--png", "--csv", "--json"):
        assert flag in done.stdout
    assert done.stdout.count("default:") == 5
