"""The store where nothing goes wrong.

What is appended is what is read, by us and by everyone's tools.
"""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.dataset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.faulty_files import CountingFiles
from tests.support.folders import fresh_folder
from tests.support.stores import INFO, START, fresh_store, parquet_files, record, spec
from tests.support.strategies import KNOB_COLUMNS, records, run_infos, specs
from tuning.errors import BadInput
from tuning.store.info import RunInfo, Target
from tuning.store.store import AlreadyRecorded, Store
from tuning.trial.task import Task
from tuning.trial.trial import TrialRecord, TrialSpec

COLUMNS = [
    "number",
    "state",
    "origin",
    "workload",
    "policy",
    "seed",
    "horizon",
    "knob_threshold",
    "knob_levels",
    "knob_gate",
    "knob_metric",
    "train_seconds",
    "wall_seconds",
    "measured_seconds",
    "co_residents",
    "val_loss",
    "metric_accuracy",
    "metric_F1 at 10",
    "target_loss",
    "reached",
    "seconds_to_quality",
    "steps",
    "probes",
    "mean_active_fraction",
    "required_flops",
    "effective_flops_per_second",
    "pipeline_overhead_seconds",
    "forked_from_step",
    "would_stop_at_step",
    "executions",
    "started_at",
    "finished_at",
    "device",
    "error",
    "curve",
    "decisions",
]


@settings(deadline=None, max_examples=40)
@given(st.lists(records(), max_size=4, unique_by=lambda r: r.number))
def test_load_after_append_is_the_identity(written: list[TrialRecord]) -> None:
    """Records are appended in any order and read with a store opened anew.

    All of them are there, by number and one by one.
    """
    with fresh_store() as store:
        for each in written:
            store.append(each)
        read = Store.open(store.path)
        assert read.records() == sorted(written, key=lambda r: r.number)
        assert read.numbers() == sorted(r.number for r in written)
        assert [read.record(r.number) for r in written] == written
        assert read.scan() == []


def test_times_are_stored_in_utc() -> None:
    """What comes back is the same instant, in UTC."""
    with fresh_store() as store:
        store.append(record(0))
        assert store.record(0).started_at.tzinfo == UTC


def test_a_number_is_recorded_once() -> None:
    """A second record of a number is refused, by this store and by one of another process.

    The first stands.
    """
    with fresh_store() as store:
        store.append(record(3))
        for other in (store, Store.open(store.path)):
            with pytest.raises(AlreadyRecorded, match="trial 3"):
                other.append(record(3, val_loss=0.1))
        assert store.records() == [record(3)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_loss": math.nan}, "val_loss must be finite or None, but got nan"),
        ({"val_loss": math.inf}, "val_loss must be finite or None, but got inf"),
        ({"knobs": {"threshold": -math.inf}}, "threshold must be finite or None"),
        (
            {"curve": (dataclasses.replace(record(0).curve[0], val_loss=math.nan),)},
            r"curve\[0\]\.val_loss must be",
        ),
        ({"started_at": START.replace(tzinfo=None)}, "started_at must have a time zone"),
        ({"number": -1}, r"0 <= number < 100000000 must hold, but got -1"),
        ({"number": 10**8}, r"0 <= number < 100000000 must hold"),
        ({"state": "running"}, "state must be one of"),
        ({"origin": "dreamt"}, "origin must be one of"),
        ({"knobs": {"unknown": 1}}, "knob 'unknown' must be one of the run's"),
        ({"knobs": {"levels": 1.0}}, "knob levels must be a int, but got 1.0"),
        ({"knobs": {"levels": True}}, "knob levels must be a int, but got True"),
        ({"knobs": {"threshold": True}}, "knob threshold must be a float, but got True"),
        (
            {"knobs": {"threshold": 2**53 + 1}},
            "knob threshold must be a float, but got 9007199254740993",
        ),
        ({"knobs": {"threshold": 10**400}}, "knob threshold must be a float"),
        ({"knobs": {"gate": 1}}, "knob gate must be a bool, but got 1"),
        ({"metrics": {"recall": 0.5}}, "metric 'recall' must be one of the run's"),
        (
            {"metrics": {"accuracy": math.nan}},
            "metric_accuracy must be finite or None",
        ),
        ({"knobs": {"metric": 1}}, "knob metric must be a str, but got 1"),
        ({"steps": 2**63}, "must fit their columns"),
        ({"error": "\ud800"}, "surrogates"),
    ],
)
def test_what_cannot_be_a_row_is_refused(changes: dict[str, Any], message: str) -> None:
    """Nothing is adjusted to fit: the record is refused with the rule, and nothing is written."""
    with fresh_store() as store:
        with pytest.raises(ValueError, match=message):
            store.append(record(**{"number": 0} | changes))
        assert parquet_files(store.path) == []


