"""A search from what was asked for to its result: started, or gone on with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.config.config import CHANGEABLE, Resume, SearchConfig, resumed
from tuning.config.fitting import fit_space, needs_fitting
from tuning.config.resources import Machine
from tuning.errors import BadInput
from tuning.session.conduct import SearchResult, conduct
from tuning.session.description import (
    describe,
    refuse_fewer_trials,
    refuse_other_data,
    stored_config,
)
from tuning.session.other_runs import clock_faults, warm_start_faults, with_clock_of
from tuning.session.watch import Watcher, say
from tuning.store.store import Store
from tuning.version import VERSION

if TYPE_CHECKING:
    from models.workload import Workload


def run_search(config: SearchConfig, *, watcher: Watcher | None = None) -> SearchResult:
    """Start the search that ``config`` describes and see it through.

    Raises:
        BadInput: the configuration has faults; all are named and nothing was created.
        Interrupted: it was stopped on request (Ctrl-C); everything is kept.
        SearchFailed: it cannot go on.

    """
    if faults := [*config.faults(), *warm_start_faults(config), *clock_faults(config)]:
        raise BadInput(faults)
    from models.registry import find_workload

    workload = find_workload(config.workload, Path(config.corpus) if config.corpus else None)
    config = fitted_to_device(config, workload)
    resources = config.resources(Machine.here())
    info = describe(config, workload, resources)
    if config.clock is not None:
        info = with_clock_of(Path(config.clock), info, config, workload, resources)
    store = Store.create(Path(config.run), info)
    return conduct(store, config, workload, resources, watcher)


def fitted_to_device(config: SearchConfig, workload: Workload) -> SearchConfig:
    """The search with the ``device_choices`` that this device and the workload's model leave; what
    is left out is said.

    Only before a run is created: a search that goes on keeps the space it began with. Trials that
    run elsewhere, on a cluster, are not known here: theirs fail with the reason.

    Raises:
        BadInput: nothing would be left, or nothing that a warm start is of use for.
    """
    space = config.search_space()
    if config.address is not None or not needs_fitting(space):
        return config
    from models.device import run_device
    from models.levers.capabilities import form_fault

    fitted = fit_space(space, lambda form: form_fault(workload, form, run_device()))
    for remark in fitted.remarks:
        say(remark)
    if fitted.faults:
        raise BadInput(list(fitted.faults))
    left = {name: list(values) for name, values in fitted.choices.items()}
    config = dataclasses.replace(config, device_choices={**config.device_choices, **left})
    if left and (faults := warm_start_faults(config)):  # of the whole space it was no fault
        raise BadInput(faults)
    return config


def resume_search(
    run: Path,
    changes: dict[str, Any] | None = None,
    *,
    retry_failed: bool = False,
    watcher: Watcher | None = None,
) -> SearchResult:
    """Go on with the search in directory ``run``; ``changes`` are options it is to have from now
    on.

    With ``retry_failed`` its failed trials run again, under their numbers.

    Raises:
        BadInput: not a run, a run of another version, or changes it cannot have.
        Interrupted, SearchFailed: as ``run_search``.

    """
    changes = changes or {}
    may_change = {name: value for name, value in changes.items() if name in CHANGEABLE}
    given = {name: value for name, value in changes.items() if name not in CHANGEABLE}
    return carry_on(Resume(run, may_change, given, retry_failed), watcher)


def carry_on(request: Any, watcher: Watcher | None = None) -> SearchResult:
    """Go on with the search that a ``Resume`` request names; see ``resume_search``."""
    from models.registry import find_workload

    store = Store.open(request.run)
    store.info.require_version(VERSION)
    config = resumed(stored_config(store), request)
    try:
        workload = find_workload(config.workload, Path(config.corpus) if config.corpus else None)
    except ValueError as fault:
        raise BadInput(str(fault)) from None
    refuse_other_data(store, config, workload)
    refuse_fewer_trials(store, config)
    resources = config.resources(Machine.here())
    return conduct(store, config, workload, resources, watcher, retry_failed=request.retry_failed)
