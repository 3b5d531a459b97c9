"""Reading the recorded tables: what a rung tells, and the search that is replayed over it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.rungs import tell
from benchmarks.rungs.tell import Looks, Rule, saved, seconds_to_best, told

TABLES = sorted(Path(tell.__file__).parent.glob("*.parquet"))


def looks(rung: list[float], end: list[float]) -> Looks:
    gains = {0.25: np.array(rung), 1.0: np.array(end)}
    return Looks(gains, {0.25: np.full(len(rung), 1.0), 1.0: np.full(len(end), 4.0)})


def test_a_rung_that_orders_as_the_end_tells_everything() -> None:
    """τ is 1, and the best of the end is its first."""
    values = [0.1, 0.4, -0.2, 0.3, 0.0]
    (row,) = told(looks(values, values))
    assert row["tau"] == pytest.approx(1.0)
    assert row["place of the best"] == 1
    assert row["gain of its first"] == row["best gain"] == pytest.approx(math.exp(0.4))


def test_seconds_are_those_of_all_that_was_trained() -> None:
    """Without rungs four seconds a recipe; with them one each, and four for the one that goes
    on.
    """
    values = [0.0, 0.1, 0.2, 0.9]
    seen, order = looks(values, values), [0, 1, 2, 3]
    generator = np.random.default_rng(0)
    assert seconds_to_best(seen, None, order, generator) == 16.0
    assert seconds_to_best(seen, Rule(0.25, 0.25, 0.0), order, generator) == 4 * 1.0 + 4.0


def test_what_never_goes_on_is_never_found() -> None:
    """A rung that puts the best last, and no lots."""
    upside_down = looks([0.0, -1.0, -2.0, -3.0], [0.0, 0.1, 0.2, 0.9])
    generator = np.random.default_rng(0)
    cost = seconds_to_best(upside_down, Rule(0.25, 0.25, 0.0), [0, 1, 2, 3], generator)
    assert math.isinf(cost)


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_recorded_tables_are_whole(path: Path) -> None:
    """Every recipe at every horizon, the control beside them, and both tables come of it."""
    table = pd.read_parquet(path)
    assert (table["recipe"] == -1).sum() >= 4
    found = Looks.of(table)
    assert len(found.gains[1.0]) >= 30
    assert len(told(found)) == len(found.rungs) == 3
    assert saved(found, 3)[0]["times less"] == 1.0
