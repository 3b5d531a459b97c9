"""How a recipe is taken apart: plan, lease, driver, runs one after another, findings, report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tuning.config.config import SearchConfig
from tuning.errors import BadInput
from tuning.findings.apart import Apart
from tuning.findings.context import background_of
from tuning.findings.front import controls, finished
from tuning.findings.gains import Controls
from tuning.findings.summary import summary
from tuning.findings.verdict import Candidate
from tuning.findings.win_words import leader
from tuning.layout import APART, STOP
from tuning.report.progress import duration
from tuning.session.conduct import write_report
from tuning.session.confirm import Device, device_faults
from tuning.session.description import refuse_other_data, stored_config
from tuning.session.listed import lasts, train_more
from tuning.session.watch import Watcher, say
from tuning.store.files import FILES
from tuning.store.lease import Lease
from tuning.store.store import Store
from tuning.study.apart import Plan, apart_of, known_runs, seeds_of
from tuning.study.confirmation import baseline_faults, used_seeds
from tuning.trial.clock import CostTable
from tuning.trial.outcome import outcomes_of
from tuning.trial.trial import TrialSpec
from tuning.version import VERSION

if TYPE_CHECKING:
    from models.workload import Workload


@dataclass(frozen=True)
class Request:
    """What is to be taken apart.

    Attributes:
        run: the run directory.
        trial: whose recipe; None for the one that the headline is about.
        seeds: on how many each run is trained, the trial's own among them.
    """

    run: Path
    trial: int | None = None
    seeds: int = 1


def take_apart(
    request: Request,
    *,
    watcher: Watcher | None = None,
    device: Device | None = None,
    told: Callable[[str], None] = say,
) -> Apart:
    """Train the runs that are missing, and return what each piece brings.

    Args:
        request: what is asked for.
        watcher: told of everything that happens; None: one that draws on standard error.
        device: the device that would train; None: this process's.
        told: called before the first run with the number of runs and about how long they take.

    Raises:
        BadInput: it cannot be taken apart; every reason is named and nothing was trained.
        Interrupted: stopped on request; everything is kept.
        SearchFailed: it cannot go on.
    """
    store = Store.open(request.run)
    store.info.require_version(VERSION)
    plan = plan_of(store, request)
    if len(plan.pieces) > 1:
        store = _trained(store, plan, watcher, device or Device.here(), told)
    with Lease.acquire(request.run) as lease:
        store = Store.open(request.run, epoch=lease.epoch)
        found = findings(store, plan)
        FILES.write_atomic(store.path / APART, found.to_json().encode())
        write_report(store)
    return found


def plan_of(store: Store, request: Request) -> Plan:
    """The runs that the request needs in this run directory.

    Raises:
        BadInput: it cannot be taken apart; names all faults.
    """
    from tuning.study.baselines import baseline_specs

    if request.seeds < 1:
        raise BadInput(f"seeds must be at least 1, but got {request.seeds}")
    config, frame = stored_config(store), store.light_frame()
    baselines = baseline_specs(config.workload, config.seed, space=config.search_space())
    count = min(config.trials, len(baselines))
    faults = baseline_faults(store.path, outcomes_of(frame), count)
    number, fault = _number(store, frame, request.trial)
    faults += fault
    if store.info.target is None:
        faults.append(
            f"{store.path} must have a target, but its search set none yet; go on with it"
        )
    if faults or number is None or store.info.target is None:
        raise BadInput(faults)
    record = store.record(number)  # a table's values are numpy's, which no knob takes
    seeds = seeds_of(record.seed, used_seeds(store, frame), config.seed, request.seeds)
    return Plan(Candidate(number, record.recipe), seeds, store.info.target.loss)


def _number(store: Store, frame: pd.DataFrame, trial: int | None) -> tuple[int | None, list[str]]:
    """The number of the trial that is taken apart, or None with what is wrong."""
    runs = finished(frame)
    if not controls(runs).any():
        return None, [
            f"a gain needs the control, a finished full_update with no lever pulled, but "
            f"{store.path} has none; search further"
        ]
    if trial is None:
        best = leader(summary(frame, background=background_of(store)))
        return (None, [NO_WINNER]) if best is None else (best.number, [])
    if trial not in set(runs["number"]):
        return None, [
            f"--trial must be a trial of the search that finished, but {trial} is none in "
            f"{store.path}; its report lists them"
        ]
    return trial, []


NO_WINNER = (
    "a recipe must gain something over your own to be taken apart, but none of this search does; "
    "search further, or give --trial N to take another apart"
)


def _trained(
    store: Store,
    plan: Plan,
    watcher: Watcher | None,
    device: Device,
    told: Callable[[str], None],
) -> Store:
    """The run, opened anew, with every run of the plan recorded."""
    if faults := device_faults(store, device):
        raise BadInput(faults)
    config = stored_config(store)
    workload = _workload(config)
    refuse_other_data(store, config, workload)
    with Lease.acquire(store.path) as lease:
        store = Store.open(store.path, epoch=lease.epoch)
        store.tidy()
        (store.path / STOP).unlink(missing_ok=True)
        specs = plan.specs(config.workload, known_runs(store.light_frame(), plan))
        costs = store.info.calibration
        assert costs is not None, "the plan was refused without a calibration"
        told(announced(plan, specs, workload, costs))
        train_more(store, specs, plan.target, workload.steps, watcher)
        while store.compact():
            pass
    return store


def announced(plan: Plan, specs: list[TrialSpec], workload: Workload, costs: CostTable) -> str:
    """How many runs there will be, of which pieces, and about how long they take."""
    names = ", ".join(piece.name for piece in plan.pieces)
    lead = f"trial {plan.found.number} has {len(plan.pieces)} levers: {names}"
    if not specs:
        return f"{lead}; every run is recorded already"
    runs = "1 run" if len(specs) == 1 else f"{len(specs)} runs"
    time = duration(lasts(specs, workload, costs))
    return f"{lead}; {runs}, about {time} beside what the clock must time"


def _workload(config: SearchConfig) -> Workload:
    from models.registry import find_workload

    try:
        return find_workload(config.workload, Path(config.corpus) if config.corpus else None)
    except ValueError as fault:
        raise BadInput(str(fault)) from None


def findings(store: Store, plan: Plan) -> Apart:
    """What the records of the run say of the plan."""
    frame = store.light_frame()
    return apart_of(
        plan,
        known_runs(frame, plan),
        Controls.of(frame).own,
        background_of(store).noise,
        store.info.metric,
    )