def test_all_faults_are_named_together() -> None:
    """Two broken rules, one message."""
    with fresh_store() as store, pytest.raises(ValueError, match=r"val_loss.*; .*state"):
        store.append(record(0, val_loss=math.nan, state="lost"))


def test_the_frame_has_the_columns_in_order_and_types_to_work_with() -> None:
    """Columns are as specified, nullable where a value may be missing, and times in UTC.

    They are the same for a run without trials.
    """
    with fresh_store() as store:
        empty = store.frame()
        store.append(record(1))
        store.append(record(0, reached=True, steps=5, knobs={}))
        frame = store.frame()
    assert list(frame.columns) == COLUMNS == list(empty.columns)
    assert len(empty) == 0
    assert frame.number.tolist() == [0, 1]
    expected = {
        "number": "int64",
        "steps": "Int64",
        "reached": "boolean",
        "val_loss": "float64",
        "metric_accuracy": "float64",
        "knob_levels": "Int64",
        "knob_gate": "boolean",
        "knob_threshold": "float64",
        "started_at": "datetime64[us, UTC]",
        "state": "str",
    }
    assert {name: str(frame[name].dtype) for name in expected} == expected
    assert {name: str(empty[name].dtype) for name in expected} == expected
    assert frame.steps.isna().tolist() == [False, True]
    assert frame.metric_accuracy.tolist() == [0.5, 1.5]
    assert frame["metric_F1 at 10"].isna().all()
    assert frame.curve[1][1] == {"step": 20, "train_seconds": 7.5, "val_loss": 1.9}


def test_single_columns_are_read_and_unknown_ones_refused() -> None:
    """``columns`` gives just those, in that order."""
    with fresh_store() as store:
        store.append(record(0))
        assert list(store.frame(["val_loss", "number"]).columns) == ["val_loss", "number"]
        with pytest.raises(ValueError, match="nonsense"):
            store.frame(["number", "nonsense"])


def test_the_directory_is_readable_as_is() -> None:
    """pandas, DuckDB and an Arrow data set read RUN/trials without our help, nested columns too,
    and agree.
    """
    with fresh_store() as store:
        for number in range(5):
            store.append(record(number))
        folder = store.path / "trials"
        frame = pd.read_parquet(folder)
        rows = duckdb.sql(
            f"SELECT number, len(curve), decisions[2].phase FROM '{folder}/*.parquet' ORDER BY 1"
        )
        assert sorted(frame.number) == list(range(5))
        assert list(frame.columns) == COLUMNS
        assert rows.fetchall() == [(number, 2, "reduced") for number in range(5)]
        assert pyarrow.dataset.dataset(folder).count_rows() == 5


@given(run_infos())
def test_a_run_is_described_as_it_was_created(info: RunInfo) -> None:
    """Any description survives creating and opening."""
    with fresh_folder() as folder:
        Store.create(folder / "deep" / "run", info, files=CountingFiles())
        assert Store.open(folder / "deep" / "run").info == info


def test_the_description_can_be_changed() -> None:
    """Changed fields are there for others, the rest stands."""
    with fresh_store() as store:
        other = Store.open(store.path)
        store.update_info(target=Target(1.9), device="gpu")
        assert (
            store.info
            == other.reload_info()
            == dataclasses.replace(INFO, target=Target(1.9), device="gpu")
        )


def test_an_existing_directory_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """An existing run is to be resumed, anything else avoided; neither is touched."""
    Store.create(tmp_path / "run", INFO)
    with pytest.raises(BadInput, match="--resume"):
        Store.create(tmp_path / "run", INFO)
    (tmp_path / "other").mkdir()
    with pytest.raises(BadInput, match="choose another"):
        Store.create(tmp_path / "other", INFO)
    assert list((tmp_path / "other").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "run"]


