"""Commands in odd surroundings: an answer, or one message that says what to do.

Homes, passwd entries and terminals are taken away within this process; permissions by having
``os.access`` and the file system say what they say to a user who may not write.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import tests.support.tiny
from tests.support.searches import config_of, prepared
from tuning import check, confirm, export, pareto, search
from tuning.store.files import FILES

ODD = 'it\'s a [bold] b=1 "dir"'
Surround = Callable[[pytest.MonkeyPatch], None]


def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor a user that anybody knows, as in a container with a number for a user."""

    def unknown(uid: int) -> object:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "USER", "LOGNAME", "XDG_CACHE_HOME", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 40 columns that can do nothing."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "dumb")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an odd name, and in it a workload's file and a run of it."""
    folder = tmp_path_factory.mktemp("around") / ODD
    folder.mkdir()
    shutil.copy(tests.support.tiny.__file__, folder / "my own.py")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        no_home(monkeypatch)
        prepared(config_of(folder / "clock", workload="my own.py:tiny"))
        words = ["--workload", "my own.py:tiny", "--driver", "serial", "--trials", "6"]
        words += ["--space", "static_suffix", "--target", "1.0", "--clock", str(folder / "clock")]
        assert search.main([*words, "--run", str(folder / "run")]) == 0
    return folder


@pytest.mark.parametrize("surround", [no_home, narrow])
def test_a_run_is_read(
    place: Path,
    surround: Surround,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The front and a trial's settings, both with status 0 and nothing of a fault."""
    surround(monkeypatch)
    assert pareto.main([str(place / "run")]) == 0
    assert export.main([str(place / "run"), "--trial", "0"]) == 0
    said = capsys.readouterr()
    assert "full_update" in said.out
    assert "Traceback" not in said.err


def test_a_narrow_terminal_has_whole_numbers(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No row of the table is cut, none wider than the terminal; the loss is there."""
    narrow(monkeypatch)
    assert pareto.main([str(place / "run")]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = [line for line in lines if re.match(r"[ *]+(#|\d+) (policy|full_update)", line)]
    assert len(table) > 2
    assert [line for line in table if len(line) > 40 or "…" in line] == []
    assert table[0].split()[-1] == "loss"


def test_a_command_to_copy_is_whole(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shell reads the directory's name back, from one line, at any width."""
    narrow(monkeypatch)
    assert pareto.main([str(place / "run")]) == 0
    commands = [
        shlex.split(line)
        for line in capsys.readouterr().out.splitlines()
        if line.strip().startswith("python -m tuning.")
    ]
    assert len(commands) == 1
    assert str(place / "run") in commands[0]


def test_a_taken_directory_is_named_as_a_shell_takes_it(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hint to go on with an existing run."""
    words = ["--workload", f"{place / 'my own.py'}:tiny", "--run", str(place / "run")]
    assert search.main(words) == 2
    hint = capsys.readouterr().err.strip().rpartition("--resume ")[2]
    assert shlex.split(hint) == [str(place / "run")]


def test_a_directory_that_cannot_be_written_is_named(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The current one, for a run's default place and for each file that is asked for."""

    def denied(path: Path, data: bytes) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(FILES, "write_atomic", denied)
    tiny, run = f"{place / 'my own.py'}:tiny", str(place / "run")
    assert search.main(["--workload", tiny]) == 2
    assert "choose another with --run" in capsys.readouterr().err
    assert export.main([run, "--trial", "0", "-o", "a.toml"]) == 2
    assert "a.toml" in capsys.readouterr().err
    assert pareto.main([run, "--csv", "a.csv"]) == 2
    assert "--csv must be a writable file, but a.csv is not" in capsys.readouterr().err
    monkeypatch.setattr(os, "access", lambda *_: True)  # not every file system tells before
    assert pareto.main([run, "--csv", "a.csv"]) == 2
    assert "a.csv must be writable, but is not: Permission denied" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_workload_is_checked_without_a_home(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its other process, which inherits the surroundings; the name is printed as it is."""
    no_home(monkeypatch)
    name = f"{place / 'my own.py'}:tiny"
    assert check.main(["--workload", name]) == 0
    assert capsys.readouterr().out.startswith(f"{name} is sound")


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (search.main, ["--run", "LONG"]),
        (search.main, ["--resume", "LONG"]),
        (pareto.main, ["LONG"]),
        (pareto.main, ["RUN", "--csv", "LONG"]),
        (export.main, ["RUN", "--trial", "0", "-o", "LONG/a.toml"]),
    ],
)
def test_a_name_that_is_too_long_is_a_fault(
    main: Callable[[list[str]], int],
    words: list[str],
    place: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Longer than file systems take, wherever a path is given."""
    given = {"LONG": "d" * 300, "RUN": str(place / "run")}
    assert main([given.get(word, word.replace("LONG", given["LONG"])) for word in words]) == 2
    assert "cannot do what was asked:\n- " in capsys.readouterr().err


@pytest.mark.parametrize("main", [pareto.main, confirm.main])
def test_a_name_that_is_no_text_is_a_fault(
    main: Callable[[list[str]], int],
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A run that was moved there; through a link it is read."""
    odd, link = tmp_path / "odd\udcff", tmp_path / "link"
    odd.symlink_to(place / "run")
    link.symlink_to(odd)
    assert main([str(odd)]) == 2
    assert "must have a name in UTF-8, but got" in capsys.readouterr().err
    assert pareto.main([str(link), "--csv", str(tmp_path / "rows.csv")]) == 0
