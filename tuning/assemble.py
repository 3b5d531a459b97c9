"""The parts of a search put together: its driver, its session, its study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tuning.baselines import baseline_specs
from tuning.clock import baseline_seconds
from tuning.config import SearchConfig
from tuning.driver import Driver
from tuning.history import history_of
from tuning.resources import Resources
from tuning.run_info import Target
from tuning.sampler import OptunaSampler
from tuning.session import SearchSession, Watcher
from tuning.store import Store
from tuning.study import Study
from tuning.trial import TrialSpec

if TYPE_CHECKING:
    from models.workload import Workload


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
