"""A worker's part in the clock: it times steps and forms alone on the device, and checks that a
clock holds here.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from models.device import run_device, synchronize
from models.levers.levers import Levers
from policies.registry import make_policy
from tuning.store.info import RunInfo
from tuning.store.store import Store
from tuning.training.calibration.bench import StepBench
from tuning.training.calibration.calibrate import (
    STEPS_IN_A_ROW,
    Effort,
    calibrate,
    surroundings,
)
from tuning.training.calibration.company import (
    MOST_ELSEWHERE,
    MOST_SPEED,
    REST,
    TRIES,
    Host,
    Lap,
    share_elsewhere,
    solo_costs,
    undisturbed,
)
from tuning.training.calibration.known import Known
from tuning.training.calibration.variant import calibrate_variant
from tuning.training.examination.examine import examine
from tuning.training.examination.new_process import NewProcess
from tuning.training.examination.subject import Subject
from tuning.training.generators import generators_kept
from tuning.training.loop import TrainingRun
from tuning.training.place import (
    describe,
    give_memory_back,
    gpu_memory,
    set_threads,
    variant_of,
    workload_of,
)
from tuning.trial.clock import CostTable, refuse_other_surroundings
from tuning.trial.identity import steady
from tuning.trial.recipe import Recipe
from tuning.trial.soundness import Soundness, unsteady
from tuning.trial.task import Ending, Task
from tuning.trial.variants import (
    disturbed_forms,
    last_was_disturbed,
    name_in,
    noted,
    table_for,
    unknown_charges,
    with_table,
)

WARM_UP_STEPS = 3
LOOKS = 3
"""How often a clock that was taken unasked is checked at most."""
LOOK_SECONDS = 0.3
CAREFUL = Effort(min_rounds=6, max_rounds=75, seconds=1.5)
"""The effort for what is confirmed: a few forms, in minutes that a search does not have."""


@generators_kept()
def warm_up(run: Path) -> None:
    """Train a few steps of the run's workload and forget them, so that no measured time includes a
    process's first steps.
    """
    store = Store.open(run)
    costs = store.info.calibration
    if costs is None:
        raise RuntimeError(f"the clock of {run} must be calibrated before anything is trained")
    set_threads(costs.threads)
    full = make_policy("full_update", {})
    training = TrainingRun(
        workload_of(store), full, seed=0, horizon=1.0, costs=costs, device=run_device()
    )
    for _ in range(WARM_UP_STEPS):
        training.advance()
    synchronize()


def set_clock(store: Store) -> Ending:
    """Calibrate the run's clock, with nothing else on the device, or check that the one it has
    holds here. A clock that was taken unasked from another run and is off by now is calibrated
    anew.

    Before that the workload is examined, once. A workload that is refused gets no clock, and
    run.json says why.

    Raises:
        OtherSurroundings: it was calibrated on something else.
        Fenced: another search holds the run by now.
    """
    if store.info.soundness is None and store.info.identity is not None:
        examine_run(store)
    if store.info.soundness is not None and store.info.soundness.refusals:
        return Ending.DONE
    if store.info.calibration is None:
        calibrate_run(store)
    else:
        refuse_other_surroundings(store.info.calibration, surroundings(run_device()))
        if store.info.clock_from and not _begun(store) and strays(store):
            calibrate_run(store)
    return Ending.DONE


def _begun(store: Store) -> bool:
    """Whether any run was charged by the run's clock, or is being."""
    return bool(store.numbers() or store.references() or store.count_in_flight())


def strays(store: Store, host: Host | None = None) -> bool:
    """Whether a full step takes another time by now than the run's clock says.

    If steps are slower, the fastest counts, because other processes only ever add time; if they are
    faster, the median does. Where other processes may have added that much the steps are timed
    again, and in the end the clock is believed: it was calibrated alone.
    """
    costs = store.info.calibration
    assert costs is not None, "it was taken from another run"
    set_threads(costs.threads)
    bench = StepBench(workload_of(store), 0, run_device(), host)
    step = partial(bench.step, bench.num_blocks)
    bench.lap(step, WARM_UP_STEPS)
    on_cpu, in_a_row = bench.device.type == "cpu", STEPS_IN_A_ROW.get(bench.device.type, 1)
    for _ in range(LOOKS):
        before, begun, laps = bench.host.core_seconds(), bench.host.wall(), list[Lap]()
        while not laps or bench.host.wall() - begun < LOOK_SECONDS:
            laps.append(bench.lap(step, in_a_row))
        found, known = solo_costs(laps, on_cpu=on_cpu), costs.step_cost(bench.num_blocks)
        if statistics.median(found) * (1 + MOST_SPEED) < known:
            return True
        if min(found) <= known * (1 + MOST_SPEED):
            return False
        elsewhere = share_elsewhere(before, bench.host.core_seconds()) if on_cpu else None
        if elsewhere is None or elsewhere <= MOST_ELSEWHERE:
            return True
        bench.host.rest(REST)
    return False


def examine_run(store: Store) -> None:
    """Examine the run's workload here and store what was found in its run.json.

    Raises:
        Fenced: another search holds the run by now.
    """
    config = store.info.config
    threads = int(config["resources"]["threads"])
    set_threads(threads)
    name, corpus, identity = config["workload"], config.get("corpus"), store.info.identity
    with NewProcess(name, corpus, threads, identifies=True) as elsewhere:
        found = examine(Subject(workload_of(store), run_device(), elsewhere))
        # A workload that is refused may not have come to where the other process is asked.
        theirs = None if found.refusals else elsewhere.answer().get("identity")
    if identity is not None and theirs is not None:
        identity, changing = steady(identity, theirs)
        if changing:
            found = Soundness.of([*found.findings, unsteady(changing)])
    store.update_info(soundness=found, identity=identity)


