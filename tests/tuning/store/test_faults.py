"""The store when the file system misbehaves: each fault is named, and what was good stays good."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.faulty_files import CountingFiles, FullDisk, NoHardLinks
from tests.support.stores import INFO, fresh_store, merging_by_three, parquet_files, record, spec
from tuning.errors import BadInput, SearchFailed
from tuning.store.info import SCHEMA_VERSION
from tuning.store.lease import Lease
from tuning.store.parquet import RecordFormat
from tuning.store.store import Problem, Store
from tuning.trial.task import Task

GOOD = [record(0), record(2)]


def _damaged(store: Store, name: str, content: bytes) -> Path:
    """A file among the records of trials 0 and 2."""
    for each in GOOD:
        store.append(each)
    path = store.path / "trials" / name
    path.write_bytes(content)
    return path


def _bytes_of(number: int, info_columns: dict[str, str] | None = None) -> bytes:
    form = RecordFormat(info_columns or INFO.knob_columns, metrics=INFO.metrics)  # type: ignore[arg-type]
    knobs = record(number).recipe.knobs if info_columns is None else {}
    return form.to_bytes(form.to_table([record(number, knobs=knobs)]))


def _rewritten(
    number: int, change: Callable[[pa.Table], pa.Table], version: int = SCHEMA_VERSION
) -> bytes:
    """A record's file with another table in it."""
    table = change(pq.read_table(pa.BufferReader(_bytes_of(number))))
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, store_schema=False) as writer:
        writer.add_key_value_metadata({"schema_version": str(version)})
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


