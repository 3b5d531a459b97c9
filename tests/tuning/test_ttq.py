"""``ttq`` and ``python -m tuning``: every door under one name, its words handed on as they are."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.frames import search_records
from tests.support.runs import write_run
from tuning.ttq import COMPLETE, DOORS, SHELLS, main
from tuning.version import VERSION

ROOT = Path(__file__).parents[2]
SCRIPT = "import sys; sys.argv[0] = '/somewhere/bin/ttq'; from tuning.ttq import main; main()"


def called(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The installed script's doing, in a process of its own."""
    code = f"{SCRIPT.removesuffix('main()')}raise SystemExit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def asking(*words: str) -> dict[str, str]:
    """The variables in which a bash asks what the last of ``words`` may be."""
    return {
        COMPLETE: "bash_complete",
        "COMP_WORDS": " ".join(["ttq", *words]),
        "COMP_CWORD": str(len(words)),
    }


def offered(said: str) -> list[str]:
    """The words in what was said to a bash."""
    return [line.partition(",")[2] for line in said.splitlines()]


Completed = Callable[..., list[str]]


@pytest.fixture
def completed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Completed:
    """What a bash is offered for the last of some words, in this process."""

    def offer(*words: str) -> list[str]:
        for name, value in asking(*words).items():
            monkeypatch.setenv(name, value)
        assert main([]) == 0
        return offered(capsys.readouterr().out)

    return offer


def test_the_doors_are_those_of_the_package() -> None:
    """Looks for modules with a ``main`` that name a program, and asks each for its parser."""
    files = (ROOT / "tuning").glob("*.py")
    there = {path.stem for path in files if "\ndef parser()" in path.read_text(encoding="utf-8")}
    assert set(DOORS) == there
    for door in DOORS:
        assert importlib.import_module(f"tuning.{door}").parser().prog == f"python -m tuning.{door}"


def test_without_a_command_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard output, with status 0."""
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {door}" in listed for door in DOORS)


def test_a_door_has_its_words_its_status_and_its_message(tmp_path: Path) -> None:
    """The message names the program by which it was called; faults come in one."""
    done = called("search", "--trials", "none", "--space", "nope")
    assert done.returncode == 2
    assert done.stderr.startswith("ttq search: cannot do what was asked:")
    assert "trials" in done.stderr
    assert "'nope'" in done.stderr
    run = write_run(tmp_path / "mine", search_records())
    assert main(["export", str(run), "--trial", "0"]) == 0


def test_help_of_a_door_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """With every flag."""
    assert main(["confirm", "--help"]) == 0
    assert "--seeds" in capsys.readouterr().out


def test_an_unknown_command_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    """The nearest name is said."""
    assert main(["serch"]) == 2
    assert "search" in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    """As run directories remember it."""
    assert main(["--version"]) == 0
    assert VERSION in capsys.readouterr().out


def test_the_shell_completes_commands_flags_and_values(completed: Completed) -> None:
    """Asks as bash does, the first time of the installed script."""
    assert offered(called(**asking("con")).stdout) == completed("con") == ["confirm"]
    assert completed("search", "--sam") == ["--sampler"]
    assert completed("search", "--sampler", "n") == ["nsga2"]
    assert completed("search", "--space", "tu") == ["tune"]
    assert completed("pareto", "runs") == ["runs"]
    assert completed("confirm", "--time", "m") == ["measured"]


def test_the_shell_completes_workloads_and_destinations(completed: Completed) -> None:
    """A workload by name or by file, the kind of a destination and then where it lies."""
    assert completed("check", "--workload", "byte_lm_f") == ["byte_lm_f", "byte_lm_finetune"]
    assert completed("check", "--workload", "my_") == ["my_"]
    assert completed("export", "runs/mine", "--to", "o") == ["optuna"]
    assert completed("export", "runs/mine", "--to", "csv", "tri") == ["tri"]
    assert completed("export", "runs/mine", "--to", "csv", "trials.csv", "ru") == ["ru"]
    assert completed("export", "--to", "csv", "trials.csv", "--tri") == ["--trial"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_is_told_how(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed asks by the variable."""
    assert main(["completion", shell]) == 0
    assert COMPLETE in capsys.readouterr().out


def test_help_loads_nothing_heavy() -> None:
    """Lists what a new interpreter has loaded once it has printed the help."""
    code = "from tuning.ttq import main; main(['--help']); import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"torch", "ray", "optuna", "pyarrow", "pandas", "numpy", "rich"}
