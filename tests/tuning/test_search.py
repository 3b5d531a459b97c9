"""The command as a user types it: what it prints, what it leaves, its exit status."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

import tuning
from models.registry import find_workload
from tests.support.costs import two_rounds
from tests.support.searches import TINY, config_of, own_columns, prepared
from tuning.config.config import SearchConfig
from tuning.errors import BadInput
from tuning.search import main
from tuning.session import conduct
from tuning.session.search import run_search
from tuning.store.store import Store

ROOT = Path(__file__).parent.parent.parent
SERIAL = ["--workload", TINY, "--driver", "serial", "--trials", "9"]
SMALL = ["--space", "static_suffix"]


@dataclass(frozen=True)
class Ran:
    """A run of the command that finished, and what it printed."""

    folder: Path
    out: str
    err: str


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The command, once for all tests that look at what came of it."""
    folder, out, err = tmp_path_factory.mktemp("command") / "run", io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), two_rounds():
        assert main(["--run", str(folder), *SERIAL]) == 0
    return Ran(folder, out.getvalue(), err.getvalue())


@pytest.fixture
def run(ran: Ran) -> Path:
    """Its directory."""
    return ran.folder


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page takes as long as the trials on it; of ``ran`` it is drawn."""
    monkeypatch.setattr(conduct, "write_report", lambda store: None)


def test_leaves_what_the_contract_lists(run: Path) -> None:
    """The run directory holds its description, its trials, the report and nothing of workers or
    drivers.
    """
    assert {path.name for path in run.iterdir()} == {
        "run.json",
        "trials",
        "running",
        "trunk",
        "report.html",
        "front.png",
    }
    assert [path.name for path in (run / "running").iterdir()] == ["lease"]


def test_trials_are_read_by_others_as_they_are(run: Path) -> None:
    """Both pandas and DuckDB read RUN/trials without help, and agree with ``tuning.load``."""
    ours = tuning.load(run)
    theirs = pd.read_parquet(run / "trials").sort_values("number")
    assert theirs["val_loss"].tolist() == ours["val_loss"].tolist()
    query = f"SELECT count(*), min(val_loss) FROM '{run}/trials/*.parquet'"
    assert duckdb.sql(query).fetchall() == [(9, ours["val_loss"].min())]


def test_front_from_python(run: Path) -> None:
    """``tuning.front`` of the loaded table: no member is beaten by any finished trial."""
    trials = tuning.load(run)
    front = tuning.front(trials)
    assert len(front) > 0
    for member in front.itertuples():
        better = trials[
            (trials["train_seconds"] < member.train_seconds)
            & (trials["val_loss"] < member.val_loss)
        ]
        assert better.empty


def test_prints_front_verdict_and_where_everything_is(ran: Ran) -> None:
    """Table on standard output, progress on standard error."""
    assert "full_update" in ran.out
    assert "report.html" in ran.out
    assert "trial   8" in ran.err


@pytest.mark.usefixtures("no_page")
def test_resume_extends(run: Path, tmp_path: Path) -> None:
    """From Python too: nine trials, then eleven."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    assert main(["--resume", str(folder), "--trials", "10"]) == 0
    assert len(tuning.resume(folder, trials=11).trials) == 11


