"""What a session is to do: the plan of a search, and the parts that it is put together from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from models.knobs import costly
from search_spaces.base import HORIZON, SearchSpace
from tuning.config.config import SearchConfig
from tuning.config.own import declared
from tuning.config.resources import Resources
from tuning.config.spaces import is_own
from tuning.drivers.driver import Driver
from tuning.drivers.serial import SerialDriver
from tuning.session.order import TrunkWait
from tuning.session.slots import Filling, Slots
from tuning.store.info import AtOnce, SamplerChoice, Target, that_fit
from tuning.store.store import Store, history_of
from tuning.store.upkeep import OTHER_SEEDS
from tuning.study.baselines import (
    baseline_specs,
    reference_specs,
    rung_controls,
    searched_horizons,
    short_controls,
)
from tuning.study.listed import ListStudy
from tuning.study.sampler_choice import choose, middling_horizon
from tuning.study.samplers.rungs import Rungs
from tuning.study.samplers.sampler import START, OptunaSampler
from tuning.study.stopping import Stopping, stopping_of
from tuning.study.study import Asked, Proposer, Study
from tuning.study.to_target import SHORTER
from tuning.study.warm_start import kept
from tuning.trial.clock import CostTable, baseline_seconds
from tuning.trial.metric import Metric
from tuning.trial.task import Task
from tuning.trial.trial import CONFIRMATION, SEEDS, TrialSpec
from tuning.trial.variants import unknown_charges, variant_name

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


class Plan:
    """What a session is to do, as far as that does not change meanwhile. This class has the
    defaults; a search's plan is ``SearchPlan``.

    Attributes:
        target: the loss to reach, or None for the median of full_update over seeds.
        references: the full-update runs that come before the trials, or beside them.
        at_once: how many tasks the driver runs at once; each takes at most so many times as long as
            alone.
        order: puts the trials in order while their trunk is trained beside them; None where trials
            do not fork.
        slots: finds how many trials run at once; None where as many do as the driver takes.
        time_budget: wall seconds after which the session stops as if asked to; None: never.
    """

    target: float | None
    references: Mapping[Task, TrialSpec] = MappingProxyType({})
    at_once: int = 1
    order: TrunkWait | None = None
    slots: Slots | None = None
    time_budget: float | None = None

    def study(self, target: Target) -> Proposer:
        """What decides which trials there are, from the store's records and the tasks in flight."""
        raise NotImplementedError

    def expected_seconds(self, spec: TrialSpec) -> float:
        """Seconds that the trial should take with the device to itself, for deadlines."""
        raise NotImplementedError

    def stopping(self, target: Target) -> Stopping | None:
        """The rule for stopping trials early, from the store's records; None where none is
        stopped.
        """
        return None

    def unknown_forms(self, spec: TrialSpec) -> Set[str]:
        """Forms of the model that must be timed before the trial is trained."""
        return frozenset()

    def room(self) -> int:
        """How many tasks are to run at once now."""
        return self.at_once if self.slots is None else self.slots.limit

    def takes(self, spec: TrialSpec) -> bool:
        """Whether a task that an earlier session left in flight belongs to this session."""
        return True

    def drop_trunks(self, keep: Task) -> None:
        """Drop snapshots that are of no more use. It is called once it is known which reference
        run, ``keep``, the trials start from.
        """


