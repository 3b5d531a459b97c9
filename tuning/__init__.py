"""The search: which training schedule reaches a quality in the least time, beside simply training
for less.

>>> import tuning  # doctest: +SKIP
>>> result = tuning.run_search(tuning.SearchConfig(run="runs/mine", trials=24))  # doctest: +SKIP
>>> trials = tuning.load("runs/mine"); tuning.front(trials)  # doctest: +SKIP
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.version import VERSION

if TYPE_CHECKING:
    import pandas as pd

    from tuning.config.config import SearchConfig
    from tuning.session.conduct import SearchResult
    from tuning.session.watch import Watcher
    from tuning.training.plain_loop import LoadedRecipe

__all__ = [
    "VERSION",
    "SearchConfig",
    "control",
    "front",
    "gain",
    "load",
    "load_recipe",
    "resume",
    "run_search",
]


def _load_own_packages() -> None:
    """Load the packages that stand beside this one, before anything of the same name is found.

    ``python -m`` looks in the current directory first, where a user may well have a folder
    ``models`` of their own. What ours lack is found there from then on.

    Raises:
        ImportError: something of that name, and not ours, was imported before.
    """
    home = Path(__file__).resolve().parent.parent
    for name in ("policies", "models", "search_spaces"):
        file = home / name / "__init__.py"
        loaded = sys.modules.get(name)
        if loaded is None:
            spec = importlib.util.spec_from_file_location(
                name, file, submodule_search_locations=[str(file.parent)]
            )
            assert spec is not None, "a Python file has a loader"
            assert spec.loader is not None
            sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[name])
        elif not loaded.__file__ or Path(loaded.__file__).resolve() != file:
            raise ImportError(
                f"{name} must be the package of this project, {file.parent}, but another was "
                f"imported before: {loaded.__file__}; import tuning first, or give yours another "
                "name"
            )
    from models.beside import begin, share

    begin()
    for name in ("policies", "models", "search_spaces"):
        share(sys.modules[name], home)


def _before_pythons_own() -> Path | None:
    """The first file ahead of Python's standard library on ``sys.path`` that has the name of one of
    its modules and so hides it, as an absolute path; None where there is none.
    """
    own = Path(importlib.__file__).parent.parent
    for folder in sys.path[: sys.path.index(str(own))] if str(own) in sys.path else ():
        for file in sorted(Path(folder).glob("*.py")):
            if file.stem in sys.stdlib_module_names:
                return file.absolute()
    return None


try:
    _load_own_packages()
except (ImportError, AttributeError):
    if (_file := _before_pythons_own()) is None:
        raise
    _message = (
        "where modules are taken from there must be none of the name of Python's own, but "
        f"{_file} stands before {_file.stem}: rename it, or run from another folder and name a "
        "workload by its path"
    )
    if sys.argv[:1] != ["-m"]:
        raise ImportError(_message) from None
    print(_message, file=sys.stderr)  # a command ends as it does on any other bad input
    raise SystemExit(2) from None


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

    ``changes`` are its flags by their names in Python, such as ``trials=48`` or
    ``retry_failed=True``. ``workload=make`` passes a workload again that was given as an object, in
    another process say.

    Raises:
        tuning.errors.BadInput: not a run, or changes it cannot have; all are named.
    """
    from tuning.session.search import resume_search

    if "workload" in changes and not isinstance(changes["workload"], str):
        from tuning.config.own import known_as

        known_as(changes.pop("workload"))
    retry_failed = bool(changes.pop("retry_failed", False))
    return resume_search(Path(run), changes, retry_failed=retry_failed)


def load(run: str | os.PathLike[str]) -> pd.DataFrame:
    """Every trial of a run, one row each, by number. Columns: ``tuning.trial.trial.TrialRecord``,
    ``knob_NAME``, and ``val_metric``: the value of the workload's metric, which is ``val_loss`` or,
    where the metric is maximised, its negative; ``metric_NAME`` are its further metrics.

    Raises:
        tuning.errors.BadInput: ``run`` is not a run directory.

    """
    from tuning.store.store import Store

    store = Store.open(Path(run))
    frame = store.frame()
    losses = frame["val_loss"]
    return frame.assign(val_metric=0.0 - losses if store.info.metric.maximize else losses)


def front(frame: pd.DataFrame) -> pd.DataFrame:
    """The trials of ``frame`` that no other beats in both solo seconds and validation loss, by
    seconds.
    """
    from tuning.findings.front import front as front_of

    return front_of(frame)


def control(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs of the own control in ``frame``, by seconds: the workload's own recipe, no lever
    pulled, at each horizon it was trained for.
    """
    from tuning.findings.front import control as control_of

    return control_of(frame)


def gain(frame: pd.DataFrame) -> pd.DataFrame:
    """What each finished trial of ``frame`` gains, with the index of ``frame``: a control's solo
    seconds at the trial's loss over the trial's; 1.2 is a sixth less time. Null where it does not
    apply.

    >>> trials = tuning.load("runs/mine")  # doctest: +SKIP
    >>> trials.join(tuning.gain(trials))  # doctest: +SKIP

    Returns:
        Columns ``gain``, over the own control, its seconds read off the line through its runs;
        ``gain_at_least``, its least value where no run of the own control had so low a loss;
        ``gain_over_tuned`` and ``gain_over_smaller``, over the others where the table has them.
    """
    from tuning.findings.gains import gain_table

    return gain_table(frame)


def load_recipe(path: str | os.PathLike[str]) -> LoadedRecipe:
    """The recipe that ``python -m tuning.export`` wrote, for a loop of your own.

    Raises:
        ValueError: the file cannot be read or is no recipe; names every fault.
    """
    from tuning.training.plain_loop import load_recipe as loaded

    return loaded(Path(path))
