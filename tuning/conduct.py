"""How a search is conducted: run directory, lease, driver, calibration, trials, report. The order of things is here."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning import VERSION
from tuning.assemble import make_driver, make_session
from tuning.conduct_clock import ClockFirst, disturbed
from tuning.config import SearchConfig, warm_start_faults
from tuning.description import (
    describe,
    refuse_fewer_trials,
    refuse_other_data,
    stored_config,
    stored_form,
    trials_of,
)
from tuning.driver import Nothing
from tuning.errors import BadInput, Interrupted, SearchFailed
from tuning.lease import Lease
from tuning.resources import Machine, Resources
from tuning.run_info import STOP_FILE, RunInfo
from tuning.session import SearchSession, Watcher
from tuning.store import Problem, Store

if TYPE_CHECKING:
    import pandas as pd

    from models.workload import Workload

STOPPED_BY_USER = "stopped on request"


@dataclass(frozen=True)
class SearchResult:
    """What a search leaves.

    Attributes:
        run: the run directory.
        trials: one row a trial, as ``tuning.load`` gives it.
        stop_reason: why it ended before all trials were done, or None.

    """

    run: Path
    trials: pd.DataFrame
    stop_reason: str | None


def run_search(config: SearchConfig, *, watcher: Watcher | None = None) -> SearchResult:
    """Start the search that ``config`` describes and see it through.

    Raises:
        BadInput: the configuration has faults; all are named and nothing was created.
        Interrupted: it was stopped on request (Ctrl-C); everything is kept.
        SearchFailed: it cannot go on.

    """
    if faults := config.faults():
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


def with_clock_of(
    other: Path, info: RunInfo, config: SearchConfig, workload: Workload, resources: Resources
) -> RunInfo:
    """The new run's description ``info`` with the clock of the run at ``other``; where it is from is said.

    Raises:
        BadInput: that clock does not hold for this search.
    """
    from tuning.taken_clock import described, take_clock

    info, costs = take_clock(info, other, config, workload, resources)
    say(described(costs, other))
    if costs.disturbances:
        say(f"warning: {disturbed(costs)}")
    return info


def fitted_to_device(config: SearchConfig, workload: Workload) -> SearchConfig:
    """The search with the ``device_choices`` that this device and the workload's model leave; what is left out is said.

    Only before a run is created: a search that goes on keeps the space it began with. Trials that run elsewhere, on a
    cluster, are not known here: theirs fail with the reason.

    Raises:
        BadInput: nothing would be left, or nothing that a warm start is of use for.
    """
    from tuning.device_space import fit_space, needs_fitting

    space = config.search_space()
    if config.address is not None or not needs_fitting(space):
        return config
    from models.levers.capabilities import form_fault
    from tuning.worker_place import run_device

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
    """Go on with the search in directory ``run``; ``changes`` are options it is to have from now on.

    With ``retry_failed`` its failed trials run again, under their numbers.

    Raises:
        BadInput: not a run, a run of another version, or changes it cannot have.
        Interrupted, SearchFailed: as ``run_search``.

    """
    from tuning.arguments import CHANGEABLE, Resume

    changes = changes or {}
    may_change = {name: value for name, value in changes.items() if name in CHANGEABLE}
    given = {name: value for name, value in changes.items() if name not in CHANGEABLE}
    return carry_on(Resume(run, may_change, given, retry_failed), watcher)


def carry_on(request: Any, watcher: Watcher | None = None) -> SearchResult:
    """Go on with the search that a ``Resume`` request names; see ``resume_search``."""
    from models.registry import find_workload
    from tuning.arguments import resumed

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


def conduct(
    store: Store,
    config: SearchConfig,
    workload: Workload,
    resources: Resources,
    watcher: Watcher | None,
    *,
    retry_failed: bool = False,
) -> SearchResult:
    """Hold the run, run its tasks, and leave its report."""
    with Lease.acquire(store.path, on_wait=say) as lease:
        try:
            store = Store.open(store.path, epoch=lease.epoch)
            stop_reason = hold(store, config, workload, resources, watcher, retry_failed)
        except OSError as error:
            raise SearchFailed(
                f"the run directory must stay readable and writable, but got: {error}; everything recorded before is "
                f"kept. Make room or restore access, then go on with --resume {store.path}"
            ) from error
    if stop_reason == STOPPED_BY_USER:
        raise Interrupted(resume_command(store.path))
    return SearchResult(store.path, store.frame(), stop_reason)


def hold(
    store: Store,
    config: SearchConfig,
    workload: Workload,
    resources: Resources,
    watcher: Watcher | None,
    retry_failed: bool,
) -> str | None:
    """All that is done to a run while it is held. Returns why the search stopped early, or None."""
    from tuning.watch import watching

    warnings = [warning_of(problem, store) for problem in store.tidy()]
    if retry_failed:
        say(f"failed trials that run again: {len(store.retry_failed())}")
        store.update_info(refused_forms={})
    store.update_info(config=stored_form(config, resources))
    keep_warm_start(store, config)
    (store.path / STOP_FILE).unlink(missing_ok=True)
    recorded = trials_of(store)
    with watching(watcher, trials=config.trials, recorded=recorded, concurrency=resources.concurrency) as watch:
        for warning in warnings:
            watch.warn(warning)
        stop_reason = None
        if recorded < config.trials or store.count_in_flight():
            stop_reason = run_tasks(store, config, workload, resources, store.epoch or 0, watch)
    while store.compact():
        pass
    store.tidy()  # workers that died left what they were writing
    write_report(store)
    return stop_reason


def keep_warm_start(store: Store, config: SearchConfig) -> None:
    """Copy what another run knows into this one, once, where the search was asked to start from it."""
    if config.warm_start is None:
        return
    from tuning.warm_start_file import described, keep

    other = Path(config.warm_start)
    knowledge = keep(store, other, config.search_space())
    if knowledge is not None:
        say(described(knowledge, other))


def warning_of(problem: Problem, store: Store) -> str:
    """What is wrong with a file among the records, and what was done about it."""
    done = "its trials count" if problem.kind == "older" else f"moved to {store.path / 'set_aside'}"
    return f"{problem}; {done}"


def say(message: str) -> None:
    """Tell the user before there is a watcher."""
    print(message, file=sys.stderr)


def run_tasks(
    store: Store,
    config: SearchConfig,
    workload: Workload,
    resources: Resources,
    epoch: int,
    watch: Watcher,
) -> str | None:
    """Set the clock, then run the session's tasks. Returns why the search stopped early, or None."""
    watch.phase("starting workers")
    with make_driver(store.path, config, resources, epoch) as driver:
        source = ClockFirst(
            store,
            watch,
            lambda: make_session(store, config, workload, resources, watch),
            idle=Nothing.FULL if resources.fills else Nothing.WAIT,
        )
        with stopping_on_signals(source):
            driver.drive(source)
    (store.path / STOP_FILE).unlink(missing_ok=True)
    return source.stop_reason


@contextlib.contextmanager
def stopping_on_signals(session: SearchSession | ClockFirst) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) stops cleanly; a second one stops at once, which loses no finished trial either."""

    def stop(number: int, frame: object) -> None:
        if session.stop_reason is not None:
            raise KeyboardInterrupt
        session.request_stop(STOPPED_BY_USER)

    try:
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: a notebook's or a test's own handling holds
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def resume_command(run: Path) -> str:
    """What to type to go on."""
    return f"python -m tuning.search --resume {shlex.quote(str(run))}"


def write_report(store: Store) -> None:
    """RUN/report.html and RUN/front.png, if there is anything to show."""
    from tuning.background import background_of
    from tuning.report import write_report as write

    if store.numbers():
        write(store.path, store.frame(), dataclasses.asdict(store.info), background_of(store))
