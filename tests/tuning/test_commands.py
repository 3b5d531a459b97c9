"""What all commands share, run where a user's own files are in the way."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuning import check
from tuning.commands import INTERRUPTED, not_writable, status_of
from tuning.ttq import DOORS

ROOT = Path(__file__).parents[2]
TINY = "from tests.support.tiny import tiny\n"


@pytest.mark.parametrize("name", ["random", "types"])
def test_a_file_named_like_a_module_of_pythons_is_told(name: str, tmp_path: Path) -> None:
    """In the folder that a command is run from, which Python looks into first: a message that names
    it, or what was asked for.
    """
    (tmp_path / f"{name}.py").write_text(TINY)
    done = subprocess.run(
        [sys.executable, "-m", "tuning.check", "--workload", f"{name}.py:tiny"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert done.returncode == 2
        assert f"{name}.py stands before {name}: rename it, or run from" in done.stderr


def test_it_is_a_workload_like_any_other_by_its_path_from_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor is it in the way of the other process, in which a workload is examined."""
    (tmp_path / "random.py").write_text(TINY)
    assert check.main(["--workload", f"{tmp_path}/random.py:tiny"]) == 0
    assert "Traceback" not in capsys.readouterr().err


def test_a_terminated_command_says_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """As an interrupted one does; what SIGTERM did before, it does afterwards."""
    before = signal.getsignal(signal.SIGTERM)

    def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    assert status_of("confirm", work, lambda: "everything is kept") == INTERRUPTED
    assert capsys.readouterr().err == "Interrupted; everything is kept\n"
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("door", [door for door in DOORS if door != "search"])
def test_a_command_line_of_no_sense_is_told_as_every_fault(
    door: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every word that is no flag, each with the nearest flag, in the words that a search uses."""
    main = importlib.import_module(f"tuning.{door}").main
    with pytest.raises(SystemExit) as left:
        main(["runs/mine", "--hlep", "--zzz=5"])
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert said.startswith(f"python -m tuning.{door}: cannot do what was asked:\n- no such flag: '")
    assert "- no such flag: '--hlep': did you mean --help?\n- no such flag: '--zzz=5': see" in said


def test_a_flag_that_lacks_a_value_is_told_likewise(capsys: pytest.CaptureFixture[str]) -> None:
    """Of two that it needs."""
    with pytest.raises(SystemExit):
        importlib.import_module("tuning.export").main(["runs/mine", "--to", "csv"])
    assert capsys.readouterr().err == (
        "python -m tuning.export: cannot do what was asked:\n"
        "- argument --to: expected 2 arguments: see --help\n"
    )


def test_a_file_that_cannot_be_written_is_told_before_anything_is_done(tmp_path: Path) -> None:
    """In a directory that is not the user's, or of a file that is not; root itself may write."""
    mine = tmp_path / "mine.json"
    mine.write_text("{}")
    assert not_writable("--json", mine) == []
    mine.chmod(0o400)
    tmp_path.chmod(0o500)
    with as_nobody():
        for path in (mine, tmp_path / "new.json"):
            assert not_writable("--json", path) == [
                f"--json must be a writable file, but {path} is not: choose another"
            ]


@pytest.mark.parametrize("door", sorted(DOORS))
def test_a_directory_that_is_gone_is_told(
    door: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever was asked for from there, before any library is."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    words = [] if door in ("search", "check", "compare") else [str(tmp_path / "run")]
    assert importlib.import_module(f"tuning.{door}").main(words) == 2
    assert "the current directory must exist" in capsys.readouterr().err


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Inside, root is told as another user what may be written."""
    user, effective, saved = os.getresuid()
    if user == 0:
        os.setresuid(65534, effective, saved)
    try:
        yield
    finally:
        os.setresuid(user, effective, saved)