def calibrate_run(store: Store) -> None:
    """Calibrate the clock of the run and store it in its run.json.

    Raises:
        Fenced: another search holds the run by now.
    """
    threads = int(store.info.config["resources"]["threads"])
    set_threads(threads)
    give_memory_back()  # an examination takes more than a trial, which is what is measured
    began = time.monotonic()
    costs = calibrate(workload_of(store), device=run_device(), threads=threads)
    store.update_info(
        calibration=costs,
        device=costs.device,
        memory=gpu_memory(),
        clock_from="",
        timing_seconds=time.monotonic() - began,
    )


def calibrate_forms(store: Store, task: Task) -> Ending:
    """Time the forms of the model that ``task`` needs and the clock does not know; nothing else
    should run.

    A form that the model cannot take is noted in run.json with the reason, with which the trials
    that need it will fail.
    """
    costs = store.reload_info().calibration
    if costs is None:
        return Ending.DONE
    set_threads(costs.threads)
    began = time.monotonic()
    found, refused = _charges_of(store, store.task(task).spec.recipe, costs)
    store.update_info(
        calibration=found,
        refused_forms={**store.info.refused_forms, **refused},
        timing_seconds=store.info.timing_seconds + time.monotonic() - began,
    )
    return Ending.DONE


@generators_kept()
def time_again(
    store: Store,
    recipes: Iterable[Recipe],
    told: Callable[[str], None],
    effort: Effort = CAREFUL,
) -> None:
    """Time anew everything that ``recipes`` are charged for, whole and for longer; nothing else
    should run.

    A search puts forms together from parts that it times for a second each, and the result varies
    by several per cent from one clock to another. A confirmation has minutes for it. The result is
    noted in run.json beside the search's clock, by which the search's own trials stay charged; what
    was timed again before is not timed once more.

    Args:
        store: the run.
        recipes: the recipes whose forms are timed.
        told: called with what is timed next.
        effort: the effort for each form.

    Raises:
        Fenced: another search holds the run by now.
    """
    costs = store.reload_info().calibration
    assert costs is not None, "what is confirmed was searched, on a clock"
    set_threads(costs.threads)
    again = replace(costs, forms=store.info.timed_again)
    for recipe in dict.fromkeys(recipes):
        missing = unknown_charges(again, recipe.levers, variant_of(store, recipe))
        if not missing - store.info.refused_forms.keys():
            continue
        told(f"timing again, alone on the device: {'; '.join(sorted(missing))}")
        again, _ = _charges_of(store, recipe, again, effort)
        if signs := {
            sign
            for name, each in disturbed_forms(again).items()
            if name in missing
            for sign in each
        }:
            told(f"warning: it was not alone: {'; '.join(sorted(signs))}")
        store.update_info(timed_again=again.forms)


def _charges_of(
    store: Store, recipe: Recipe, costs: CostTable, effort: Effort | None = None
) -> tuple[CostTable, Mapping[str, str]]:
    """``costs`` with all that the recipe is charged for, and the reasons why the model cannot take
    some of it.

    Every form is measured whole where there is an effort. Where something else ran meanwhile forms
    are timed again, and what disturbed the quietest try is noted in the tables.
    """
    if run_device().type != "cpu":
        return _timed(store, recipe, costs, effort)
    (found, refused), signs = undisturbed(
        lambda: _timed(store, recipe, costs, effort), tries=_tries(recipe, costs)
    )
    return (noted(costs, found, signs) if signs else found), refused


def _tries(recipe: Recipe, costs: CostTable) -> int:
    """How often forms may be timed until nothing disturbs that.

    It is once where the last form was disturbed to its last try, because the disturbance is taken
    to stay, and where a form compiles, because a second time would find the caches filled and
    compiling is charged.
    """
    compiled = any(form.compiled for form in recipe.levers.forms(costs.num_blocks))
    return 1 if compiled or last_was_disturbed(costs) else TRIES


def _timed(
    store: Store, recipe: Recipe, costs: CostTable, effort: Effort | None
) -> tuple[CostTable, Mapping[str, str]]:
    variant = variant_of(store, recipe)
    if variant and variant not in costs.forms:
        workload, other = workload_of(store), workload_of(store, recipe.own)
        try:
            table = calibrate_variant(workload, other, costs, device=run_device(), effort=effort)
        except Exception as fault:
            return costs, {variant: describe(fault, None)}
        costs = with_table(costs, variant, table)
    workload = workload_of(store, recipe.own if variant else None)
    known = Known(workload, table_for(costs, variant), effort)
    refused = {name_in(variant, key): reason for key, reason in known.find(recipe.levers).items()}
    return with_table(costs, variant, known.costs), refused


def refuse_form(info: RunInfo, levers: Levers, costs: CostTable, variant: str) -> None:
    """Refuse levers with a form that could not be calibrated, or a variant that could not.

    Raises:
        ValueError: with the reason.
        UnknownForm: the variant was not calibrated.
    """
    _refuse(info, variant)
    for charge in levers.charges(table_for(costs, variant).num_blocks):
        _refuse(info, name_in(variant, charge))


def _refuse(info: RunInfo, key: str) -> None:
    if key in info.refused_forms:
        raise ValueError(f"{key!r} could not be calibrated: {info.refused_forms[key]}")
