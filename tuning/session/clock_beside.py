"""The clock of a run beside a new one, taken unasked where it holds.

A second search of a workload then calibrates nothing and tries nothing that the first has found,
and the seconds of both compare. Whether the machine is still as fast is seen by a worker
(``tuning.training.clock_tasks.set_clock``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from models.workload import Workload
from tuning.config.config import CALIBRATE, SearchConfig
from tuning.config.resources import Resources
from tuning.errors import BadInput
from tuning.layout import RUN_JSON
from tuning.session.identity import identity_here, plain
from tuning.session.other_runs import clock_of, refuse_another_clock
from tuning.store.info import RunInfo
from tuning.trial.clock import CostTable
from tuning.trial.identity import differences
from tuning.version import VERSION

MOST = 20
"""The number of runs that are looked at, the newest first."""
BROKEN = (AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""Errors that a run.json of somebody's own making may lead to. They are passed over: nobody asked
for that run.
"""


def clock_taken(config: SearchConfig, workload: Workload, resources: Resources) -> Path | None:
    """The run whose clock a new search takes; None where the search is to calibrate its own.

    It is the run that was asked for, or else the newest one in the new run's folder whose clock was
    calibrated alone and holds for the search.
    """
    if config.clock is not None:
        return None if config.clock == CALIBRATE else Path(config.clock)
    if config.address is not None:  # what device its trials have is not known here
        return None

    @cache  # finding it out takes seconds, and every run whose workload was edited since asks
    def here() -> dict[str, Any]:
        return plain(identity_here(workload))

    for run, info, costs in _alike(config, workload):
        mine = here()
        with contextlib.suppress(*BROKEN):
            same = not differences(info.identity or {}, mine)
            if same and _holds(run, info, costs, config, workload, resources):
                return run
    return None


def _alike(config: SearchConfig, workload: Workload) -> Iterator[tuple[Path, RunInfo, CostTable]]:
    """Runs beside the new one whose run.json has a clock of the same workload."""
    for run in _newest(Path(config.run).absolute().parent):
        with contextlib.suppress(BadInput, *BROKEN):
            info, costs = clock_of(run)
            # of another version's identity not even the form is known
            known = info.version == VERSION and None not in (info.identity, info.soundness)
            same = (
                costs.key.get("workload") == workload.name
                and costs.key.get("fingerprint") == workload.fingerprint
            )
            if known and same and not costs.disturbances:
                yield run, info, costs


def _newest(folder: Path) -> list[Path]:
    """The ``MOST`` runs in ``folder`` that changed last, the newest first."""
    found = []
    with contextlib.suppress(OSError):
        for run in folder.iterdir():
            with contextlib.suppress(OSError):
                found.append(((run / RUN_JSON).stat().st_mtime, run))
    return [run for _, run in sorted(found, reverse=True)[:MOST]]


def _holds(
    run: Path,
    info: RunInfo,
    costs: CostTable,
    config: SearchConfig,
    workload: Workload,
    resources: Resources,
) -> bool:
    try:
        refuse_another_clock(run, info, costs, config, workload, resources)
    except BadInput:
        return False
    return True
