"""How a confirmation is conducted: plan, lease, driver, runs one after another, verdict, report."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.config.resources import usable_cpus
from tuning.errors import BadInput
from tuning.findings.context import noise_of_records
from tuning.findings.front import finished, numbers
from tuning.findings.judge import judge
from tuning.findings.rivals import RivalRuns, beside_rivals
from tuning.findings.summary import unreached
from tuning.findings.verdict import Run, Time, Verdict, run_of
from tuning.layout import STOP, VERDICT
from tuning.report.progress import duration
from tuning.session.conduct import write_report
from tuning.session.description import refuse_other_data, stored_config
from tuning.session.listed import lasts, train_more
from tuning.session.watch import Watcher, say
from tuning.store.files import FILES
from tuning.store.info import RunInfo
from tuning.store.lease import Lease
from tuning.store.store import Store
from tuning.study.confirmation import (
    Plan,
    choose,
    control_faults,
    control_horizons,
    fresh_seeds,
    priced,
    used_seeds,
)
from tuning.study.listed import run_key
from tuning.study.rivals import behind, rivals_of
from tuning.trial.outcome import outcomes_of
from tuning.trial.recipe import CONTROL_POLICY, Recipe
from tuning.trial.trial import CONFIRMATION, TrialRecord
from tuning.version import VERSION

if TYPE_CHECKING:
    from models.workload import Workload


@dataclass(frozen=True)
class Request:
    """What is to be confirmed.

    Attributes:
        run: the run directory.
        top: how many schedules; None for three, or as many as there are.
        seeds: how many fresh seeds, at least 2.
        target: the value of the metric whose time is told; None for the run's own.
        time: the seconds by which to judge, measured ones or the clock's solo ones.
        concurrency: runs at once; None: one, and as many as the search had by solo seconds.
    """

    run: Path
    top: int | None = None
    seeds: int = 5
    target: float | None = None
    time: Time = "measured"
    concurrency: int | None = None


@dataclass(frozen=True)
class Device:
    """What this process would train on: the device's name, as records carry it, and the cores it
    may use.
    """

    name: str
    cpus: float

    @classmethod
    def here(cls) -> Device:
        """The device of this process. Imports torch."""
        from models.device import device_name, run_device

        return cls(device_name(run_device()), usable_cpus())


def confirm(
    request: Request,
    *,
    watcher: Watcher | None = None,
    device: Device | None = None,
    told: Callable[[str], None] = say,
) -> tuple[Verdict, str]:
    """Train the runs that are missing, and judge. Returns the verdict and a remark on how the
    candidates were chosen (empty if there is none).

    Args:
        request: what is asked for.
        watcher: told of everything that happens; None: one that draws on standard error.
        device: the device that would train; None: this process's.
        told: called before the first run with the number of runs and about how long they take.

    Raises:
        BadInput: it cannot be confirmed; every reason is named and nothing was trained.
        Interrupted: stopped on request; everything is kept.
        SearchFailed: it cannot go on.
    """
    from models.registry import find_workload

    store = Store.open(request.run)
    store.info.require_version(VERSION)
    device = device or Device.here()
    plan = plan_of(store, request, device)
    config = stored_config(store)
    try:
        workload = find_workload(config.workload, Path(config.corpus) if config.corpus else None)
    except ValueError as fault:
        raise BadInput(str(fault)) from None
    refuse_other_data(store, config, workload)
    with Lease.acquire(request.run) as lease:
        store = Store.open(request.run, epoch=lease.epoch)
        store.tidy()
        (store.path / STOP).unlink(missing_ok=True)
        workers = at_once(store, request, device)
        _train(store, plan, workload, watcher, told, workers)
        while store.compact():
            pass
        verdict = verdict_of(store, plan)
        FILES.write_atomic(store.path / VERDICT, verdict.to_json().encode())
        write_report(store)
    return verdict, plan.remark


def plan_of(store: Store, request: Request, device: Device) -> Plan:
    """The runs that the request needs in this run directory.

    Raises:
        BadInput: nothing can be confirmed; names all faults.
    """
    from tuning.study.baselines import baseline_specs

    if request.seeds < 2:
        raise BadInput(
            f"seeds must be at least 2, but got {request.seeds}: one seed alone shows no spread"
        )
    frame = store.light_frame()
    outcomes = outcomes_of(frame)
    config = stored_config(store)
    horizons = control_horizons(outcomes)
    baselines = min(
        config.trials,
        len(baseline_specs(config.workload, config.seed, space=config.search_space())),
    )
    target = _target(store.info, request)
    faults = [
        *device_faults(store, device),
        *concurrency_faults(store, request, device),
        *control_faults(store.path, horizons, outcomes, baselines),
    ]
    if faults or target is None:
        # Without the control nothing else can be looked up.
        raise BadInput(
            faults
            or [
                f"{store.path} must have a target, but its search set none yet; go on with it first"
            ]
        )
    noise = noise_of_records(store.references().values())
    limit = 0.0 if noise is None else noise.limit
    candidates, remark, faults = choose(frame, request.top, target, limit)
    own = finished(frame)
    if target < numbers(own, "val_loss").min():
        faults.append(unreached("the target", target, own, store.info.metric))
    if faults:
        raise BadInput(faults)
    seeds = fresh_seeds(used_seeds(store, frame), config.seed, request.seeds)
    return Plan(
        candidates,
        priced(frame, candidates, horizons),
        seeds,
        target,
        remark,
        rivals_of(frame, candidates),
        behind(frame, candidates),
        request.time,
    )


def _target(info: RunInfo, request: Request) -> float | None:
    """The loss whose time is told: the one asked for, or the run's own; None where there is none
    yet.
    """
    if request.target is not None:
        return info.metric.loss(request.target)
    return None if info.target is None else info.target.loss


def device_faults(store: Store, device: Device) -> list[str]:
    """How the device that would train differs from what the clock was calibrated for."""
    costs = store.info.calibration
    if costs is None:
        return [
            f"the clock must be calibrated, but that of {store.path} is not; go on with its search "
            "first"
        ]
    advice = "do so on the machine of the search, or search again on this one"
    faults = []
    if device.name != costs.device:
        faults.append(
            f"runs must be repeated on the device the clock was calibrated on ({costs.device}), "
            "but this is "
            f"{device.name}; {advice}"
        )
    if costs.threads > max(1, math.floor(device.cpus)):
        faults.append(
            f"a run computes with the {costs.threads} threads the clock was calibrated with, but "
            "this process may use "
            f"{device.cpus:g} cores; {advice}"
        )
    return faults


def concurrency_faults(store: Store, request: Request, device: Device) -> list[str]:
    """What is wrong with the number of runs at once that was asked for."""
    if request.concurrency is None:
        return []
    fit = fitting(store, device)
    if request.concurrency > 1 and request.time == "measured":
        return [
            f"--concurrency must be 1 where measured seconds decide, but got {request.concurrency}:"
            " they are those of a run with nothing beside it; add --time solo"
        ]
    if not 1 <= request.concurrency <= fit:
        return [
            f"--concurrency must be between 1 and {fit}, the runs that this process's cores hold, "
            f"but got {request.concurrency}"
        ]
    return []


def at_once(store: Store, request: Request, device: Device) -> int:
    """How many runs train at once: as many as were asked for.

    Where no number was asked for it is one, or that of the search's trials where solo seconds
    decide and the search's trials shared cores and no GPU.
    """
    if request.concurrency is not None:
        return request.concurrency
    asked, given = store.info.config.get("driver"), store.info.config["resources"]
    if request.time == "measured" or asked == "serial" or given["gpus_per_trial"]:
        return 1
    return min(int(given["concurrency"]), fitting(store, device))


def fitting(store: Store, device: Device) -> int:
    """How many runs the cores of this process hold."""
    costs = store.info.calibration
    return 1 if costs is None else max(1, math.floor(device.cpus / costs.threads))


def _train(  # who is told what, beside what is trained
    store: Store,
    plan: Plan,
    workload: Workload,
    watcher: Watcher | None,
    told: Callable[[str], None],
    workers: int,
) -> None:
    """Train the plan's runs that are not recorded, by a clock that was timed again with more
    care.
    """
    from tuning.training.clock_tasks import time_again

    done = {run_key(record) for record in replicates(store, plan.seeds)}
    specs = plan.specs(store.info.config["workload"])
    left = [spec for spec in specs if run_key(spec) not in done]
    costs = store.info.calibration
    assert costs is not None, "the plan was refused without a calibration"
    told(announced(plan, len(specs), len(left), lasts(left, workload, costs, workers)))
    time_again(store, [spec.recipe for spec in left], told)
    train_more(store, left, plan.target, workload.steps, watcher, workers)


def announced(plan: Plan, runs: int, left: int, seconds: float) -> str:
    """A text for the user: what will be trained, how much of it is left, and about how long it
    takes.

    Args:
        plan: the plan whose runs they are.
        runs: the number of runs in all.
        left: the number that are not recorded yet.
        seconds: about how long those take.
    """
    count = len(plan.candidates)
    parts = [
        "1 recipe" if count == 1 else f"{count} recipes",
        f"your own at {len(plan.horizons)} lengths",
        *(f"the {kind} one at {len(rival.horizons)}" for kind, rival in plan.rivals.items()),
    ]
    what = f"{', '.join(parts[:-1])} and {parts[-1]}, each on {len(plan.seeds)} fresh seeds"
    rest = "" if left == runs else f", of which {left} are left"
    time = f"; about {duration(seconds)} on a quiet machine" if left else ""
    return f"{runs} trainings{rest}: {what}{time}"


def replicates(store: Store, seeds: Sequence[int]) -> list[TrialRecord]:
    """The recorded runs of confirmations on these seeds, by number."""
    frame = store.frame(("number", "origin", "seed"))
    wanted = (frame["origin"] == CONFIRMATION) & frame["seed"].isin(list(seeds))
    return [store.record(int(number)) for number in frame.loc[wanted, "number"]]


def verdict_of(store: Store, plan: Plan) -> Verdict:
    """The verdict on what is recorded of the plan."""
    records = replicates(store, plan.seeds)
    by_schedule: dict[Recipe, list[Run]] = {}
    for record in records:
        found = by_schedule.setdefault(record.recipe, [])
        if (run := run_of(record, plan.target)) is not None:
            found.append(run)
    candidates = [(c, by_schedule.get(c.recipe, [])) for c in plan.candidates]
    control = {h: by_schedule.get(Recipe(CONTROL_POLICY, h), []) for h in plan.horizons}
    verdict = judge(
        candidates,
        control,
        seeds=plan.seeds,
        target=plan.target,
        tested=len(_tested(records, plan)),
        metric=store.info.metric,
        time=plan.time,
    )
    rivals = {
        kind: RivalRuns(rival.found, {r.horizon: by_schedule.get(r, []) for r in rival.recipes()})
        for kind, rival in plan.rivals.items()
    }
    runs = {c.number: runs for c, runs in candidates}
    return beside_rivals(verdict, runs, rivals, control, plan.behind)


def _tested(records: Sequence[TrialRecord], plan: Plan) -> set[Recipe]:
    """The recipes that p-values are corrected for: the candidates, and every recipe but a control
    that was tested on these seeds before. Otherwise one could confirm until something wins by
    chance.
    """
    seen = {record.recipe for record in records if record.recipe.control_kind is None}
    return seen | {candidate.recipe for candidate in plan.candidates}
