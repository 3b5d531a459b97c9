"""Run directories on disk, written by the real store, for tests of the commands that read them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from tuning.store.info import KnobKind, RunInfo, Target
from tuning.store.store import Store
from tuning.trial.clock import CostTable
from tuning.trial.trial import TrialRecord

COSTS = CostTable(
    num_blocks=8,
    step_seconds={2: 0.0102, 4: 0.0135, 6: 0.0168, 8: 0.0201},
    step_flops={2: 4.6e9, 4: 6.1e9, 6: 7.6e9, 8: 9.1e9},
    data_seconds=0.0004,
    probe_seconds=0.0006,
    probe_flops=1.2e6,
    evaluation_seconds=0.31,
    device="cpu",
    threads=1,
    spread={"step_2": 0.021, "step_4": 0.018, "step_6": 0.02, "step_8": 0.015, "data": 0.05},
)


def write_run(path: Path, records: Iterable[TrialRecord], *, target: float | None = 1.95) -> Path:
    """A run directory holding the records."""
    kept = list(records)
    info = RunInfo(
        version="0.1.0",
        created_at=datetime(2026, 3, 1, tzinfo=UTC),
        config={"workload": "byte_lm", "space": "dynamic_suffix", "trials": len(kept), "seed": 0},
        knob_columns=_kinds(kept),
        space_fingerprint="9f31ab77",
        versions={"python": "3.11", "torch": "2.13.0"},
        device="cpu",
        calibration=COSTS,
        target=None if target is None else Target(target),
    )
    store = Store.create(path, info)
    for record in kept:
        store.append(record)
    return path


def _kinds(records: Iterable[TrialRecord]) -> dict[str, KnobKind]:
    kinds: dict[str, KnobKind] = {}
    for record in records:
        for name, value in record.recipe.knobs.items():
            kind = type(value).__name__
            assert kind in ("float", "int", "bool", "str")
            kinds[name] = kind  # type: ignore[assignment]
    return kinds