class SearchPlan(Plan):
    """A search's plan, once its clock is set.

    Args:
        store: the run.
        config: what was asked for.
        workload: what is trained.
        resources: what each trial may use.
        note: told which sampler there is, and how many trials run at once.
    """

    def __init__(
        self,
        store: Store,
        config: SearchConfig,
        workload: Workload,
        resources: Resources,
        note: Callable[[str], None],
    ) -> None:
        costs = store.info.calibration
        assert costs is not None, "a session begins after calibration"
        self._store, self._config, self._workload, self._costs = store, config, workload, costs
        self._baseline = baseline_seconds(costs, workload.steps)
        self.target = target_of(config, workload)
        self.at_once = resources.concurrency
        self.order = TrunkWait(costs.num_blocks) if store.info.forks else None
        # An automatic target needs all of them before the first trial; a trunk alone is trained
        # beside the trials.
        count = SEEDS if self.target is None else int(store.info.forks)
        self.references = reference_specs(config.workload, config.seed, count)
        self.time_budget = config.time_budget
        chosen = settle_sampler(store, config, resources, self._baseline)
        note(f"sampler: {chosen.name}, {chosen.reason}")
        self.slots = make_slots(store, config, resources, note)

    def study(self, target: Target) -> Study:
        """The study, with its baselines on the seed that the target comes from."""
        return make_study(self._store, self._config, target)

    def expected_seconds(self, spec: TrialSpec) -> float:
        """The seconds of the trial's horizon and of its evaluations."""
        # A light schedule takes so many times the steps.
        evaluations = 6 * self._workload.steps / self._workload.eval_every + 1
        return spec.recipe.horizon * self._baseline + evaluations * self._costs.evaluation_seconds

    def stopping(self, target: Target) -> Stopping | None:
        """The rule that ``--stop-confidence`` asks for."""
        return stopping_of(self._store, self._config, target, self._baseline)

    def unknown_forms(self, spec: TrialSpec) -> Set[str]:
        """Forms of the trial's levers that the clock does not know and that were not refused."""
        return _unknown_charges(self._store, self._costs, spec, self._config.workload)

    def takes(self, spec: TrialSpec) -> bool:
        """True for all tasks but those that a killed confirmation left."""
        return spec.origin != CONFIRMATION

    def drop_trunks(self, keep: Task) -> None:
        """Drop snapshots of the automatic target's other seeds; replicates need but a few of
        them.
        """
        self._store.drop_trunks(keep, others=OTHER_SEEDS if self._config.replicates else 0)


class ListPlan(Plan):
    """The plan of a list of runs, with nothing that must come before them.

    Args:
        store: the run, its clock set.
        study: the list.
        target: the loss whose time each run's record tells.
        baseline: solo seconds of a full-update run of horizon 1.
        at_once: runs that the driver trains at once.
    """

    def __init__(
        self, store: Store, study: ListStudy, target: float, baseline: float, *, at_once: int
    ) -> None:
        self._store, self._study, self._baseline, self.target = store, study, baseline, target
        self.at_once = at_once

    def study(self, target: Target) -> ListStudy:
        """The list."""
        return self._study

    def expected_seconds(self, spec: TrialSpec) -> float:
        """The seconds of the run's horizon."""
        return spec.recipe.horizon * self._baseline

    def unknown_forms(self, spec: TrialSpec) -> Set[str]:
        """Forms that the clock does not know, in lists that may have recipes that no search
        trained.
        """
        info = self._store.info
        costs = info.clock_of(spec.origin, spec.seed)
        if costs is None:
            return frozenset()
        return _unknown_charges(self._store, costs, spec, str(info.config["workload"]))

    def takes(self, spec: TrialSpec) -> bool:
        """False for tasks that a search left in flight."""
        return spec.origin in self._study.origins


def _unknown_charges(store: Store, costs: CostTable, spec: TrialSpec, workload: str) -> Set[str]:
    """Names of what a run of ``spec`` is charged for that the clock does not know and the model has
    not refused.
    """
    levers, own = spec.recipe.levers, spec.recipe.own
    variant = variant_name(costly(declared(workload), own)) if own else ""
    if not (variant or levers.charges(costs.num_blocks)):
        return frozenset()  # most trials: nothing is read for them
    info = store.reload_info()
    if variant in info.refused_forms:
        return frozenset()
    known = info.clock_of(spec.origin, spec.seed) or costs
    return unknown_charges(known, levers, variant) - info.refused_forms.keys()


def make_slots(
    store: Store, config: SearchConfig, resources: Resources, note: Callable[[str], None]
) -> Slots | None:
    """What finds how many trials run at once; None where nothing has to be found. The number, known
    or first, is noted.

    Trials on a CPU compute with one thread each, so that as many fit as there are cores.
    """
    asked = (config.concurrency, config.gpus_per_trial, config.address)
    if config.driver == "serial" or any(option is not None for option in asked):
        return None
    slots = Slots(_filling(store, resources)) if resources.fills else None
    choice = (
        slots.choice if slots else AtOnce(resources.concurrency, "as many as the machine holds")
    )
    store.update_info(at_once=choice)
    note(f"trials at once: {choice.trials}, {choice.reason}")
    return slots


