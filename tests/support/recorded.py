"""Whole searches that were once recorded with every trial trained to its end.

Byte_lm, and ``tiny`` at random knobs.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from tests.support.frames import record
from tuning.trial.trial import CurvePoint, TrialRecord

FILE = Path(__file__).with_name("recorded_searches.json")


@lru_cache(maxsize=1)
def searches() -> dict[str, list[TrialRecord]]:
    """By name, the trials by number; the file has origin, horizon and curve of each."""
    data: dict[str, list[Any]] = json.loads(FILE.read_text())
    return {
        name: [_trial(number, *row) for number, row in enumerate(rows)]
        for name, rows in data.items()
    }


def _trial(
    number: int, origin: str, horizon: float, points: list[tuple[int, float, float]]
) -> TrialRecord:
    curve = tuple(CurvePoint(*point) for point in points)
    end = curve[-1]
    return record(
        number, end.train_seconds, end.val_loss, origin=origin, horizon=horizon, curve=curve
    )
