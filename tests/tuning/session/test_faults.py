"""A search over a file system that fails, and over workers that die at the worst moment."""

from __future__ import annotations

import errno
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.searches import TINY, config_of, own_columns, prepared, search
from tests.support.watch import Remembering
from tuning.drivers import serial as driver_serial
from tuning.errors import BadInput, SearchFailed
from tuning.search import main
from tuning.store.files import Files
from tuning.store.store import Store
from tuning.training import worker
from tuning.trial.task import Ending
from tuning.trial.trial import TrialRecord

TRIALS, TARGET = 6, 1.0
WRITES = 45
"""A search of so many trials writes more often than this; one that finds its target, too, before
it has it.
"""
ENTRY = "tests.tuning.session.test_faults:records_and_dies"


@pytest.fixture(scope="module")
def straight_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search on a file system without faults; to be copied, not changed."""
    run = tmp_path_factory.mktemp("straight") / "run"
    return search(config_of(run, trials=TRIALS, target=TARGET), Remembering()).run


@pytest.fixture(scope="module")
def straight(straight_run: Path) -> pd.DataFrame:
    """Its table."""
    return Store.open(straight_run).frame()


@contextmanager
def disk_full_after(writes: int) -> Iterator[None]:
    """Within, the disk takes so many writes more."""
    left, write = writes, Files.write

    def limited(files: Files, descriptor: int, data: bytes) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(files, descriptor, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Files, "write", limited)
        yield


def survives_a_full_disk(writes: int, **options: Any) -> pd.DataFrame:
    """A search on a disk that takes so many writes says so in one message, and with room again it
    has lost nothing; its table at the end.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = config_of(Path(folder) / "run", **options)
        prepared(config)
        with (
            disk_full_after(writes),
            pytest.raises((SearchFailed, BadInput), match="No space left"),
        ):
            search(config, Remembering())
        kept = Store.open(Path(folder) / "run").records()
        frame = search(config, Remembering()).trials
        assert [Store.open(Path(folder) / "run").record(record.number) for record in kept] == kept
    assert "failed" not in set(frame["state"])
    return frame


@settings(max_examples=4)
@given(writes=st.integers(0, WRITES))
def test_a_full_disk_stops_the_search_and_costs_nothing(
    straight: pd.DataFrame, writes: int
) -> None:
    """Property: whatever write the disk refuses first, one message says so.

    With room again the table is the same.
    """
    frame = survives_a_full_disk(writes, trials=TRIALS, target=TARGET)
    pd.testing.assert_frame_equal(own_columns(frame), own_columns(straight))


def test_a_full_disk_costs_nothing_of_what_finds_the_target(tmp_path: Path) -> None:
    """It is full within the second of the three runs; the target is what it is with room."""
    frame = survives_a_full_disk(WRITES, trials=1)
    straight = search(config_of(tmp_path / "run", trials=1), Remembering()).trials
    pd.testing.assert_frame_equal(own_columns(frame), own_columns(straight))


class Removes(Remembering):
    """Removes the run directory when a trial has ended."""

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.run = run

    def ended(self, record: TrialRecord) -> None:
        shutil.rmtree(self.run)


def test_a_directory_that_is_removed_stops_the_search(tmp_path: Path) -> None:
    """The message says what is gone; nothing of it is made again."""
    with pytest.raises(SearchFailed, match=rf"{tmp_path / 'run'}.*gone"):
        search(config_of(tmp_path / "run", target=TARGET), Removes(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_bad_files_are_named_on_the_terminal_and_survived(
    straight_run: Path,
    straight: pd.DataFrame,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A truncated record and a foreign file are both named when the search goes on.

    The torn trial runs again.
    """
    run = Path(shutil.copytree(straight_run, tmp_path / "run"))
    torn = run / "trials" / "00000003.parquet"
    torn.write_bytes(torn.read_bytes()[:-100])
    (run / "trials" / "notes.txt").write_text("mine")
    assert main(["--resume", str(run)]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "trials/00000003.parquet: torn" in said
    assert "trials/notes.txt: foreign" in said
    assert said.count(f"moved to {run / 'set_aside'}") == 2
    assert sorted(path.name for path in (run / "set_aside").iterdir()) == [
        "00000003.parquet",
        "notes.txt",
    ]
    # A finished run keeps few snapshots, so a trial may fork from an earlier one, or from none.
    where = ["forked_from_step"]
    frame = Store.open(run).frame()
    pd.testing.assert_frame_equal(
        own_columns(frame).drop(columns=where), own_columns(straight).drop(columns=where)
    )


def records_and_dies(run: str, task: str, epoch: int) -> Ending:
    """A worker that records its trial and dies before it can say so."""
    worker.execute(run, task, epoch)
    raise RuntimeError("killed")


def test_a_worker_that_dies_after_its_record_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every worker dies so: each trial was executed once all the same, and none is told as lost."""
    dying = functools.partial(driver_serial.SerialDriver, entry=ENTRY)
    monkeypatch.setattr(driver_serial, "SerialDriver", dying)
    watcher = Remembering()
    frame = search(config_of(tmp_path / "run", trials=3, target=TARGET), watcher).trials
    assert frame["executions"].tolist() == [1, 1, 1]
    assert watcher.losses == []


def test_a_second_search_is_refused_while_the_first_lives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second search is asked for while a trial of the first ends.

    It exits with status 2 and says who holds the run; the first goes on.
    """
    run = tmp_path / "run"
    statuses = []

    class Second(Remembering):
        def ended(self, record: TrialRecord) -> None:
            statuses.append(main(["--resume", str(run)]))

    search(config_of(run, trials=2, workload=TINY, target=TARGET), Second())
    assert set(statuses) == {2}
    assert f"in use by the search of pid {os.getpid()}" in " ".join(capsys.readouterr().err.split())
    assert len(Store.open(run).numbers()) == 2


def test_what_killed_writers_left_is_tidied_away(tmp_path: Path) -> None:
    """Temporary files in every folder that anything writes to: gone when the search is over."""
    run = tmp_path / "run"
    search(config_of(run, trials=2, target=TARGET), Remembering())
    folders = [
        run,
        run / "running",
        run / "running" / "lease",
        run / "trunk",
        *(run / "trunk").glob("seed-?"),
    ]
    for folder in folders:
        (folder / ".x.0123456789ab.tmp").write_bytes(b"half")
    (run / "running" / "7.pt").write_bytes(b"nobody's")
    search(config_of(run, trials=2, target=TARGET), Remembering())
    assert list(run.rglob("*.tmp")) == []
    assert [path.name for path in (run / "running").iterdir()] == ["lease"]


@pytest.mark.parametrize(
    "call",
    [
        "tuning.run_search(tuning.SearchConfig('run', workload=OWN, driver='serial'))",
        "tuning.resume('run')",
        "sys.exit(tuning.search.main(['--run', 'run', '--workload', OWN]))",
    ],
)
def test_a_script_that_names_itself_needs_a_main_guard(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its file is imported to find the factory, and searches again: one message, nothing made."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "script.py"
    file.write_text(f"import sys, tuning.search\nOWN = {str(file)!r} + ':make'\n{call}\n")
    assert main(["--run", "run", "--workload", f"{file}:make"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n- ") == 1
    assert 'put what it runs under if __name__ == "__main__"' in err
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".py"] in (
        [],
        ["__pycache__"],
    )
