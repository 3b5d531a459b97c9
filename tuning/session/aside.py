"""A run of which nothing came gives its name to the next search, and keeps its records."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from tuning.errors import BadInput
from tuning.layout import is_run
from tuning.store.lease import Lease
from tuning.store.store import Store


def nothing_came_of(run: Path) -> bool:
    """Whether trials were recorded in the run directory ``run`` and all of them failed. False for a
    run with trials in flight, or without any recorded: it can still be gone on with.
    """
    if not is_run(run) or run.is_symlink():
        return False
    try:
        store = Store.open(run)
        states = set(store.frame(["state"])["state"])
        return states == {"failed"} and not store.count_in_flight()
    except BadInput:
        return False


def set_aside(run: Path) -> Path:
    """Rename ``run`` to the first of RUN.failed, RUN.failed-2 and so on that is free.

    Raises:
        BadInput: somebody holds the run, or it cannot be renamed.
    """
    with Lease.acquire(run):
        pass
    names = (run.with_name(f"{run.name}.failed{f'-{n}' if n > 1 else ''}") for n in count(1))
    aside = next(path for path in names if not path.exists())
    try:
        run.rename(aside)
    except OSError as error:
        raise BadInput(
            f"a run directory must be writable, but {run} is not: {error.strerror}"
        ) from None
    return aside
