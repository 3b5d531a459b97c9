"""How a search is conducted: run directory, lease, driver, calibration, trials, report.

The order of things is here.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.config.config import SearchConfig
from tuning.config.resources import Resources
from tuning.drivers.driver import Nothing
from tuning.errors import Interrupted, SearchFailed
from tuning.layout import PAGE, PICTURE, STOP, resume_command, resume_option
from tuning.session.calibrations import ClockFirst
from tuning.session.description import (
    is_done,
    stored_form,
    trials_of,
)
from tuning.session.identity import remarks_on
from tuning.session.importance import note_importance
from tuning.session.plan import SearchPlan, make_driver
from tuning.session.session import SearchSession
from tuning.session.telling import told
from tuning.session.watch import Watcher, say
from tuning.store.directory import read_info
from tuning.store.files import FILES
from tuning.store.lease import Lease
from tuning.store.store import Problem, Store
from tuning.store.upkeep import FINISHED

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
                f"the run directory must stay readable and writable, but got: {error}; everything "
                "recorded before is "
                f"kept. Make room or restore access, then go on with {resume_option(store.path)}"
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
    """Do all that is done to a run while it is held; returns why the search stopped early, or
    None.
    """
    from tuning.session.watch import watching

    warnings = [warning_of(problem, store) for problem in store.tidy()]
    if retry_failed:
        say(f"failed trials that run again: {len(store.retry_failed())}")
        store.update_info(refused_forms={})
    store.update_info(config=stored_form(config, resources))
    keep_warm_start(store, config)
    (store.path / STOP).unlink(missing_ok=True)
    recorded = trials_of(store)
    with watching(
        watcher,
        trials=config.trials,
        recorded=recorded,
        concurrency=resources.concurrency,
        metric=store.info.metric,
    ) as watch:
        for warning in warnings:
            watch.warn(warning)
        stop_reason = None
        if recorded < config.trials or store.count_in_flight():
            with told(watch, config, store) as telling:
                epoch = store.epoch or 0
                stop_reason = run_tasks(store, config, workload, resources, epoch, telling)
    while store.compact():
        pass
    store.tidy()  # workers that died left what they were writing
    note_importance(store, config)
    if is_done(store):
        store.thin_trunks(FINISHED)
    write_report(store)
    return stop_reason


def keep_warm_start(store: Store, config: SearchConfig) -> None:
    """Copy what another run knows into this one, once, where the search was asked to start from
    it.
    """
    if config.warm_start is None:
        return
    from tuning.study.warm_start import described, keep

    other = Path(config.warm_start)
    knowledge = keep(store, other, config.search_space())
    if knowledge is not None:
        say(described(knowledge, other))
        theirs = read_info(other)
        if theirs.config.get("workload") == config.workload:
            for remark in remarks_on(theirs, of=other):
                say(f"warning: {remark}")


def warning_of(problem: Problem, store: Store) -> str:
    """What is wrong with a file among the records, and what was done about it."""
    done = "its trials count" if problem.kind == "older" else f"moved to {store.path / 'set_aside'}"
    return f"{problem}; {done}"


def run_tasks(
    store: Store,
    config: SearchConfig,
    workload: Workload,
    resources: Resources,
    epoch: int,
    watch: Watcher,
) -> str | None:
    """Set the clock, then run the session's tasks; returns why the search stopped early, or
    None.
    """
    watch.phase("starting workers")
    with make_driver(store.path, config, resources, epoch) as driver:
        source = ClockFirst(
            store,
            watch,
            lambda: SearchSession(
                store, SearchPlan(store, config, workload, resources, watch.note), watch
            ),
            idle=Nothing.FULL if resources.fills else Nothing.WAIT,
        )
        with stopping_on_signals(source):
            driver.drive(source)
    (store.path / STOP).unlink(missing_ok=True)
    return source.stop_reason


@contextlib.contextmanager
def stopping_on_signals(session: SearchSession | ClockFirst) -> Iterator[None]:
    """Within the block the first Ctrl-C (or SIGTERM) stops the session cleanly. A second one stops
    it at once, and loses no finished trial either.
    """

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


def write_report(store: Store) -> None:
    """Write RUN/report.html and RUN/front.png, if there is anything to show."""
    from tuning.findings.context import background_of
    from tuning.findings.summary import summary
    from tuning.report.render import render

    if not store.numbers():
        return
    frame, info = store.frame(), store.info.facts()
    reading = summary(frame, background=background_of(store))
    for kind, name in (("html", PAGE), ("png", PICTURE)):
        FILES.write_atomic(store.path / name, render(kind, reading, frame, info))
