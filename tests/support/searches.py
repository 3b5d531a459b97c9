"""Whole searches on the tiny workload and a fake device's clock, so that two of them can be
compared bit by bit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from models.registry import find_workload
from tests.support.costs import made_up_costs
from tuning.config.config import SearchConfig
from tuning.config.resources import Machine
from tuning.session import conduct
from tuning.session.conduct import SearchResult
from tuning.session.description import describe
from tuning.session.watch import Watcher
from tuning.store.store import Store
from tuning.trial.soundness import Soundness

TINY = "tests.support.tiny:tiny"
MACHINE = Machine(cpus=2, gpus=0)
HAPPENSTANCE = [
    "wall_seconds",
    "measured_seconds",
    "co_residents",
    "executions",
    "started_at",
    "finished_at",
]
"""Columns that say what happened around a trial; all others are the trial's own."""


def config_of(run: Path, **options: Any) -> SearchConfig:
    """A search of a schedule on the tiny workload with the serial driver, where ``options`` say
    nothing else.
    """
    usual: dict[str, Any] = {
        "run": str(run),
        "workload": TINY,
        "space": "dynamic_suffix",
        "objective": "pareto",
        "driver": "serial",
        "trials": 12,
    }
    return SearchConfig(**{**usual, **options})


def prepared(config: SearchConfig) -> Store:
    """A new run that is calibrated already, to made-up costs."""
    workload = find_workload(config.workload, None)
    store = Store.create(Path(config.run), describe(config, workload, config.resources(MACHINE)))
    store.update_info(calibration=made_up_costs(), device="fake device", soundness=Soundness())
    return store


def search(
    config: SearchConfig, watcher: Watcher | None = None, *, page: bool = False
) -> SearchResult:
    """Start the search, or go on with it where the run exists.

    Its page and picture are drawn only where a test is about them: they take as long as its trials.
    """
    run = Path(config.run)
    store = Store.open(run) if run.exists() else prepared(config)
    workload = find_workload(config.workload, None)
    with pytest.MonkeyPatch.context() as patch:
        if not page:
            patch.setattr(conduct, "write_report", lambda store: None)
        return conduct.conduct(store, config, workload, config.resources(MACHINE), watcher)


def own_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """The table without what depends on when and beside whom a trial ran."""
    return frame.drop(columns=HAPPENSTANCE)