BAD_FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("00000001.parquet", b"", "torn"),
    "truncated": ("00000001.parquet", _bytes_of(1)[:-50], "torn"),
    "garbage": ("00000001.parquet", os.urandom(500), "torn"),
    "garbage with the right ends": ("00000001.parquet", b"PAR1" + b"\7" * 500 + b"PAR1", "torn"),
    "another trial's": ("00000001.parquet", _bytes_of(7), "holds the trials 7 to 7"),
    "another run's": (
        "00000001.parquet",
        _bytes_of(1, {"other": "int"}),
        "unknown or differing columns",
    ),
    "another kind of column": (
        "00000001.parquet",
        _rewritten(1, lambda t: t.set_column(5, "seed", pa.array(["x"]))),
        "differing columns ['seed']",
    ),
    "without a required column": (
        "00000001.parquet",
        _rewritten(1, lambda t: t.drop_columns(["device"])),
        "missing columns ['device']",
    ),
    "of a newer schema": (
        "00000001.parquet",
        _rewritten(1, lambda t: t, SCHEMA_VERSION + 1),
        "schema_version is 2",
    ),
    "of no schema": (
        "00000001.parquet",
        _rewritten(1, lambda t: t, 0),
        "schema_version is missing",
    ),
    "a note": ("notes.txt", b"remember", "not the name of a file of records"),
    "a copy": ("00000000 (copy).parquet", _bytes_of(0), "not the name of a file of records"),
    "torn merged": ("00000000-00000063.parquet", b"PAR1", "torn"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_named_set_aside_and_survived(case: str) -> None:
    """Readers name it and read on; tidying moves it out of the way.

    Then its trial can be recorded.
    """
    name, content, message = BAD_FILES[case]
    with fresh_store() as store:
        path = _damaged(store, name, content)
        reader = Store.open(store.path)
        assert reader.records() == GOOD
        (problem,) = reader.scan()
        assert problem.path == path
        assert message in str(problem)
        assert path.exists()
        assert Store.open(store.path, files=CountingFiles()).tidy() == [problem]
        assert (store.path / "set_aside" / name).read_bytes() == content
        assert reader.scan() == []
        store.append(record(1))
        assert sorted(pd.read_parquet(store.path / "trials").number) == [0, 1, 2]


def test_files_set_aside_never_overwrite_one_another() -> None:
    """The same name twice: both are kept."""
    with fresh_store() as store:
        for content in (b"one", b"two"):
            (store.path / "trials" / "00000001.parquet").write_bytes(content)
            store.tidy()
        assert {path.read_bytes() for path in (store.path / "set_aside").iterdir()} == {
            b"one",
            b"two",
        }


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_flipped_byte_never_passes_for_a_record(data: st.DataObject) -> None:
    """Any byte of a file is changed.

    What is read is the record as it was, or nothing and a named problem.
    """
    with fresh_store() as store:
        path = _damaged(store, "00000001.parquet", b"")
        content = bytearray(_bytes_of(1))
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        read = store.records()
        if len(read) == 2:
            assert read == GOOD
            assert [problem.path for problem in store.scan()] == [path]
        else:
            assert read == [record(0), record(1), record(2)]


class _NoAccess(RecordFormat):
    """The files cannot be read just now, which root, who runs many a test, cannot be made to
    see.
    """

    def read(self, path: Path, columns: object = None) -> object:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    footer = read  # type: ignore[assignment]


def test_a_record_that_cannot_be_read_is_not_taken_for_a_torn_one() -> None:
    """Permission to read is lost.

    The reader stops with the path and the reason, and nothing is set aside.
    """
    with fresh_store() as store:
        store.append(record(0))
        store.append_reference(Task.reference(0), record(0))
        blind = Store.open(store.path)
        blind._format = blind._catalog._format = _NoAccess(INFO.knob_columns)
        for read in (blind.records, blind.numbers, blind.tidy, blind.references):
            with pytest.raises(SearchFailed, match="failed: Permission denied"):
                read()
        assert store.records() == [record(0)]


def test_a_hidden_file_is_nobody_s_business() -> None:
    """Network file systems and desktops leave such; every reader passes over them."""
    with fresh_store() as store:
        path = _damaged(store, ".nfs0001", b"")
        assert store.tidy() == []
        assert path.exists()
        assert len(pd.read_parquet(store.path / "trials")) == 2


def test_a_link_to_nothing_is_named() -> None:
    """A dangling link is foreign, not a file that went away."""
    with fresh_store() as store:
        (store.path / "trials" / "00000001.parquet").symlink_to("nowhere")
        (problem,) = store.scan()
        assert "link to nothing" in str(problem)
        store.tidy()
        assert store.scan() == []


def test_records_of_an_older_schema_count() -> None:
    """A column that did not exist is null.

    The file is named, stays, and is brought up to date by compaction.
    """
    old = [dataclasses.replace(record(n), forked_from_step=None, error=None) for n in range(3)]
    with fresh_store() as store, merging_by_three():
        for each in old[1:]:
            store.append(each)
        content = _rewritten(0, lambda table: table.drop_columns(["forked_from_step", "error"]))
        (store.path / "trials" / "00000000.parquet").write_bytes(content)
        assert store.records() == old
        assert store.frame(["error"]).error.isna().all()
        (problem,) = store.tidy()
        assert (problem.kind, problem.path.exists()) == ("older", True)
        assert store.compact()
        assert (store.records(), store.scan()) == (old, [])


def test_a_torn_reference_or_task_is_set_aside() -> None:
    """The target run's record and the task's file are named, moved, and both can be written
    again.
    """
    with fresh_store() as store:
        (store.path / "trunk" / "seed-0.parquet").write_bytes(b"PAR1")
        shutil.copy(_written(store, 0), store.path / "trunk" / "seed-1.parquet")
        (store.path / "running" / "5.json").write_bytes(b'{"spec"')
        (store.path / "running" / "6.json").write_bytes(b'{"spec": {"number": 6}}')
        assert {problem.path.name for problem in store.tidy()} == {
            "seed-0.parquet",
            "5.json",
            "6.json",
        }
        assert store.references() == {Task.reference(1): record(0)}
        store.append_reference(Task.reference(0), record(0))
        store.begin(spec(5))
        assert store.scan() == []


def _written(store: Store, number: int) -> Path:
    store.append(record(number))
    return store.path / "trials" / f"{number:08d}.parquet"


WRITES: dict[str, Callable[[Store], object]] = {
    "append": lambda store: store.append(record(1)),
    "append_reference": lambda store: store.append_reference(Task.reference(0), record(0)),
    "begin": lambda store: store.begin(spec(1)),
    "started": lambda store: store.started(Task.trial(0)),
    "update_info": lambda store: store.update_info(device="gpu"),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("room", [0, 1, 2, 3])
def test_a_disk_that_refuses_stops_the_search_with_one_message(
    write: str, code: int, room: int
) -> None:
    """A disk fails at every call of every way to write.

    SearchFailed says what, why and how to go on, and nothing else changes.
    """
    with fresh_store() as store:
        store.append(record(0))
        store.begin(spec(10), Task.trial(0))
        before = {path: path.read_bytes() for path in store.path.rglob("*") if path.is_file()}
        faulty = Store.open(store.path, files=FullDisk(room, code))
        try:
            WRITES[write](faulty)
        except SearchFailed as error:
            assert os.strerror(code) in str(error)  # noqa: PT017 - whether it fails depends on the call
            assert f"--resume {store.path}" in str(error)  # noqa: PT017
            assert {
                path: path.read_bytes() for path in store.path.rglob("*") if path.is_file()
            } == before


def test_compaction_on_a_full_disk_loses_nothing() -> None:
    """No room for the larger file: the small ones stay."""
    with fresh_store() as store, merging_by_three():
        for number in range(3):
            store.append(record(number))
        before = parquet_files(store.path)
        with pytest.raises(SearchFailed, match="No space left"):
            Store.open(store.path, files=FullDisk(1)).compact()
        assert parquet_files(store.path) == before


@pytest.mark.parametrize("write", WRITES)
def test_a_directory_removed_under_a_search_is_named(write: str, tmp_path: Path) -> None:
    """The run directory goes away while its search holds it: SearchFailed, not 'fenced'.

    It is not made again.
    """
    created = Store.create(tmp_path / "run", INFO, files=CountingFiles())
    with Lease.acquire(created.path) as lease:
        store = Store.open(created.path, epoch=lease.epoch, files=CountingFiles())
        store.begin(spec(0))
        shutil.rmtree(created.path)
        with pytest.raises(SearchFailed, match=str(created.path)):
            WRITES[write](store)
    assert not created.path.exists()
    with pytest.raises(SearchFailed, match="must be readable"):
        store.numbers()


def test_a_run_whose_parts_are_missing_is_refused(tmp_path: Path) -> None:
    """Opening names the missing directories."""
    store = Store.create(tmp_path / "run", INFO)
    (store.path / "trials").rmdir()
    with pytest.raises(BadInput, match=r"missing: \['trials'\]"):
        Store.open(store.path)


def test_a_run_that_cannot_be_created_leaves_nothing(tmp_path: Path) -> None:
    """A disk refuses at any call of creating the run.

    BadInput gives the reason, and nothing is left where the run would be.
    """
    counting = CountingFiles()
    Store.create(tmp_path / "good", INFO, files=counting)
    for room in range(counting.calls):
        name = tmp_path / f"run{room}"
        try:
            Store.create(name, INFO, files=FullDisk(room, errno.EACCES))
        except BadInput as error:
            assert "Permission denied" in str(error)  # noqa: PT017 - the last calls are not refused
            assert not name.exists()
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_without_hard_links_a_record_is_still_appended_once() -> None:
    """On such a file system a kill in mid-commit leaves an empty file, which is set aside like any
    torn one.
    """
    with fresh_store(NoHardLinks()) as store:
        store.append(record(0))
        assert store.records() == [record(0)]
        (store.path / "trials" / "00000001.parquet").touch()
        assert [problem.kind for problem in store.tidy()] == ["torn"]
        store.append(record(1))
        assert store.numbers() == [0, 1]


def test_a_problem_reads_as_one_line() -> None:
    """The path, then what is wrong."""
    assert str(Problem(Path("a/b"), "torn", "torn: short")) == "a/b: torn: short"
