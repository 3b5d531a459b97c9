"""The search: which training schedule reaches a quality in the least time, beside simply training
for less.

>>> import tuning  # doctest: +SKIP
>>> result = tuning.run_search(tuning.SearchConfig(run="runs/mine", trials=24))  # doctest: +SKIP
>>> trials = tuning.load("runs/mine"); tuning.front(trials)  # doctest: +SKIP
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tuning.version import VERSION

if TYPE_CHECKING:
    import pandas as pd

    from tuning.config.config import SearchConfig
    from tuning.session.conduct import SearchResult
    from tuning.session.watch import Watcher

__all__ = ["VERSION", "SearchConfig", "front", "load", "resume", "run_search"]


def __getattr__(name: str) -> object:
    # Imported when first used, so that --help and readers of a table do not wait for Ray, torch and
    # Optuna.
    if name == "SearchConfig":
        from tuning.config.config import SearchConfig

        return SearchConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def run_search(config: SearchConfig, *, watcher: Watcher | None = None) -> SearchResult:
    """What ``python -m tuning.search`` does.

    See ``tuning.session.search.run_search`` for what it raises.
    """
    from tuning.session.search import run_search as conducted

    return conducted(config, watcher=watcher)


def resume(run: str | os.PathLike[str], **changes: object) -> SearchResult:
    """What ``python -m tuning.search --resume`` does.

    ``changes`` as its flags, such as ``trials=48``.
    """
    from pathlib import Path

    from tuning.session.search import resume_search

    return resume_search(Path(run), dict(changes))


def load(run: str | os.PathLike[str]) -> pd.DataFrame:
    """Every trial of a run, one row each, by number. Columns: ``tuning.trial.trial.TrialRecord``
    and ``knob_NAME``.

    Raises:
        tuning.errors.BadInput: ``run`` is not a run directory.

    """
    from pathlib import Path

    from tuning.store.store import Store

    return Store.open(Path(run)).frame()


def front(frame: pd.DataFrame) -> pd.DataFrame:
    """The trials of ``frame`` that no other beats in both solo seconds and validation loss, by
    seconds.
    """
    from tuning.findings.front import front as front_of

    return front_of(frame)
