"""Compaction among appenders and readers.

Many small files become few, and nobody ever sees a trial twice or misses one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from tests.support.faulty_files import CountingFiles
from tests.support.stores import fresh_store, merging_by_three, parquet_files, record
from tuning.store.shards import FAN_IN, Shard
from tuning.store.store import AlreadyRecorded, Store


@pytest.fixture
def by_three() -> Iterator[None]:
    """Three files make one."""
    with merging_by_three():
        yield


def _compact_all(store: Store) -> None:
    while store.compact():
        pass


def test_sixty_four_trials_make_a_file() -> None:
    """There is one file for each aligned 64 trials, and the rest stay as they are.

    Rows, columns and other readers' view are unchanged.
    """
    with fresh_store() as store:
        for number in range(FAN_IN + 2):
            store.append(record(number))
        before = (
            store.records(),
            pd.read_parquet(store.path / "trials").sort_values("number", ignore_index=True),
        )
        assert store.compact()
        assert not store.compact()
        assert parquet_files(store.path) == [
            Shard(0, FAN_IN).name,
            "00000064.parquet",
            "00000065.parquet",
        ]
        assert store.records() == before[0]
        after = pd.read_parquet(store.path / "trials").sort_values("number", ignore_index=True)
        pd.testing.assert_frame_equal(after, before[1])
        count = duckdb.sql(
            f"SELECT count(DISTINCT number) FROM '{store.path}/trials/*.parquet'"
        ).fetchall()
        assert count == [(FAN_IN + 2,)]


@pytest.mark.usefixtures("by_three")
def test_a_missing_trial_waits_and_holds_up_only_its_own_file() -> None:
    """Trial 1 is still in flight: its group stays small, the next one is merged; then it comes."""
    with fresh_store() as store:
        for number in (0, 2, 3, 4, 5):
            store.append(record(number))
        _compact_all(store)
        assert parquet_files(store.path) == [
            "00000000.parquet",
            "00000002.parquet",
            "00000003-00000005.parquet",
        ]
        store.append(record(1))
        for number in (6, 7, 8):
            store.append(record(number))
        _compact_all(store)
        assert parquet_files(store.path) == [Shard(0, 9).name]
        assert store.records() == [record(number) for number in range(9)]
        assert store.record(7) == record(7)


@pytest.mark.usefixtures("by_three")
def test_a_number_stays_recorded_after_it_was_merged() -> None:
    """Its own file is gone, its name free: appending and beginning it are refused all the same."""
    with fresh_store() as store:
        for number in range(3):
            store.append(record(number))
        _compact_all(store)
        with pytest.raises(AlreadyRecorded, match="00000000-00000002"):
            store.append(record(1, val_loss=0.0))
        assert store.records() == [record(number) for number in range(3)]


class _Meanwhile(CountingFiles):
    """Something happens just before the first call of one kind."""

    def __init__(self, call: str, act: Callable[[], object]) -> None:
        self._call = call
        self._act: Callable[[], object] | None = act

    def _enter(self, name: str) -> None:
        if name == self._call and self._act is not None:
            act, self._act = self._act, None
            act()
        super()._enter(name)


@pytest.mark.usefixtures("by_three")
def test_an_append_that_loses_to_compaction_leaves_nothing() -> None:
    """Between a writer's look and its commit another records the number and compaction takes it
    away.
    """
    with fresh_store() as store:
        store.append(record(0))
        store.append(record(2))

        def overtake() -> None:
            store.append(record(1))
            _compact_all(store)

        late = Store.open(store.path, files=_Meanwhile("link", overtake))
        with pytest.raises(AlreadyRecorded):
            late.append(record(1, val_loss=0.0))
        assert parquet_files(store.path) == ["00000000-00000002.parquet"]
        assert store.record(1) == record(1)


@pytest.mark.usefixtures("by_three")
def test_two_that_compact_at_once_do_no_harm() -> None:
    """A fenced session that still compacts: both finish, all rows are there once."""
    with fresh_store() as store:
        for number in range(9):
            store.append(record(number))
        late = Store.open(store.path, files=_Meanwhile("link", lambda: _compact_all(store)))
        _compact_all(late)
        assert parquet_files(store.path) == [Shard(0, 9).name]
        assert late.records() == store.records() == [record(number) for number in range(9)]


@pytest.mark.usefixtures("by_three")
def test_a_reader_in_the_middle_of_compaction_reads_everything_once() -> None:
    """Reads through each of our ways at every system call of compaction, with a store that looked
    before.
    """
    with fresh_store() as store:
        for number in range(9):
            store.append(record(number))
        reader, fresh = Store.open(store.path), []
        reader.numbers()

        class Watched(CountingFiles):
            def _enter(self, name: str) -> None:
                assert reader.numbers() == Store.open(store.path).numbers() == list(range(9))
                assert reader.frame(["number"]).number.tolist() == list(range(9))
                fresh.append(name)

        _compact_all(Store.open(store.path, files=Watched()))
        assert len(fresh) > 20


@pytest.mark.usefixtures("by_three")
def test_a_reader_whose_files_go_away_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compaction runs between the reader's listing and its reading.

    It reads the merged file instead.
    """
    with fresh_store() as store:
        for number in range(3):
            store.append(record(number))
        reader = Store.open(store.path)
        reader.numbers()
        read = reader._format.read

        def late(path: Path, columns: object = None) -> object:
            _compact_all(store)
            return read(path, columns)  # type: ignore[arg-type]

        monkeypatch.setattr(reader._format, "read", late)
        assert reader.records() == [record(number) for number in range(3)]


@pytest.mark.usefixtures("by_three")
def test_a_torn_part_is_not_merged() -> None:
    """A part whose pages are damaged is found while merging.

    No row of it passes, the others stay.
    """
    with fresh_store() as store:
        for number in range(3):
            store.append(record(number))
        path = store.path / "trials" / "00000001.parquet"
        content = bytearray(path.read_bytes())
        content[content.index(b"dynamic_suffix")] ^= 0xFF
        path.write_bytes(content)
        _compact_all(store)
        assert [problem.path for problem in store.scan()] == [path]
        assert store.numbers() == [0, 2]


APPEND = """
import sys
from pathlib import Path
from tests.support.stores import record
from tuning.store.store import AlreadyRecorded, Store
store = Store.open(Path(sys.argv[1]))
won = 0
for number in range(70):
    try:
        store.append(record(number, seed=int(sys.argv[2])))
        won += 1
    except AlreadyRecorded:
        pass
print(won)
"""


def test_processes_that_append_the_same_trials_while_another_compacts() -> None:
    """Two real processes append trials 0 to 69 each while this one compacts.

    Every trial is there once and whole, from either of them.
    """
    with fresh_store() as store:
        root = Path(__file__).parents[3]
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", APPEND, str(store.path), str(seed)],
                stdout=subprocess.PIPE,
                text=True,
                cwd=root,
            )
            for seed in range(2)
        ]
        while any(process.poll() is None for process in processes):
            store.compact()
            seen = store.numbers()
            assert len(seen) == len(set(seen))
        assert sum(int(process.communicate()[0]) for process in processes) == 70
        _compact_all(store)
        records = store.records()
        assert records == [record(n, seed=r.seed) for n, r in enumerate(records)]
        assert len(records) == 70
        assert len(parquet_files(store.path)) == 1 + 70 - FAN_IN
