"""Everything that can be wrong with what a search was asked to do, said before anything is made."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from search_spaces.base import HORIZON, SearchSpace
from search_spaces.narrow import narrow, unheeded
from tuning.config import option
from tuning.config.config import RUNGS, SearchConfig
from tuning.config.own import (
    declared_faults,
    ends,
    name_faults_of,
    no_range,
    range_faults,
    without_range,
)
from tuning.config.resources import Machine, resource_faults
from tuning.config.spaces import is_own
from tuning.elsewhere.place import places
from tuning.layout import RUN_JSON, no_text, resume_option, too_long

FindWorkload = Callable[[str, Path | None], object]
"""(name, corpus) -> workload, raising ValueError: ``models.registry.find_workload``."""


def config_faults(
    config: SearchConfig,
    machine: Machine | None = None,
    find_workload: FindWorkload | None = None,
    *,
    resuming: bool = False,
    replacing: bool = False,
) -> list[str]:
    """Every fault of the configuration, except those that another run has to be read for.

    Args:
        config: what was asked for.
        machine: what trials may use; this machine if None.
        find_workload: (name, corpus) -> workload, raising ValueError; ``models.registry``'s if
            None.
        resuming: the run exists, as it should, and goes on with what it began with.
        replacing: the run directory exists, and a new search takes its place.
    """
    rules = option.faults(config)
    if strange := _bytes_faults(config):
        return [*strange, *rules]
    there = resuming or replacing or not isinstance(config.run, str)
    faults = [] if there else _run_faults(Path(config.run))
    faults += _workload_faults(config, find_workload)
    faults += faults_of_space(config)
    if not (faults or resuming):
        faults += unheeded(config.whole_space(), config.knobs) or _faults_at_ends(config)
    faults += rules
    if not resuming:
        faults += _without_effect(config)
    if isinstance(config.log, str):
        faults += [fault for place in places(config.log) for fault in place.faults("--log")]
    if not rules and config.address is None:
        machine = machine or Machine.here()
        faults += resource_faults(
            machine, config.concurrency, config.cpus_per_trial, config.gpus_per_trial
        )
    return faults


def faults_of_space(config: SearchConfig) -> list[str]:
    """Faults of the space's name and of the ranges given for its knobs."""
    if not isinstance(config.space, str):
        return [f"space must be a name, but got {config.space!r}"]
    if not isinstance(config.knobs, Mapping):
        return [f"knobs must be a table, but got {config.knobs!r}"]
    try:
        space = config.whole_space()
    except ValueError as error:
        return [str(error)]
    faults = name_faults_of(config.workload) + _horizon_faults(config)
    if _is_known(config, space):
        return faults
    wanted = without_range(space, config.workload, config.overrides)
    given = {name: value for name, value in config.overrides.items() if name not in wanted}
    narrowed, found = narrow(space, given)
    faults += map(no_range, wanted)
    return [*faults, *found, *range_faults(narrowed, config.workload)]


def _horizon_faults(config: SearchConfig) -> list[str]:
    """The fault of asking for horizons in two ways."""
    if config.longer == 1 or HORIZON not in config.knobs:
        return []
    return [
        f"one of --longer and [knobs] {HORIZON} must be given, but got both "
        f"({config.longer!r}, {config.knobs[HORIZON]!r})"
    ]


def _is_known(config: SearchConfig, space: SearchSpace) -> bool:
    """Whether ``space`` is an embedded one, which is known to be sound, or such a one less some
    of its choices: every point that is left is a point of the embedded one. Checking again
    would take seconds.
    """
    if config.knobs or is_own(config.space):
        return False
    values = {k.name: k.values() for k in space.knobs}
    return all(
        name in values and set(choices) <= set(values[name])
        for name, choices in config.device_choices.items()
    )


def _faults_at_ends(config: SearchConfig) -> list[str]:
    """Faults of the workload with each of its own knobs at each end of its range."""
    return [
        fault
        for own in ends(config.search_space())
        for fault in declared_faults(config.workload, config.corpus, own)
    ]


def _without_effect(config: SearchConfig) -> list[str]:
    """The fault of an option that another one leaves without effect."""
    if not (config.objective == "pareto" and config.rung in RUNGS and config.rung):
        return []
    return [
        "rung must come with the objective time-to-quality, but got "
        f"{config.rung!r} with pareto: leave one of them out"
    ]


def _bytes_faults(config: SearchConfig) -> list[str]:
    """Faults of names whose bytes are not valid UTF-8, which no record can hold."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return [
        f"{name} must be a name in UTF-8, but got {value!r}: rename it, or use a link to it"
        for name, value in values.items()
        if isinstance(value, str) and no_text(value)
    ]


def _run_faults(run: Path) -> list[str]:
    if too_long(run / RUN_JSON):
        return [f"run must be a name that the file system takes, but {run} is too long: shorten it"]
    if run.is_symlink() or run.exists():
        advice = (
            f"to go on with that search: {resume_option(run)}"
            if (run / RUN_JSON).is_file()
            else "choose another"
        )
        return [f"the run directory must not exist yet, but {run} does: {advice}"]
    parent = next(p for p in [*run.absolute().parents] if p.exists())
    if not parent.is_dir():
        return [f"a run directory must lie in a directory, but {parent} is a file"]
    if not os.access(parent, os.W_OK | os.X_OK):
        return [
            f"the run directory's parent must be writable, but {parent} is not: choose another "
            "with --run"
        ]
    return []


def _workload_faults(config: SearchConfig, find: FindWorkload | None) -> list[str]:
    if not isinstance(config.workload, str):
        return [f"workload must be a name, but got {config.workload!r}"]
    if not isinstance(config.corpus, (str, type(None))):
        return []  # its own rule names it
    if find is None:
        from models.registry import find_workload

        find = find_workload
    try:
        find(config.workload, None if config.corpus is None else Path(config.corpus))
    except ValueError as error:
        return [str(error)]
    return []
