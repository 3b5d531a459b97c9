"""``--retry-failed`` as a user gives it: failed trials run again under their numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

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
    prepared(config_of(tmp_path / "run", workload=NAME, trials=6, forks=False))
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


def test_a_run_whose_trials_all_failed_makes_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next search may have its name; its records are kept. One that finished any may not."""
    run = tmp_path / "run"
    config = config_of(run, workload=NAME, trials=9, target=1.0, forks=False)
    prepared(config)
    assert not nothing_came_of(run)
    _break(1)
    assert main(["--resume", str(run)]) == 1
    assert nothing_came_of(run)
    _break(10**9)
    run_search(config, watcher=Remembering())
    assert f"it is {run}.failed now" in " ".join(capsys.readouterr().err.split())
    assert set(tuning.load(f"{run}.failed")["state"]) == {"failed"}
    assert tuning.load(run)["state"].tolist() == ["finished"] * 9
    assert not nothing_came_of(run)
    with pytest.raises(BadInput, match="must not exist yet"):
        run_search(config, watcher=Remembering())


def test_a_hopeless_search_stops_says_why_and_can_be_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every trial fails: exit status 1 after eight of them, with reason and remedy in one message,
    which works.
    """
    run = tmp_path / "run"
    prepared(config_of(run, workload=NAME, trials=30, forks=False))
    _break(1)
    assert main(["--resume", str(run)]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "all of the first 8 trials failed, the last with: RuntimeError" in said
    assert f"--resume {run} --retry-failed" in said
    assert len(tuning.load(run)) == 8
    _break(10**9)
    assert main(["--resume", str(run), "--retry-failed", "--trials", "9"]) == 0
    assert tuning.load(run)["state"].tolist() == ["finished"] * 9


def test_runs_for_the_target_are_retried_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """full_update fails on every seed, so that there is no target; retried, there is one."""
    run = tmp_path / "run"
    prepared(
        config_of(
            run, workload="tests.tuning.session.test_retry_failed:fragile_without_target", trials=2
        )
    )
    _break(5)
    assert main(["--resume", str(run)]) == 1
    assert "--retry-failed" in capsys.readouterr().err
    _break(10**9)
    assert main(["--resume", str(run), "--retry-failed"]) == 0
    assert {record.executions for record in Store.open(run).references().values()} == {2}
    assert tuning.load(run)["state"].tolist() == ["finished"] * 2


def fragile_without_target() -> Workload:
    """``fragile``, whose target is found by five runs."""
    return dataclasses.replace(fragile(), target="auto")


def test_the_flag_belongs_to_resume(run: Path) -> None:
    """It is carried by a request to resume, and refused for a new search."""
    request = parse(["--resume", str(run), "--retry-failed"])
    assert isinstance(request, Resume)
    assert request.retry_failed
    alone = parse(["--retry-failed"])
    assert isinstance(alone, NewSearch)
    assert "--retry-failed must come with --resume" in alone.faults[0]
