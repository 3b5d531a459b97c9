"""What run.json says of a search, and what a search that goes on must have in common with it."""

from __future__ import annotations

import dataclasses
import platform
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

from tuning.config.config import SearchConfig
from tuning.config.resources import Resources
from tuning.errors import BadInput
from tuning.session.identity import identity_faults, identity_here
from tuning.store.info import RunInfo
from tuning.store.store import Store
from tuning.study.baselines import knob_columns
from tuning.trial.metric import Metric
from tuning.trial.trial import CONFIRMATION
from tuning.version import VERSION

if TYPE_CHECKING:
    from models.workload import Workload

LIBRARIES = ("torch", "ray", "optuna", "pyarrow", "pandas", "numpy")


def describe(config: SearchConfig, workload: Workload, resources: Resources) -> RunInfo:
    """What run.json says of a new run.

    Raises:
        BadInput: the workload cannot be trained.
    """
    return RunInfo(
        version=VERSION,
        created_at=datetime.now(UTC),
        config=stored_form(config, resources),
        knob_columns=knob_columns(config.search_space()),
        own_knobs=tuple(config.search_space().own),
        space_fingerprint=config.search_space().fingerprint(),
        workload_fingerprint=workload.fingerprint,
        metric=Metric.measured_by(workload),
        metrics=workload.metric_names,
        versions={
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in LIBRARIES},
        },
        identity=identity_here(workload),
    )


def stored_form(config: SearchConfig, resources: Resources) -> dict[str, Any]:
    """The configuration as run.json holds it: what was asked for, and under ``resources`` what that
    came to here.
    """
    return {**config.to_json(), "resources": dataclasses.asdict(resources)}


def stored_config(store: Store) -> SearchConfig:
    """The configuration that a run was last conducted with."""
    return SearchConfig.from_json({k: v for k, v in store.info.config.items() if k != "resources"})


def refuse_other_data(store: Store, config: SearchConfig, workload: Workload) -> None:
    """Refuse to go on over other data, another space or another workload than the run began with.

    Raises:
        BadInput: they have changed since; each difference is named.
    """
    if faults := other_data_faults(store, config, workload):
        raise BadInput(faults)


def other_data_faults(store: Store, config: SearchConfig, workload: Workload) -> list[str]:
    """How data, space and workload differ from those that the run began with.

    Raises:
        BadInput: the workload cannot be trained any more.
    """
    now = {"workload": workload.fingerprint, "space": config.search_space().fingerprint()}
    before = {"workload": store.info.workload_fingerprint, "space": store.info.space_fingerprint}
    faults = [
        f"the fingerprint of the {name} must be the one the run began with ({before[name]}), but "
        f"got {now[name]}: "
        f"put the {name} back as it was, or start a new run"
        for name in now
        if now[name] != before[name]
    ]
    faults += _metric_faults(store.info.metric, Metric.measured_by(workload))
    faults += _further_faults(store.info.metrics, workload.metric_names)
    return faults + identity_faults(
        store.info.identity,
        {} if store.info.identity is None else identity_here(workload),
        owner="the run began with",
        advice="Put it back as it was, or start a new run",
    )


def _metric_faults(before: Metric, now: Metric) -> list[str]:
    """The fault of a metric that was minimised and is now maximised, or the other way round: its
    losses do not compare.
    """
    if before.maximize == now.maximize:
        return []
    known, got = ("maximised" if metric.maximize else "minimised" for metric in (before, now))
    return [
        f"the workload's metric must be {known}, as when the run began, but it is to be {got}: "
        "put maximize back as it was, or start a new run"
    ]


def _further_faults(before: tuple[str, ...], now: tuple[str, ...]) -> list[str]:
    """The fault of further metrics that have changed: they are columns, and columns are fixed when
    a run begins.
    """
    if set(before) == set(now):
        return []
    return [
        f"the workload's metrics must be those the run began with, {list(before)}, but got "
        f"{list(now)}: put them back as they were, or start a new run"
    ]


def fewer_trials_faults(store: Store, trials: object) -> list[str]:
    """The fault of asking for fewer ``trials`` than are recorded: a search can be extended, not
    cut. A value that is no number of trials has a rule of its own.
    """
    recorded = trials_of(store)
    if not isinstance(trials, int) or trials < 1 or recorded <= trials:
        return []
    return [f"--trials >= {recorded}, the trials that are recorded, must hold, but got {trials}"]


def trials_of(store: Store) -> int:
    """The number of recorded trials, replicates of the front among them, without the re-runs of a
    confirmation.
    """
    return int((store.frame(["origin"])["origin"] != CONFIRMATION).sum())


def is_done(store: Store) -> bool:
    """Whether all that was asked of a search is recorded."""
    asked = store.info.config.get("trials", 0)
    return trials_of(store) >= asked and not store.count_in_flight()
