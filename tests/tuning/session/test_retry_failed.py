"""``--retry-failed`` as a user gives it: failed trials run again under their numbers."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tuning
from models.workload import Workload
from tests.support import tiny
from tests.support.searches import config_of, prepared
from tests.support.watch import Remembering
from tuning.config.arguments import NewSearch, parse
from tuning.config.resume import Resume
from tuning.errors import BadInput
from tuning.search import main
from tuning.session.aside import nothing_came_of
from tuning.session.search import run_search
from tuning.store.store import Store

NAME = "tests.tuning.session.test_retry_failed:fragile"
FRAGILE: dict[str, Any] = {"workload": NAME, "forks": False}
_last_step = 10**9


def fragile() -> Workload:
    """``tiny``, which raises from a step on that a test chooses."""
    return dataclasses.replace(tiny.tiny(target=1.0), batch_at=_batch_at)


def _batch_at(seed: int, step: int) -> tiny.Pair:
    if step >= _last_step:
        raise RuntimeError("the disk with the data is gone")
    return tiny.batch_at(seed, step)


@pytest.fixture(autouse=True)
def _mended() -> Iterator[None]:
    yield
    _break(10**9)


def _break(last_step: int) -> None:
    global _last_step
    _last_step = last_step


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A calibrated run of six trials that has not begun."""
    prepared(config_of(tmp_path / "run", trials=6, **FRAGILE))
    return tmp_path / "run"


def test_failed_trials_run_again(run: Path) -> None:
    """Those of more than 12 steps fail; mended and resumed plainly they stay so; with the flag they
    finish.

    The finished ones' files are the same bytes, and the failed ones count two executions.
    """
    _break(12)
    assert main(["--resume", str(run)]) == 0
    before = tuning.load(run).set_index("number")
    failed = before.index[before["state"] == "failed"].tolist()
    finished = before.index[before["state"] == "finished"].tolist()
    assert failed
    assert finished
    kept = {number: (run / "trials" / f"{number:08d}.parquet").read_bytes() for number in finished}
    _break(10**9)
    assert main(["--resume", str(run)]) == 0
    assert tuning.load(run)["state"].tolist() == before["state"].tolist()
    assert main(["--resume", str(run), "--retry-failed"]) == 0
    after = tuning.load(run).set_index("number")
    assert after.index.tolist() == list(range(6))
    assert set(after["state"]) == {"finished"}
    assert after["executions"].tolist() == [2 if number in failed else 1 for number in range(6)]
    assert kept == {
        number: (run / "trials" / f"{number:08d}.parquet").read_bytes() for number in finished
    }
    knobs = [
        "policy",
        "horizon",
        "seed",
        *(name for name in map(str, before) if name.startswith("knob_")),
    ]
    assert after[knobs].equals(before[knobs])
    assert len(list((run / "set_aside").iterdir())) == len(failed)


@pytest.fixture(scope="module")
def hopeless(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A search all of whose trials failed, and what was said of it; to be copied, not changed."""
    run = tmp_path_factory.mktemp("hopeless") / "run"
    prepared(config_of(run, trials=30, **FRAGILE))
    _break(1)
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert main(["--resume", str(run)]) == 1
    _break(10**9)
    return run, " ".join(said.getvalue().split())


def test_a_run_whose_trials_all_failed_makes_way(
    hopeless: tuple[Path, str], run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next search may have its name; its records are kept. One that finished any may not."""
    assert not nothing_came_of(run)  # which has not begun
    run = Path(shutil.copytree(hopeless[0], tmp_path / "failed"))
    assert nothing_came_of(run)
    config = config_of(run, trials=1, clock=str(hopeless[0]), **FRAGILE)
    run_search(config, watcher=Remembering())
    assert f"it is {run}.failed now" in " ".join(capsys.readouterr().err.split())
    assert set(tuning.load(f"{run}.failed")["state"]) == {"failed"}
    assert tuning.load(run)["state"].tolist() == ["finished"]
    assert not nothing_came_of(run)
    with pytest.raises(BadInput, match="must not exist yet"):
        run_search(config, watcher=Remembering())


def test_a_hopeless_search_stops_says_why_and_can_be_mended(
    hopeless: tuple[Path, str], tmp_path: Path
) -> None:
    """Every trial fails: exit status 1 after eight of them, with reason and remedy in one message,
    which works.
    """
    failed, said = hopeless
    assert "all of the first 8 trials failed, the last with: RuntimeError" in said
    assert f"--resume {failed} --retry-failed" in said
    assert len(tuning.load(failed)) == 8
    run = Path(shutil.copytree(failed, tmp_path / "run"))
    assert main(["--resume", str(run), "--retry-failed", "--trials", "9"]) == 0
    assert tuning.load(run)["state"].tolist() == ["finished"] * 9


def test_runs_for_the_target_are_retried_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """full_update fails on every seed, so that there is no target; retried, there is one."""
    run = tmp_path / "run"
    prepared(
        config_of(
            run, workload="tests.tuning.session.test_retry_failed:fragile_without_target", trials=1
        )
    )
    _break(5)
    assert main(["--resume", str(run)]) == 1
    assert "--retry-failed" in capsys.readouterr().err
    _break(10**9)
    assert main(["--resume", str(run), "--retry-failed"]) == 0
    assert {record.executions for record in Store.open(run).references().values()} == {2}
    assert tuning.load(run)["state"].tolist() == ["finished"]


def fragile_without_target() -> Workload:
    """``fragile``, whose target is found by three runs."""
    return dataclasses.replace(fragile(), target="auto")


def test_the_flag_belongs_to_resume(run: Path) -> None:
    """It is carried by a request to resume, and refused for a new search."""
    request = parse(["--resume", str(run), "--retry-failed"])
    assert isinstance(request, Resume)
    assert request.retry_failed
    alone = parse(["--retry-failed"])
    assert isinstance(alone, NewSearch)
    assert "--retry-failed must come with --resume" in alone.faults[0]