@pytest.mark.usefixtures("no_page")
def test_another_run_on_the_same_clock(run: Path, tmp_path: Path) -> None:
    """A file names the finished run's clock.

    What it calibrated is not calibrated again, and each trial is the same.
    """
    (tmp_path / "f.toml").write_text(f'clock = "{run}"\nno_forks = true\n')
    assert (
        main(["--run", str(tmp_path / "run"), *SERIAL, "--config", str(tmp_path / "f.toml")]) == 0
    )
    assert Store.open(tmp_path / "run").info.calibration == Store.open(run).info.calibration
    one, other = (own_columns(tuning.load(folder)) for folder in (run, tmp_path / "run"))
    assert one.drop(columns="forked_from_step").equals(other.drop(columns="forked_from_step"))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--workload", "nope", "--trials", "0"], ["'nope'", "trials >= 1"]),
        (["--workload", "tests.support.tiny:not_a_workload"], ["must return a Workload"]),
        (["--gpus-per-trial", "0.5", "--workload", TINY], ["gpus-per-trial needs a GPU"]),
        (["--concurrency", "1000", "--workload", TINY], ["concurrency <="]),
        (["--resume", "/nonexistent"], ["--resume must name"]),
    ],
)
def test_bad_input_creates_nothing(
    arguments: list[str], named: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2, every fault named, no traceback, no directory."""
    place = [] if "--resume" in arguments else ["--run", str(tmp_path / "run")]
    assert main([*place, *arguments]) == 2
    err = capsys.readouterr().err
    assert all(words in err for words in named)
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_resume_refuses_another_space_and_fewer_trials(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each difference is named; the run is untouched."""
    before = (run / "run.json").read_bytes()
    assert main(["--resume", str(run), "--space", "schedule", "--target", "1.5"]) == 2
    err = capsys.readouterr().err
    assert "'schedule'" in err
    assert "1.5" in err
    assert main(["--resume", str(run), "--trials", "3"]) == 2
    assert "9" in capsys.readouterr().err
    assert (run / "run.json").read_bytes() == before


@pytest.mark.ray
@pytest.mark.usefixtures("no_page")
def test_ctrl_c_on_a_real_search_and_resume(ran: Ran, tmp_path: Path) -> None:
    """A subprocess with real Ray workers gets SIGINT after its first trials.

    Status 130, the command, then all rows. The target that two at once found is the one that they
    find one after another.
    """
    run, clock = tmp_path / "run", tmp_path / "clock"
    prepared(config_of(clock))
    command = [sys.executable, "-m", "tuning.search", "--run", str(run), "--clock", str(clock)]
    said = []
    with subprocess.Popen(
        [*command, "--workload", TINY, "--trials", "8", *SMALL],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if line.startswith("trial   2"):
                process.send_signal(signal.SIGINT)
    assert process.returncode in (0, 130), said
    recorded = Store.open(run).numbers()
    if process.returncode == 130:
        assert f"--resume {run}" in "".join(said)
    assert not (run / "ray").exists()
    # What was killed goes on through Ray in tests/chaos; nothing of Ray's is needed to go on.
    assert main(["--resume", str(run), "--driver", "serial", "--concurrency", "1"]) == 0
    assert recorded == list(range(len(recorded)))
    assert Store.open(run).numbers() == list(range(8))
    assert Store.open(run).info.target == Store.open(ran.folder).info.target


def test_a_resume_names_everything_at_once(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bad value, a difference from the first command, and fewer trials than are recorded."""
    words = ["--resume", str(run), "--trials", "3", "--cpus-per-trial", "0", "--space", "schedule"]
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.count("\n- ") == 3
    assert all(said in err for said in ("--trials >= 9", "cpus-per-trial", "'schedule'"))


@pytest.mark.usefixtures("no_page")
def test_a_resume_from_python_names_the_nearest_option(run: Path) -> None:
    """A name that is none is a fault like others; switches are options too."""
    with pytest.raises(BadInput) as refused:
        tuning.resume(run, trails=3, seed=99, zzz=1)
    text = str(refused.value)
    assert "'trails': did you mean 'trials'?" in text
    assert "keep its seed" in text
    assert "'zzz': choose from" in text
    assert len(tuning.resume(run, retry_failed=True).trials) == 9


def test_a_search_names_a_clock_that_does_not_hold_with_the_rest(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another workload than the clock's, in a directory that is taken."""
    words = ["--clock", str(run), "--workload", "teacher_student", "--driver", "serial"]
    assert main([*words, "--run", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "must not exist yet" in err
    assert "whose clock holds for this search" in err


def test_a_search_builds_its_workload_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted by its factory, up to where trials would begin."""
    built: list[int] = []

    def counted() -> object:
        built.append(1)
        return find_workload(TINY)

    monkeypatch.setattr("tests.support.tiny.counted", counted, raising=False)
    config = SearchConfig(
        str(tmp_path / "run"), workload="tests.support.tiny:counted", driver="serial"
    )
    monkeypatch.setattr("tuning.session.search.conduct", lambda *_: None)
    run_search(config)
    assert len(built) == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"address": "10.0.0.1:6379"}, "address '10.0.0.1:6379' is of no use"),
        ({"concurrency": 2}, "concurrency 2 sets how many threads a trial has, and no more"),
        ({"concurrency": 1}, None),
    ],
)
def test_what_has_no_effect_beside_the_serial_driver_is_said(
    asked: dict[str, Any],
    said: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Up to where trials would begin."""
    config = SearchConfig(str(tmp_path / "run"), workload=TINY, driver="serial", **asked)
    monkeypatch.setattr("tuning.session.search.conduct", lambda *_: None)
    run_search(config)
    told = capsys.readouterr().err
    assert said in told if said else "the driver serial" not in told
