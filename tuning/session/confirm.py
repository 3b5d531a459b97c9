"""How a confirmation is conducted: plan, lease, driver, runs one after another, verdict, report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tuning.config.resources import usable_cpus
from tuning.errors import BadInput
from tuning.findings.context import noise_of_records
from tuning.findings.front import finished, numbers
from tuning.findings.judge import judge
from tuning.findings.rivals import RivalRuns, beside_rivals
from tuning.findings.summary import unreached
from tuning.findings.verdict import Run, Time, Verdict, run_of
from tuning.layout import STOP, VERDICT
from tuning.session.conduct import write_report
from tuning.session.description import refuse_other_data, stored_config
from tuning.session.listed import train_alone
from tuning.session.watch import Watcher
from tuning.store.files import FILES
from tuning.store.info import RunInfo
from tuning.store.lease import Lease
from tuning.store.store import Store
from tuning.study.confirmation import (
    Plan,
    beyond,
    choose,
    control_faults,
    control_horizons,
    enough,
    fresh_seeds,
    used_seeds,
)
from tuning.study.listed import run_key
from tuning.study.rivals import rivals_of
from tuning.trial.outcome import outcomes_of
from tuning.trial.recipe import CONTROL_POLICY, Recipe
from tuning.trial.trial import CONFIRMATION, TrialRecord
from tuning.version import VERSION


@dataclass(frozen=True)
class Request:
    """What is to be confirmed.

    Attributes:
        run: the run directory.
        top: how many schedules; None for three, or as many as there are.
        seeds: how many fresh seeds, at least 2.
        target: the value of the metric whose time is told; None for the run's own.
        time: the seconds by which to judge, measured ones or the clock's solo ones.
    """

    run: Path
    top: int | None = None
    seeds: int = 5
    target: float | None = None
    time: Time = "measured"


@dataclass(frozen=True)
class Device:
    """What this process would train on: its name, as records carry it, and the cores it may use."""

    name: str
    cpus: float

    @classmethod
    def here(cls) -> Device:
        """The device of this process. Imports torch."""
        from models.device import device_name, run_device

        return cls(device_name(run_device()), usable_cpus())


def confirm(
    request: Request, *, watcher: Watcher | None = None, device: Device | None = None
) -> tuple[Verdict, str]:
    """Train what is missing, and judge; the verdict and a remark on what was chosen (empty if there
    is none).

    Raises:
        BadInput: it cannot be confirmed; every reason is named and nothing was trained.
        Interrupted: stopped on request; everything is kept.
        SearchFailed: it cannot go on.

    """
    from models.registry import find_workload

    store = Store.open(request.run)
    store.info.require_version(VERSION)
    plan = plan_of(store, request, device or Device.here())
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
        _train(store, plan, workload.steps, watcher)
        while store.compact():
            pass
        verdict = verdict_of(store, plan)
        FILES.write_atomic(store.path / VERDICT, verdict.to_json().encode())
        write_report(store)
    return verdict, plan.remark


def plan_of(store: Store, request: Request, device: Device) -> Plan:
    """What the request comes to in this run.

    Raises:
        BadInput: it cannot be; all faults at once.

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
    horizons = enough(horizons, candidates, beyond(frame, candidates))
    rivals = rivals_of(frame, candidates)
    return Plan(candidates, horizons, seeds, target, remark, rivals, request.time)


def _target(info: RunInfo, request: Request) -> float | None:
    """The loss whose time is told; None where there is none yet."""
    if request.target is not None:
        return info.metric.loss(request.target)
    return None if info.target is None else info.target.loss


def device_faults(store: Store, device: Device) -> list[str]:
    """What does not fit between the clock's calibration and the device that would train now."""
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


def _train(store: Store, plan: Plan, steps: int, watcher: Watcher | None) -> None:
    """Train the plan's runs that are not recorded."""
    done = {run_key(record) for record in replicates(store, plan.seeds)}
    specs = plan.specs(store.info.config["workload"])
    left = [spec for spec in specs if run_key(spec) not in done]
    train_alone(store, left, plan.target, steps, watcher)


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
    return beside_rivals(verdict, {c.number: runs for c, runs in candidates}, rivals, control)


def _tested(records: Sequence[TrialRecord], plan: Plan) -> set[Recipe]:
    """Whoever was tested before on these seeds counts, or one could confirm until something wins by
    chance. A rival that is a candidate is tested too.
    """
    seen = {record.recipe for record in records if record.recipe.control_kind is None}
    return seen | {candidate.recipe for candidate in plan.candidates}
