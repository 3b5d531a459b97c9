"""A list of recipes, each trained on a seed by the session and the worker of a search.

In a run directory that is made for the list, on a clock that is given, without forks, one run's
result nothing to another; or in a search's own, when that is over.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.config.resources import Resources
from tuning.drivers.driver import Driver
from tuning.drivers.serial import SerialDriver
from tuning.errors import Interrupted, SearchFailed
from tuning.layout import STOP
from tuning.report.progress import progress_on
from tuning.session.conduct import stopping_on_signals
from tuning.session.plan import ListPlan
from tuning.session.session import SearchSession
from tuning.session.watch import TerminalWatch, Watcher
from tuning.store.info import KnobKind, RunInfo
from tuning.store.lease import Lease
from tuning.store.store import Store
from tuning.study.listed import ListStudy, Run, run_key
from tuning.trial.clock import CostTable, baseline_seconds
from tuning.trial.metric import Metric
from tuning.trial.task import said
from tuning.trial.trial import TrialRecord, TrialSpec
from tuning.version import VERSION

if TYPE_CHECKING:
    from models.workload import Workload

NO_TARGET = 0.0
"""The target of a list. A session needs a loss to reach, but nobody asks whether a list's run
reached it.
"""


@dataclass(frozen=True)
class Subject:
    """The workload that is trained, and how a worker finds it.

    Attributes:
        name: the name by which a worker finds it.
        corpus: directory of text, where it takes one; else None.
        workload: the workload itself.
    """

    name: str
    corpus: Path | None
    workload: Workload

    @classmethod
    def find(cls, name: str, corpus: Path | None = None) -> Subject:
        """The subject that has this name.

        Raises:
            ValueError: there is no such workload, or it takes no corpus.
        """
        from models.registry import find_workload

        return cls(name, corpus, find_workload(name, corpus))


def create_list(
    path: Path, subject: Subject, costs: CostTable, columns: Mapping[str, KnobKind]
) -> Store:
    """Create a run directory for recipes whose knobs are among ``columns``, given by type.

    Raises:
        BadInput: ``path`` exists, or cannot be written.
    """
    alone = Resources(concurrency=1, threads=costs.threads, cpus_per_trial=1, gpus_per_trial=0)
    corpus = None if subject.corpus is None else str(subject.corpus)
    info = RunInfo(
        version=VERSION,
        created_at=datetime.now(UTC),
        config={
            "workload": subject.name,
            "corpus": corpus,
            "forks": False,
            "resources": asdict(alone),
        },
        knob_columns=dict(columns),
        workload_fingerprint=subject.workload.fingerprint,
        device=costs.device,
        calibration=costs,
        metric=Metric.measured_by(subject.workload),
        metrics=subject.workload.metric_names,
    )
    return Store.create(path, info)


def train_list(
    path: Path, specs: Sequence[TrialSpec], steps: int, watcher: Watcher, workers: int = 1
) -> None:
    """Train the specs that are not recorded in the run directory ``path``, ``workers`` at once.

    Args:
        path: a directory that ``create_list`` made.
        specs: what is to be trained; a recipe on a seed has one record.
        steps: the number of steps of the workload's full-update baseline.
        watcher: told of everything that happens; what it raises stops the session.
        workers: runs at once; 1: in this process.

    Raises:
        SearchFailed: the workload does not train at all, or the directory cannot be written.
    """
    with Lease.acquire(path) as lease:
        store = Store.open(path, epoch=lease.epoch)
        store.tidy()
        costs = store.info.calibration
        assert costs is not None, "a list's directory is made with its clock"
        study = ListStudy(store, specs, recorded_runs(store))
        plan = ListPlan(store, study, NO_TARGET, baseline_seconds(costs, steps), at_once=workers)
        with _driver(store, costs, workers) as driver:
            if workers == 1:
                warmed_up(path)
            driver.drive(SearchSession(store, plan, watcher))
        while store.compact():
            pass


def train_more(  # a list, what each run is told, and what looks on
    store: Store,
    specs: Sequence[TrialSpec],
    target: float,
    steps: int,
    watcher: Watcher | None,
    workers: int = 1,
) -> None:
    """Train ``specs`` in a search's run directory.

    Args:
        store: opened under the lease.
        specs: runs that have no record; those that a killed list left in flight are gone on with.
        target: the loss whose time each record tells.
        steps: the number of steps of the workload's full-update baseline.
        watcher: None: one that draws on standard error.
        workers: runs at once; 1: in this process, with nothing beside it.

    Raises:
        Interrupted: stopped on request; everything is kept.
        SearchFailed: the workload does not train at all, or the directory cannot be written.
    """
    costs = store.info.calibration
    assert costs is not None, "a search's clock is set when it is over"
    with _watching(watcher, len(specs), workers, store) as watch:
        study, baseline = ListStudy(store, specs), baseline_seconds(costs, steps)
        plan = ListPlan(store, study, target, baseline, at_once=workers)
        session = SearchSession(store, plan, watch)
        if specs:
            watch.phase("warming up" if workers == 1 else "starting workers")
        with _driver(store, costs, workers if specs else 1) as driver:
            if specs and workers == 1:
                warmed_up(store.path)
            with stopping_on_signals(session):
                driver.drive(session)
    (store.path / STOP).unlink(missing_ok=True)
    if session.stop_reason is not None:
        raise Interrupted(session.stop_reason)


def lasts(
    specs: Sequence[TrialSpec], workload: Workload, costs: CostTable, workers: int = 1
) -> float:
    """About how many seconds the runs and their evaluations take on a quiet machine with a core for
    each of the workers.
    """
    evaluations = workload.steps / workload.eval_every + 1
    whole = baseline_seconds(costs, workload.steps) + evaluations * costs.evaluation_seconds
    return whole * sum(spec.recipe.horizon for spec in specs) / workers


class ListWatch(TerminalWatch):
    """Draws a list of runs as ``TerminalWatch`` draws a search, without a best gain: runs of
    different seeds say nothing about each other.
    """

    def _improve(self, record: TrialRecord) -> bool:
        return False

    def _begun(self, target: str) -> str:
        return target  # how many there are was said before they are waited for


@contextlib.contextmanager
def _watching(watcher: Watcher | None, left: int, workers: int, store: Store) -> Iterator[Watcher]:
    """The watcher that was handed in, or one that draws on standard error."""
    if watcher is not None:
        yield watcher
        return
    recorded, metric = len(store.numbers()), store.info.metric
    with progress_on() as progress:
        yield ListWatch(
            progress,
            trials=recorded + left,
            recorded=recorded,
            concurrency=workers,
            metric=metric,
        )


def recorded_runs(store: Store) -> dict[Run, TrialRecord]:
    """Every record, by its recipe and seed."""
    return {run_key(record): record for record in map(store.record, store.numbers())}


def _driver(store: Store, costs: CostTable, workers: int) -> Driver:
    if workers == 1:
        return SerialDriver(store.path, threads=costs.threads, epoch=store.epoch or 0)
    from models.device import run_device
    from tuning.drivers.ray_driver import RayDriver

    return RayDriver(
        store.path,
        concurrency=workers,
        cpus_per_trial=costs.threads,
        gpus_per_trial=1 / workers if run_device().type == "cuda" else 0.0,
        threads=costs.threads,
        epoch=store.epoch or 0,
    )


def warmed_up(run: Path) -> None:
    """Train a few steps of the run's workload here, so that no measured time includes a process's
    first steps.

    Raises:
        SearchFailed: they cannot be trained.
    """
    from tuning.training.clock_tasks import warm_up

    try:
        warm_up(run)
    except Exception as fault:
        raise SearchFailed(f"the workload must train, but it raised {said(fault)}") from fault
