"""A list of recipes, each trained on a seed by the session and the worker of a search.

The run directory is made for the list: on a clock that is given, without forks, one run's result
nothing to another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.config.resources import Resources
from tuning.drivers.driver import Driver
from tuning.drivers.serial import SerialDriver
from tuning.errors import SearchFailed
from tuning.session.plan import ListPlan
from tuning.session.session import SearchSession
from tuning.session.watch import Watcher
from tuning.store.info import RunInfo
from tuning.store.lease import Lease
from tuning.store.store import Store
from tuning.study.baselines import policy_columns
from tuning.study.listed import ListStudy, Run, run_key
from tuning.training.clock_tasks import warm_up
from tuning.trial.clock import CostTable, baseline_seconds
from tuning.trial.metric import Metric
from tuning.trial.task import said
from tuning.trial.trial import TrialRecord, TrialSpec
from tuning.version import VERSION

if TYPE_CHECKING:
    from models.workload import Workload

NO_TARGET = 0.0
"""A session is told a loss to reach; of a list nobody asks whether it was reached."""


@dataclass(frozen=True)
class Subject:
    """What is trained.

    Attributes:
        name: by which a worker finds it.
        corpus: of text, where it takes one.
        workload: itself.
    """

    name: str
    corpus: Path | None
    workload: Workload

    @classmethod
    def find(cls, name: str, corpus: Path | None = None) -> Subject:
        """The subject that has this name.

        Raises:
            ValueError: there is none, or it takes no corpus.
        """
        from models.registry import find_workload

        return cls(name, corpus, find_workload(name, corpus))


def create_list(path: Path, subject: Subject, costs: CostTable, policies: Iterable[str]) -> Store:
    """A run directory for recipes of these policies.

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
        knob_columns=policy_columns(policies),
        workload_fingerprint=subject.workload.fingerprint,
        device=costs.device,
        calibration=costs,
        metric=Metric.measured_by(subject.workload),
    )
    return Store.create(path, info)


def train_list(
    path: Path, specs: Sequence[TrialSpec], steps: int, watcher: Watcher, workers: int = 1
) -> None:
    """Train what is not recorded in the run directory ``path``, ``workers`` at once.

    Args:
        path: of ``create_list``.
        specs: what is to be trained; a recipe on a seed has one record.
        steps: of the workload's full-update baseline.
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
        plan = ListPlan(study, NO_TARGET, baseline_seconds(costs, steps))
        with _driver(store, costs, workers) as driver:
            if workers == 1:
                warmed_up(path)
            driver.drive(SearchSession(store, plan, watcher))
        while store.compact():
            pass


def recorded_runs(store: Store) -> dict[Run, TrialRecord]:
    """Every record by its recipe and seed."""
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
    """Train a few steps of the run's workload here, so that no measured time holds the first ones.

    Raises:
        SearchFailed: they cannot be trained.
    """
    try:
        warm_up(run)
    except Exception as fault:
        raise SearchFailed(f"the workload must train, but it raised {said(fault)}") from fault
