"""Failed trials that run again.

It is tested what leaves the table, what stays, and a death at any point between.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.faulty_files import CountingFiles, Crash, CrashingFiles
from tests.support.stores import fresh_store, merging_by_three, parquet_files, record
from tuning.store.retry import spec_of
from tuning.store.shards import Shard, without
from tuning.store.store import Store
from tuning.trial.task import Task
from tuning.trial.trial import TrialRecord

FAILED = (1, 4, 10)
"""One in a file of nine, one more in it, one, a replicate, in a file of its own.

Number 11 is a confirmation's.
"""
TRIALS = 12


@pytest.fixture(autouse=True, scope="module")
def _small_files() -> Iterator[None]:
    with merging_by_three():
        yield


def _trial(number: int) -> TrialRecord:
    if number in FAILED:
        origin = "replicate" if number == FAILED[-1] else "sampled"
        return record(number, state="failed", origin=origin, error="no luck", executions=2)
    if number == TRIALS - 1:
        return record(number, state="failed", origin="confirmation", seed=1000, error="no luck")
    return record(number)


@functools.cache
def _files() -> dict[Path, bytes]:
    """Twelve trials, nine of them in one file, and two runs for the target, one of which failed:
    every file of such a store, by its place in it.
    """
    with fresh_store() as store:
        for number in range(TRIALS):
            store.append(_trial(number))
        while store.compact():
            pass
        store.append_reference(Task.reference(0), record(0))
        store.append_reference(
            Task.reference(1), record(1, state="failed", error="no luck", executions=3)
        )
        assert Shard(0, 9).name in parquet_files(store.path)
        files = [path for path in store.path.rglob("*") if path.is_file()]
        return {path.relative_to(store.path): path.read_bytes() for path in files}


def _fill(store: Store) -> None:
    """Put those files into a new store."""
    for place, data in _files().items():
        (store.path / place).parent.mkdir(parents=True, exist_ok=True)
        (store.path / place).write_bytes(data)
    assert Shard(0, 9).name in parquet_files(store.path)


def _finished() -> list[TrialRecord]:
    return [_trial(number) for number in range(TRIALS) if number not in FAILED]


def test_failed_trials_become_tasks_in_flight() -> None:
    """They have their specs and go on counting executions; all other rows are as they were."""
    with fresh_store() as store:
        _fill(store)
        assert store.retry_failed() == [*map(Task.trial, FAILED), Task.reference(1)]
        assert store.records() == _finished()
        assert [(f.task, f.executions) for f in store.in_flight()] == [
            (Task.trial(1), 2),
            (Task.trial(4), 2),
            (Task.trial(10), 2),
            (Task.reference(1), 3),
        ]
        assert [f.spec for f in store.in_flight()[:3]] == [
            spec_of(_trial(number)) for number in FAILED
        ]
        assert list(store.references()) == [Task.reference(0)]
        assert store.scan() == store.tidy() == []
        assert sorted(pd.read_parquet(store.path / "trials").number) == [
            r.number for r in _finished()
        ]


def test_their_records_are_kept_aside() -> None:
    """Each is readable in a file of its own, named for the task and how often it was started."""
    with fresh_store() as store:
        _fill(store)
        store.retry_failed()
        aside = {path.name: pd.read_parquet(path) for path in (store.path / "set_aside").iterdir()}
        assert sorted(aside) == [
            "failed-00000001-2.parquet", "failed-00000004-2.parquet", "failed-00000010-2.parquet",
            "failed-seed-1-3.parquet",
        ]  # fmt: skip
        assert all(frame["error"].tolist() == ["no luck"] for frame in aside.values())


def test_what_ran_again_is_a_trial_like_any_other() -> None:
    """The new records are appended, merged with the rest into one file, and a second failure can be
    retried too.
    """
    with fresh_store() as store:
        _fill(store)
        store.retry_failed()
        for number in FAILED:
            store.append(dataclasses.replace(_trial(number), executions=3))
            store.end(Task.trial(number))
        while store.compact():
            pass
        assert Shard(0, 9).name in parquet_files(store.path)
        assert store.retry_failed() == list(map(Task.trial, FAILED))
        assert (store.path / "set_aside" / "failed-00000001-3.parquet").exists()


@pytest.fixture(scope="module")
def calls(_small_files: None) -> int:
    """How many system calls the retry takes."""
    with fresh_store() as store:
        _fill(store)
        files = CountingFiles()
        Store.open(store.path, files=files).retry_failed()
    return files.calls


@settings(max_examples=20)
@given(data=st.data())
def test_a_death_leaves_each_trial_failed_or_in_flight(calls: int, data: st.DataObject) -> None:
    """Where the process dies at any call, also by loss of power, no finished row is touched.

    Retried again, all failed trials run.
    """
    files = CrashingFiles(
        data.draw(st.integers(0, calls - 1)),
        torn=data.draw(st.floats(0, 1)),
        power_failure=data.draw(st.booleans()),
        undo=data.draw(st.integers(0, 12)),
    )
    with fresh_store() as store:
        _fill(store)
        with pytest.raises(Crash):
            Store.open(store.path, files=files).retry_failed()
        after = Store.open(store.path, files=CountingFiles())
        assert after.tidy() == []
        failed = {Task.trial(r.number) for r in after.records() if r.number in FAILED}
        flying = {found.task for found in after.in_flight()} - {Task.reference(1)}
        assert failed.isdisjoint(flying)
        assert failed | flying == set(map(Task.trial, FAILED))
        assert [r for r in after.records() if r.number not in FAILED] == _finished()
        assert (Task.reference(1) in after.references()) != (
            Task.reference(1) in {found.task for found in after.in_flight()}
        )
        after.retry_failed()
        assert after.records() == _finished()
        assert {found.task for found in after.in_flight()} == {
            *map(Task.trial, FAILED),
            Task.reference(1),
        }
        assert {found.executions for found in after.in_flight()} == {2, 3}


@given(
    shard=st.builds(
        lambda low, span: Shard(low * span, span), st.integers(0, 5), st.sampled_from([1, 3, 9])
    ),
    gone=st.sets(st.integers(0, 60)),
)
def test_without(shard: Shard, gone: set[int]) -> None:
    """What is left holds every other number once, in shards that lie in the first and can be
    named.
    """
    parts = without(shard, gone)
    assert [number for part in parts for number in part.numbers] == [
        n for n in shard.numbers if n not in gone
    ]
    assert all(part == shard or shard in part.holders() for part in parts)