def test_what_is_not_a_run_is_refused(tmp_path: Path) -> None:
    """A missing directory, one without run.json, one with another's run.json, and a file are
    refused.

    The message of each says what it is.
    """
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "run.json").write_bytes(b"\xff")
    for name, lacks in (
        ("missing", "there is nothing of that name"),
        ("empty", "it has none"),
        ("file", "reading that raised"),
        ("foreign", "reading that raised"),
    ):
        with pytest.raises(BadInput, match=f"{name} must be a run directory, one.*but {lacks}"):
            Store.open(tmp_path / name)


def test_a_missing_trial_is_a_key_error() -> None:
    """``record`` of a number that nobody recorded."""
    with fresh_store() as store, pytest.raises(KeyError, match="trial 7"):
        store.record(7)


@given(specs(st.integers(0, 99_999_999)))
def test_a_task_in_flight_is_kept_with_its_executions(written: TrialSpec) -> None:
    """Begins anything, starts it twice, and reads it with a store opened anew.

    After ``end`` it is gone.
    """
    with fresh_store() as store:
        store.begin(written)
        assert [store.started(Task.trial(written.number)) for _ in range(2)] == [1, 2]
        (found,) = Store.open(store.path).in_flight()
        assert (found.task, found.spec, found.executions) == (
            Task.trial(written.number),
            written,
            2,
        )
        found.checkpoint.write_bytes(b"weights")
        assert store.checkpoint_path(Task.trial(written.number)) == found.checkpoint
        store.end(Task.trial(written.number))
        assert store.in_flight() == []
        assert not found.checkpoint.exists()


def test_tasks_come_in_the_order_of_their_numbers() -> None:
    """Trial 10 after trial 9, and other tasks after the trials."""
    with fresh_store() as store:
        store.begin(spec(0), Task.reference(0))
        for number in (10, 9, 100):
            store.begin(spec(number))
        assert [f.task for f in store.in_flight()] == [
            *map(Task.trial, (9, 10, 100)),
            Task.reference(0),
        ]
        assert store.count_in_flight() == 4
        assert store.task(Task.trial(9)).spec == spec(9)


def test_a_task_is_begun_once() -> None:
    """A second begin is refused, and so is one of a trial that has its record.

    An unknown task cannot be started.
    """
    with fresh_store() as store:
        store.begin(spec(0))
        with pytest.raises(FileExistsError):
            store.begin(spec(0))
        store.append(record(1))
        with pytest.raises(AlreadyRecorded):
            store.begin(spec(1))
        with pytest.raises(KeyError, match="task 5 is not"):
            store.started(Task.trial(5))


def test_runs_that_set_the_target_have_records_of_their_own() -> None:
    """The same record under the task's id; once; not among the trials."""
    with fresh_store() as store:
        store.append_reference(Task.reference(1), record(1))
        store.append_reference(Task.reference(0), record(0))
        with pytest.raises(AlreadyRecorded):
            store.append_reference(Task.reference(1), record(1))
        assert Store.open(store.path).references() == {
            Task.reference(0): record(0),
            Task.reference(1): record(1),
        }
        assert store.numbers() == []


def test_the_knob_columns_are_the_run_s() -> None:
    """Two knobs' columns stand where the knobs do, for a run that has other knobs."""
    info = dataclasses.replace(INFO, knob_columns={"a": "int", "b": "str"})
    with fresh_store(info=info) as store:
        store.append(record(0, knobs={"a": 5}))
        assert store.record(0).recipe.knobs == {"a": 5}
        assert [name for name in store.frame().columns if name.startswith("knob_")] == [
            "knob_a",
            "knob_b",
        ]
    assert set(KNOB_COLUMNS) == {"threshold", "levels", "gate", "metric"}


@given(seed=st.integers(0, 5000))
def test_a_confirmation_recorded_as_a_replicate_is_read_as_one(seed: int) -> None:
    """Versions before told them apart by their seeds: fresh ones are 1000 above the search's."""
    with fresh_store() as store:
        store.append(record(0, origin="replicate", seed=seed))
        expected = "confirmation" if seed >= 1000 else "replicate"
        assert store.frame(["origin"])["origin"].tolist() == [expected]
        assert Store.open(store.path).record(0).origin == expected
