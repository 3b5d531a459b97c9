"""The parts of a search put together: its driver, its session, its study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from models.levers.levers import make_levers
from tuning.config.config import SearchConfig
from tuning.config.resources import Resources
from tuning.drivers.driver import Driver
from tuning.drivers.serial import SerialDriver
from tuning.session.order import TrunkWait
from tuning.session.session import SearchSession
from tuning.session.slots import Filling, Slots
from tuning.session.watch import Watcher
from tuning.store.info import AtOnce, SamplerChoice, Target, that_fit
from tuning.store.store import Store, history_of
from tuning.study.baselines import baseline_specs, short_controls
from tuning.study.sampler_choice import choose, middling_horizon
from tuning.study.samplers.sampler import START, OptunaSampler
from tuning.study.stopping import stopping_of
from tuning.study.study import Study
from tuning.study.warm_start import kept
from tuning.trial.clock import baseline_seconds
from tuning.trial.task import Task
from tuning.trial.trial import CONFIRMATION, TrialSpec

if TYPE_CHECKING:
    from models.workload import Workload


def make_driver(run: Path, config: SearchConfig, resources: Resources, epoch: int) -> Driver:
    """The driver that the configuration names."""
    if config.driver == "serial":
        return SerialDriver(run, threads=resources.threads, epoch=epoch)
    from tuning.drivers.ray_driver import RayDriver

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
        evaluations = (
            6 * workload.steps / workload.eval_every + 1
        )  # a light schedule takes so many times the steps
        return spec.recipe.horizon * baseline + evaluations * costs.evaluation_seconds

    def unknown_forms(spec: TrialSpec) -> frozenset[str]:
        needed = frozenset(form.key for form in make_levers(spec.recipe.knobs).forms())
        if not needed:  # most trials: nothing is read for them
            return needed
        info = store.reload_info()
        return needed - {*(info.calibration.forms if info.calibration else ()), *info.refused_forms}

    watcher.expects(expected)
    chosen = settle_sampler(store, config, resources, baseline)
    watcher.note(f"sampler: {chosen.name}, {chosen.reason}")
    return SearchSession(
        store,
        lambda target: make_study(store, config, target),
        target=target_of(config, workload),
        first_seed=config.seed,
        workload=config.workload,
        expected_seconds=expected,
        slowdown=resources.concurrency,
        watcher=watcher,
        trunk_wait=TrunkWait(costs.num_blocks) if config.forks else None,
        slots=make_slots(store, config, resources, watcher),
        drop_trunks=store.drop_trunks if config.replicates == 0 else keep_all,
        takes=lambda spec: spec.origin != CONFIRMATION,
        unknown_forms=unknown_forms,
        make_stopping=lambda target: stopping_of(store, config, target, baseline),
        time_budget=config.time_budget,
    )


def keep_all(keep: Task) -> None:
    """Drop no trunk: those of the automatic target's other seeds are what replicates fork from."""


def make_slots(
    store: Store, config: SearchConfig, resources: Resources, watcher: Watcher
) -> Slots | None:
    """What finds how many trials run at once; None where there is nothing to find. The number,
    known or first, is said.

    Trials on a CPU compute with one thread each, so that the cores hold as many as there are of
    them.
    """
    asked = (config.concurrency, config.gpus_per_trial, config.address)
    if config.driver == "serial" or any(option is not None for option in asked):
        return None
    slots = Slots(_filling(store, resources)) if resources.fills else None
    choice = (
        slots.choice if slots else AtOnce(resources.concurrency, "as many as the machine holds")
    )
    store.update_info(at_once=choice)
    watcher.note(f"trials at once: {choice.trials}, {choice.reason}")
    return slots


def _filling(store: Store, resources: Resources) -> Filling:
    """Between one trial, or as many as an earlier session came to, and what memory holds."""
    memory, before = store.info.memory, store.info.at_once
    most = resources.concurrency if memory is None else min(resources.concurrency, that_fit(memory))
    return Filling(most, start=min(1 if before is None else before.trials, most))


def target_of(config: SearchConfig, workload: Workload) -> float | None:
    """The loss to reach where it is given, by the user or else by the workload.

    None for the automatic one.
    """
    target = workload.target if config.target == "auto" else config.target
    return None if target == "auto" else float(target)


def settle_sampler(
    store: Store, config: SearchConfig, resources: Resources, baseline: float
) -> SamplerChoice:
    """The run's sampler as run.json has it; where it has none yet, chosen now and written there.

    ``baseline`` are the solo seconds of a full-update run of horizon 1.
    """
    if store.info.sampler is not None:
        return store.info.sampler
    choice = SamplerChoice(config.sampler, "as asked for")
    if config.sampler == "auto":
        space = config.search_space()
        choice = choose(
            space,
            config.objective,
            sampled=config.trials - len(baseline_specs(config.workload, config.seed)),
            trial_seconds=middling_horizon(space) * baseline,
            concurrency=resources.concurrency,
        )
    store.update_info(sampler=choice)
    return choice


def make_study(store: Store, config: SearchConfig, target: Target) -> Study:
    """The study of the run, rebuilt from its records and the tasks in flight."""
    space, chosen = config.search_space(), store.info.sampler
    seed = config.seed if target.seed is None else target.seed
    history = history_of(store)
    recorded = {outcome.number for outcome in history}
    in_flight = [
        f.spec for f in store.in_flight() if f.task.is_trial and f.spec.number not in recorded
    ]
    baselines = baseline_specs(config.workload, seed)
    return Study(
        space,
        baselines,
        OptunaSampler(
            space,
            config.sampler if chosen is None else chosen.name,
            config.seed,
            config.objective,
            first=len(baselines),
            knowledge=kept(store),
        ),
        config.trials,
        workload=config.workload,
        seed=seed,
        target_loss=target.loss,
        replicates=config.replicates,
        first_seed=config.seed,
        later=later_specs(config, seed),
        history=history,
        in_flight=in_flight,
    )


def later_specs(config: SearchConfig, seed: int) -> dict[int, TrialSpec]:
    """The control at the space's short horizons, by number: every other trial once the
    space-filling start is over.

    Replicates by default take places between them.
    """
    first = len(baseline_specs(config.workload, seed)) + START
    runs = short_controls(config.search_space(), config.workload, seed)
    return {first + 2 * i: run for i, run in enumerate(runs)}
