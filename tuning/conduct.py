"""How a search is conducted: run directory, lease, driver, calibration, trials, report. The order of things is here."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import shlex
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning import VERSION
from tuning.baselines import baseline_specs
from tuning.clock import baseline_seconds
from tuning.conduct_clock import calibrate, check_calibration
from tuning.config import SearchConfig
from tuning.driver import Driver
from tuning.errors import BadInput, Interrupted, SearchFailed
from tuning.history import history_of
from tuning.lease import Lease
from tuning.resources import Machine, Resources
from tuning.run_info import STOP_FILE, RunInfo, Target
from tuning.sampler import OptunaSampler
from tuning.session import SearchSession, Watcher
from tuning.store import Problem, Store
from tuning.study import Study
from tuning.trial import TrialSpec

if TYPE_CHECKING:
    import pandas as pd

    from models.workload import Workload

LIBRARIES = ("torch", "ray", "optuna", "pyarrow", "pandas", "numpy")
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
    resources = config.resources(Machine.here())
    store = Store.create(Path(config.run), describe(config, workload, resources))
    return conduct(store, config, workload, resources, watcher)


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


def describe(config: SearchConfig, workload: Workload, resources: Resources) -> RunInfo:
    """What run.json says of a new run."""
    from tuning.baselines import knob_columns

    return RunInfo(
        version=VERSION,
        created_at=datetime.now(UTC),
        config=stored_form(config, resources),
        knob_columns=knob_columns(config.search_space()),
        space_fingerprint=config.search_space().fingerprint(),
        workload_fingerprint=workload.fingerprint,
        versions={
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in LIBRARIES},
        },
    )


def stored_form(config: SearchConfig, resources: Resources) -> dict[str, Any]:
    """The configuration as run.json holds it: what was asked for, and under ``resources`` what that came to here."""
    return {**config.to_json(), "resources": dataclasses.asdict(resources)}


def stored_config(store: Store) -> SearchConfig:
    """The configuration that a run was last conducted with."""
    return SearchConfig.from_json({k: v for k, v in store.info.config.items() if k != "resources"})


def refuse_other_data(store: Store, config: SearchConfig, workload: Workload) -> None:
    """A run goes on over the data and the space it began with.

    Raises:
        BadInput: they have changed since.

    """
    now = {"workload": workload.fingerprint, "space": config.search_space().fingerprint()}
    before = {"workload": store.info.workload_fingerprint, "space": store.info.space_fingerprint}
    if faults := [
        f"the fingerprint of the {name} must be the one the run began with ({before[name]}), but got {now[name]}: "
        f"put the {name} back as it was, or start a new run"
        for name in now
        if now[name] != before[name]
    ]:
        raise BadInput(faults)


def refuse_fewer_trials(store: Store, config: SearchConfig) -> None:
    """A search can be extended, not cut.

    Raises:
        BadInput: more trials are recorded than are asked for.
    """
    recorded = trials_of(store)
    if recorded > config.trials:
        raise BadInput(f"--trials >= {recorded}, the trials that are recorded, must hold, but got {config.trials}")


def trials_of(store: Store) -> int:
    """Recorded trials, without the re-runs of a confirmation."""
    return int((store.frame(["origin"])["origin"] != "replicate").sum())


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
    store.update_info(config=stored_form(config, resources))
    (store.path / STOP_FILE).unlink(missing_ok=True)
    recorded = len(store.numbers())
    with watching(watcher, trials=config.trials, recorded=recorded, concurrency=resources.concurrency) as watch:
        for warning in warnings:
            watch.warn(warning)
        stop_reason = None
        if trials_of(store) < config.trials or store.count_in_flight():
            stop_reason = run_tasks(store, config, workload, resources, store.epoch or 0, watch)
    while store.compact():
        pass
    store.tidy()  # workers that died left what they were writing
    write_report(store)
    return stop_reason


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
    """Calibrate if need be, then run the session's tasks. Returns why the search stopped early, or None."""
    watch.phase("starting workers")
    with make_driver(store.path, config, resources, epoch) as driver:
        if store.info.calibration is None:
            watch.phase("calibrating the clock, alone on the device")
            calibrate(driver, store, watch)
        elif store.info.calibration.key:
            watch.phase("checking that the clock holds here")
            check_calibration(driver, store)
        session = make_session(store, config, workload, resources, watch)
        with stopping_on_signals(session):
            driver.drive(session)
    (store.path / STOP_FILE).unlink(missing_ok=True)
    return session.stop_reason


def make_driver(run: Path, config: SearchConfig, resources: Resources, epoch: int) -> Driver:
    """The driver that the configuration names."""
    if config.driver == "serial":
        from tuning.driver_serial import SerialDriver

        return SerialDriver(run, threads=resources.threads, epoch=epoch)
    from tuning.driver_ray import RayDriver

    return RayDriver(
        run,
        concurrency=resources.concurrency,
        cpus_per_trial=resources.cpus_per_trial,
        gpus_per_trial=resources.gpus_per_trial,
        threads=resources.threads,
        address=config.address,
        epoch=epoch,
    )


def make_session(
    store: Store, config: SearchConfig, workload: Workload, resources: Resources, watcher: Watcher
) -> SearchSession:
    """The session over what the store holds."""
    costs = store.info.calibration
    assert costs is not None, "a session begins after calibration"
    baseline = baseline_seconds(costs, workload.steps)

    def expected(spec: TrialSpec) -> float:
        evaluations = 3 * workload.steps / workload.eval_every + 1  # a light policy takes up to three times the steps
        return spec.horizon * baseline + evaluations * costs.evaluation_seconds

    watcher.expects(expected)
    return SearchSession(
        store,
        lambda target: make_study(store, config, target, baseline),
        target=target_of(config, workload),
        first_seed=config.seed,
        workload=config.workload,
        expected_seconds=expected,
        slowdown=resources.concurrency,
        watcher=watcher,
        forks=config.forks,
        drop_trunks=store.drop_trunks,
        time_budget=config.time_budget,
    )


def target_of(config: SearchConfig, workload: Workload) -> float | None:
    """The loss to reach where it is given, by the user or else by the workload; None for the automatic one."""
    target = workload.target if config.target == "auto" else config.target
    return None if target == "auto" else float(target)


def make_study(store: Store, config: SearchConfig, target: Target, trial_seconds: float) -> Study:
    """The study of the run, rebuilt from its records and the tasks in flight."""
    space = config.search_space()
    seed = config.seed if target.seed is None else target.seed
    history = history_of(store)
    recorded = {outcome.number for outcome in history}
    in_flight = [f.spec for f in store.in_flight() if f.task.isdigit() and f.spec.number not in recorded]
    return Study(
        space,
        baseline_specs(config.workload, seed),
        OptunaSampler(space, config.sampler, config.seed, config.objective, trial_seconds=trial_seconds),
        config.trials,
        workload=config.workload,
        seed=seed,
        target_loss=target.loss,
        history=history,
        in_flight=in_flight,
    )


@contextlib.contextmanager
def stopping_on_signals(session: SearchSession) -> Iterator[None]:
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