def _filling(store: Store, resources: Resources) -> Filling:
    """A search for the number of trials at once, from one trial, or as many as an earlier session
    found, up to what memory holds.
    """
    memory, before = store.info.memory, store.info.at_once
    most = resources.concurrency if memory is None else min(resources.concurrency, that_fit(memory))
    return Filling(most, start=min(1 if before is None else before.trials, most))


def target_of(config: SearchConfig, workload: Workload) -> float | None:
    """The loss to reach where a target is given, by the user or else by the workload, as a value of
    the metric; None where the target is automatic.
    """
    target = workload.target if config.target == "auto" else config.target
    return None if target == "auto" else Metric.measured_by(workload).loss(float(target))


def settle_sampler(
    store: Store, config: SearchConfig, resources: Resources, baseline: float
) -> SamplerChoice:
    """The sampler that run.json names. Where it names none yet, one is chosen now and written
    there.

    ``baseline`` is the solo seconds of a full-update run of horizon 1.
    """
    if store.info.sampler is not None:
        return store.info.sampler
    choice = SamplerChoice(config.sampler, "as asked for")
    if config.sampler == "auto":
        space = config.search_space()
        choice = choose(
            space,
            config.objective,
            sampled=config.trials - len(_baselines(config, config.seed)),
            trial_seconds=middling_horizon(space) * baseline,
            concurrency=resources.concurrency,
        )
    store.update_info(sampler=choice)
    return choice


def make_study(store: Store, config: SearchConfig, target: Target) -> Study:
    """The study of the run, rebuilt from its records and the tasks in flight."""
    space, chosen = config.search_space(), store.info.sampler
    seed = config.seed if target.seed is None else target.seed
    # Tasks in flight are looked up first: a worker records its trial before it forgets the task, so
    # one that does so meanwhile is in both and not in neither, which would have it begun again.
    flying = [f.spec for f in store.in_flight() if f.task.is_trial]
    history = history_of(store)
    recorded = {outcome.number for outcome in history}
    in_flight = [spec for spec in flying if spec.number not in recorded]
    baselines, rungs = _baselines(config, seed), rungs_of(config)
    sampler = OptunaSampler(
        space,
        config.sampler if chosen is None else chosen.name,
        config.seed,
        config.objective,
        first=len(baselines),
        knowledge=kept(store),
        rungs=rungs,
    )
    asked = Asked(
        config.trials,
        config.workload,
        seed,
        target.loss,
        baselines=baselines,
        later=later_specs(config, seed),
        replicates=config.replicates,
        first_seed=config.seed,
        longer=True,
        tuned=config.objective != "pareto",
        horizons=target_horizons(config, space),
        line_known=config.objective != "pareto",
        rungs=rungs,
    )
    return Study(space, sampler, asked, history, in_flight)


def target_horizons(config: SearchConfig, space: SearchSpace) -> tuple[float, float] | None:
    """The shortest and the longest horizon at which what leads is trained to the target: shorter
    than an embedded space's own, but not than a range of the user's, given or in their space.
    """
    found = None if config.objective == "pareto" else searched_horizons(space)
    if found is None or HORIZON in config.knobs or is_own(config.space):
        return found
    return SHORTER * found[0], found[1]


def later_specs(config: SearchConfig, seed: int) -> dict[int, TrialSpec]:
    """Runs of the control at other horizons than the baselines', by number.

    Those of rungs come at once, because nothing goes on before they tell what a rung is worth.
    Those of the space's short horizons are every other trial once the space-filling start is over;
    by default, replicates take places between them.
    """
    first, space = len(_baselines(config, seed)), config.search_space()
    rungs = rungs_of(config)
    looks = () if rungs is None else rung_controls(space, config.workload, seed, rungs.share)
    runs = short_controls(space, config.workload, seed)
    return {
        **{first + i: run for i, run in enumerate(looks)},
        **{first + len(looks) + START + 2 * i: run for i, run in enumerate(runs)},
    }


def rungs_of(config: SearchConfig) -> Rungs | None:
    """How the search's sampled recipes are first looked at; None where they are not."""
    if config.objective == "pareto" or not config.rung:
        return None
    return Rungs(config.rung, config.seed)


def _baselines(config: SearchConfig, seed: int) -> tuple[TrialSpec, ...]:
    return baseline_specs(config.workload, seed, space=config.search_space())
