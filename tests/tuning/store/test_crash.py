"""The store when its process dies: at most the record in flight is lost, nothing else, and nothing
is there twice.

Every test lets the process die at a system call of Hypothesis's choice, by a kill or by loss of
power, and then reads with a store opened anew, before and after it is tidied.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.faulty_files import CountingFiles, Crash, CrashingFiles
from tests.support.folders import fresh_folder
from tests.support.stores import INFO, fresh_store, merging_by_three, parquet_files, record, spec
from tuning.errors import BadInput
from tuning.store.info import Target
from tuning.store.shards import Shard
from tuning.store.store import Store
from tuning.trial.task import Task


def _crashing(data: st.DataObject, calls: int, first: int = 0) -> CrashingFiles:
    """Dies at one of ``calls`` calls from ``first`` on, in any way."""
    return CrashingFiles(
        first + data.draw(st.integers(0, calls - 1)),
        torn=data.draw(st.floats(0, 1)),
        power_failure=data.draw(st.booleans()),
        undo=data.draw(st.integers(0, 12)),
    )


@pytest.fixture(autouse=True, scope="module")
def _small_files() -> Iterator[None]:
    with merging_by_three():
        yield


def _calls(prepare: Callable[[Store], None], act: Callable[[Store], None]) -> int:
    with fresh_store() as store:
        prepare(store)
        files = CountingFiles()
        act(Store.open(store.path, files=files))
        return files.calls


def _crash(path: Path, act: Callable[[Store], None], files: CrashingFiles) -> Store:
    """The run as a new process finds it after ``act`` died."""
    with pytest.raises(Crash):
        act(Store.open(path, files=files))
    return Store.open(path, files=CountingFiles())


def _append_two(store: Store) -> None:
    store.append(record(0))
    store.append(record(1))


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_append(data: st.DataObject) -> None:
    """The process dies while the second of two records is written.

    The first is there, the second whole or not at all.
    """
    with fresh_store() as store:
        once = _calls(lambda store: None, lambda store: store.append(record(0)))
        files = _crashing(data, once, first=once)
        after = _crash(store.path, _append_two, files)
        assert after.records() in ([record(0)], [record(0), record(1)])
        assert after.scan() == after.tidy() == []
        assert [path for path in (store.path / "running").iterdir() if path.is_file()] == []
        if after.numbers() == [0]:
            after.append(record(1))
        assert after.records() == [record(0), record(1)]


def _compact_all(store: Store) -> None:
    while store.compact():
        pass


@pytest.fixture(scope="module")
def nine_trials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of nine trials, the first six merged by three already, to be copied."""
    path = tmp_path_factory.mktemp("nine") / "run"
    store = Store.create(path, INFO, files=CountingFiles())
    for number in range(9):
        _compact_all(store)
        store.append(record(number))
    return path


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_compaction(nine_trials: Path, compaction_calls: int, data: st.DataObject) -> None:
    """The process dies anywhere in merging three files to one, and in merging that with two more.

    All rows are there once, and merging goes on.
    """
    expected = [record(number) for number in range(9)]
    with fresh_folder() as folder:
        path = shutil.copytree(nine_trials, folder / "run")
        files = _crashing(data, compaction_calls)
        after = _crash(path, _compact_all, files)
        assert after.records() == expected
        assert after.numbers() == list(range(9))
        assert after.frame(["number"]).number.tolist() == list(range(9))
        after.tidy()
        assert sorted(pd.read_parquet(path / "trials").number) == list(range(9))
        _compact_all(after)
        assert parquet_files(path) == [Shard(0, 9).name]
        assert after.records() == expected


@pytest.fixture(scope="module")
def compaction_calls(nine_trials: Path) -> int:
    """How many system calls merging all of it takes."""
    with fresh_folder() as folder:
        files = CountingFiles()
        _compact_all(Store.open(shutil.copytree(nine_trials, folder / "run"), files=files))
    return files.calls


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_create(data: st.DataObject) -> None:
    """Dies while a run is created: it is there whole, or not there and can be created anew."""
    with fresh_folder() as folder:
        counting = CountingFiles()
        Store.create(folder / "whole" / "run", INFO, files=counting)
        files = _crashing(data, counting.calls)
        path = folder / "deep" / "run"
        with pytest.raises(Crash):
            Store.create(path, INFO, files=files)
        if path.exists():
            with pytest.raises(BadInput, match="--resume"):
                Store.create(path, INFO)
        else:
            Store.create(path, INFO, files=CountingFiles())
        assert Store.open(path).info == INFO


def _set_target(store: Store) -> None:
    store.update_info(target=Target(1.0))


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_the_description(data: st.DataObject) -> None:
    """Dies while run.json is changed: it is the old one or the new one."""
    calls = _calls(lambda store: None, _set_target)
    with fresh_store() as store:
        files = _crashing(data, calls)
        after = _crash(store.path, _set_target, files)
        assert after.info.target in (None, Target(1.0))


def _begin_and_start(store: Store) -> None:
    store.begin(spec(0))
    store.begin(spec(1))
    store.started(Task.trial(0))
    store.started(Task.trial(0))


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_tasks_in_flight(data: st.DataObject) -> None:
    """The process dies while two tasks are begun and one is started twice.

    Whatever was acknowledged is still known.
    """
    calls = _calls(lambda store: None, _begin_and_start)
    with fresh_store() as store:
        files = _crashing(data, calls)
        after = _crash(store.path, _begin_and_start, files)
        after.tidy()
        found = after.in_flight()
        assert [f.spec for f in found] == [spec(0), spec(1)][: len(found)]
        assert [f.executions for f in found] in ([], [0], [0, 0], [1, 0], [2, 0])
        assert after.scan() == []


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_ending_a_task(data: st.DataObject) -> None:
    """The process dies between a record and the end of its task.

    The record wins, and the task and its checkpoint are tidied away.
    """

    def finish(store: Store) -> None:
        store.append(record(0))
        store.end(Task.trial(0))

    calls = _calls(lambda store: store.begin(spec(0)), finish)
    with fresh_store() as store:
        store.begin(spec(0))
        store.checkpoint_path(Task.trial(0)).write_bytes(b"weights")
        files = _crashing(data, calls)
        after = _crash(store.path, finish, files)
        after.tidy()
        if after.numbers() == [0]:
            assert after.in_flight() == []
            assert not after.checkpoint_path(Task.trial(0)).exists()
        else:
            (found,) = after.in_flight()
            assert found.spec == spec(0)
            assert found.checkpoint.read_bytes() == b"weights"


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_tidying(nine_trials: Path, compaction_calls: int, data: st.DataObject) -> None:
    """The process dies in compaction, and again while that is tidied, with a torn file besides.

    The next one finishes.
    """
    with fresh_folder() as folder:
        path = shutil.copytree(nine_trials, folder / "run")
        (path / "trials" / "00000009.parquet").write_bytes(b"PAR1 torn")
        files = _crashing(data, compaction_calls)
        _crash(path, _compact_all, files)
        try:
            again = _crashing(data, 13)
            Store.open(path, files=again).tidy()
        except Crash:
            pass
        after = Store.open(path, files=CountingFiles())
        after.tidy()
        assert sorted(pd.read_parquet(path / "trials").number) == list(range(9))
        assert after.numbers() == list(range(9))
        assert [p.read_bytes() for p in (path / "set_aside").iterdir()] == [b"PAR1 torn"]
