"""Stores and records for tests of what is on disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.faulty_files import CountingFiles
from tests.support.folders import fresh_folder
from tests.support.strategies import KNOB_COLUMNS, METRICS
from tuning.store import shards as store_shards
from tuning.store.files import Files
from tuning.store.info import RunInfo
from tuning.store.store import Store
from tuning.trial.recipe import Recipe, folded
from tuning.trial.trial import CurvePoint, Decision, TrialRecord, TrialSpec

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
INFO = RunInfo(
    version="0.1.0",
    created_at=START,
    config={"trials": 3, "seed": 0},
    knob_columns=KNOB_COLUMNS,
    metrics=METRICS,
)


def record(number: int, **changes: Any) -> TrialRecord:
    """A finished trial."""
    values: dict[str, Any] = {
        "number": number,
        "state": "finished",
        "origin": "sampled",
        "workload": "byte_lm",
        "policy": "dynamic_suffix",
        "seed": 0,
        "horizon": 0.75,
        "knobs": {"threshold": 0.5 + number, "levels": 4, "gate": True, "metric": "ratio"},
        "started_at": START,
        "finished_at": START,
        "executions": 1,
        "device": "cpu",
        "train_seconds": 7.5 + number,
        "val_loss": 1.9,
        "metrics": {"accuracy": 0.5 + number},
        "curve": (CurvePoint(10, 3.0, 2.5), CurvePoint(20, 7.5, 1.9)),
        "decisions": (Decision(0, 8, "full"), Decision(12, 4, "reduced")),
    }
    return TrialRecord(**folded(values | changes))


def spec(number: int) -> TrialSpec:
    """A trial to be trained."""
    return TrialSpec(number, "sampled", "byte_lm", Recipe("dynamic_suffix", 0.75, {"levels": 4}), 0)


@contextmanager
def fresh_store(files: Files | None = None, info: RunInfo = INFO) -> Iterator[Store]:
    """A new run in a directory of its own, without real flushes."""
    with fresh_folder() as folder:
        yield Store.create(folder / "run", info, files=files or CountingFiles())


def parquet_files(run: Path) -> list[str]:
    """The names of the files that hold the run's trials."""
    return sorted(path.name for path in (run / "trials").iterdir())


@contextmanager
def merging_by_three() -> Iterator[None]:
    """Files of 1, 3 and 9 trials instead of 1, 64 and 4096, so that a few trials make all
    levels.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_shards, "FAN_IN", 3)
        patch.setattr(store_shards, "SPANS", (1, 3, 9))
        yield
