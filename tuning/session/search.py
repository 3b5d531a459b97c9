"""A search from what was asked for to its result: started, or gone on with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.by_path import under_way
from models.frames import told
from models.given import is_given
from models.levers.form import PLAIN
from policies.rules import Scalar
from search_spaces.narrow import applied
from tuning.config.config import SearchConfig
from tuning.config.faults import FindWorkload, config_faults
from tuning.config.fitting import fit_computing, fit_gates, fit_numbers, fit_space, needs_fitting
from tuning.config.limits import GROWTH, fit_batches, fit_growth, fit_memory, has_limited
from tuning.config.resources import Machine, Resources, memory_gib
from tuning.config.resume import Resume, refusals, resumed, unchecked
from tuning.errors import BadInput, NestedSearch, NothingTrained
from tuning.layout import is_run, too_long
from tuning.session.aside import nothing_came_of, set_aside
from tuning.session.clock_beside import clock_taken
from tuning.session.conduct import SearchResult, conduct
from tuning.session.description import (
    describe,
    fewer_trials_faults,
    other_data_faults,
    stored_config,
)
from tuning.session.other_runs import (
    clock_faults,
    left_there,
    unfit_clock_faults,
    warm_start_faults,
    with_clock_of,
)
from tuning.session.watch import Watcher, say
from tuning.store.directory import remove_directory
from tuning.store.store import Store
from tuning.version import VERSION

if TYPE_CHECKING:
    from models.workload import Workload

PRETRAINED = (
    "the model's blocks begin with the same weights for every seed, as pretrained ones do: tried "
    "first is what suits those"
)


def run_search(
    config: SearchConfig, *, faults: Sequence[str] = (), watcher: Watcher | None = None
) -> SearchResult:
    """Start the search that ``config`` describes and see it through.

    ``faults`` are those found in the words in which it was asked for; they are named with the
    others.

    Raises:
        BadInput: the configuration has faults; all are named and nothing was created.
        Interrupted: it was stopped on request (Ctrl-C); everything is kept.
        SearchFailed: it cannot go on.
    """
    refuse_nested()
    once = _Once()
    failed = isinstance(config.run, str) and nothing_came_of(Path(config.run))
    found = [*faults, *all_faults(config, find_workload=once, replacing=failed)]
    workload = once.workload
    if found or workload is None:
        misfit = [] if workload is None else unfit_clock_faults(config, workload)
        raise BadInput(dict.fromkeys([*found, *misfit]))
    _say_what_serial_leaves(config)
    resources = config.resources(Machine.here())
    other = clock_taken(config, workload, resources)
    config = fitted_as_there(config, other) or fitted_to_device(config, workload)
    refuse_users_session(config, resources)
    info = describe(config, workload, resources)
    if other is not None:
        info = with_clock_of(other, info, config, workload, resources)
    run = Path(config.run)
    if failed:
        say(f"every trial of the search in {run} failed; it is {set_aside(run)} now")
    store = Store.create(run, info)
    try:
        return conduct(store, config, workload, resources, watcher)
    except (BadInput, NothingTrained):
        if not store.numbers():  # nothing is lost, and the next try has the name
            remove_directory(store.path)
        raise


def _say_what_serial_leaves(config: SearchConfig) -> None:
    """Tell the user which options have no effect with the driver serial."""
    if config.driver != "serial":
        return
    if config.address is not None:
        say(f"address {config.address!r} is of no use: the driver serial trains in this process")
    if config.concurrency is not None and config.concurrency > 1:
        say(
            f"concurrency {config.concurrency} sets how many threads a trial has, and no more: the "
            "driver serial trains one at a time"
        )


def refuse_nested() -> None:
    """Refuse to search while a workload's file is imported: it would search within each search.

    Raises:
        NestedSearch: a script without a main guard was named as the workload.
    """
    if (workload := under_way()) is not None:
        raise NestedSearch(workload)


def all_faults(
    config: SearchConfig,
    machine: Machine | None = None,
    find_workload: FindWorkload | None = None,
    *,
    replacing: bool = False,
) -> list[str]:
    """Every fault of a search that is to begin, those of other runs among them. With ``replacing``,
    it takes the place of a run that exists.
    """
    own = config_faults(config, machine, find_workload, replacing=replacing)
    return [*own, *warm_start_faults(config), *clock_faults(config)]


class _Once:
    """Builds a workload so that a search can be judged, and keeps it for the search itself.

    Attributes:
        workload: None until it was built.
    """

    def __init__(self) -> None:
        self.workload: Workload | None = None

    def __call__(self, name: str, corpus: Path | None) -> Workload:
        """Build the workload; raises ValueError with the reason where that fails."""
        from models.registry import find_workload

        self.workload = find_workload(name, corpus)
        return self.workload


def fitted_to_device(config: SearchConfig, workload: Workload) -> SearchConfig:
    """The search with the ``device_choices`` that this device and the workload's model leave. The
    user is told what is left out.

    It is called only before a run is created: a search that goes on keeps the space it began with.
    What the devices of a cluster cannot do is not known here, and such trials fail with the reason;
    what the workload cannot have is known.

    Raises:
        BadInput: nothing would be left, or nothing that a warm start is of use for.
    """
    space = config.search_space()
    if not (needs_fitting(space) or has_limited(space)):
        return config
    from models.application.capabilities import form_fault, number_faults
    from models.application.trying import count_of_blocks, examples_of, lever_faults
    from models.device import run_device
    from tuning.training.examination.pretrained import is_pretrained

    try:
        fault = form_fault(workload, PLAIN, run_device())
    except Exception as error:
        fault = told(error)
    if fault is not None:
        raise BadInput(f"workload {workload.name!r} cannot be trained: {fault}")
    fits = [
        fit_numbers(space, number_faults(workload)),
        fit_gates(space, lever_faults(workload, run_device())),
    ]
    if (examples := examples_of(workload)) > 1:
        fits.append(fit_batches(space, examples))
    if has_limited(space, GROWTH) and (blocks := count_of_blocks(workload)) > 1:
        fits.append(fit_growth(space, blocks))
    if config.address is None:
        fits.append(fit_memory(space, memory_gib()))
        computing = fit_computing(space, run_device().type)
        taken = {name: {"choices": list(left)} for name, left in computing.choices.items()}
        narrower = applied(space, taken)[0]
        forms = fit_space(narrower, lambda form: form_fault(workload, form, run_device()))
        fits += [computing, forms]
    for remark in (remark for fit in fits for remark in fit.remarks):
        say(remark)
    if faults := [fault for fit in fits for fault in fit.faults]:
        raise BadInput(faults)
    if space.suggested_pretrained and is_pretrained(workload):
        say(PRETRAINED)
        config = dataclasses.replace(config, pretrained=True)
    choices = {name: values for fit in fits for name, values in fit.choices.items()}
    return _narrowed(config, {name: list(values) for name, values in choices.items()})


def fitted_as_there(config: SearchConfig, other: Path | None) -> SearchConfig | None:
    """The search as ``fitted_to_device`` left it in the run ``other``, whose clock is taken: that
    clock holds for no other workload, device or torch. None where no clock is taken, or where
    ``other`` searched another space.

    Raises:
        BadInput: nothing is left that a warm start is of use for.
    """
    left = None if other is None else left_there(config, other)
    if left is None:
        return None
    if left.device_choices:
        names = ", ".join(left.device_choices)
        say(f"left out of the space, as in {other}: some values of {names}")
    return _narrowed(left, left.device_choices)


def _narrowed(config: SearchConfig, left: Mapping[str, list[Scalar]]) -> SearchConfig:
    config = dataclasses.replace(config, device_choices={**config.device_choices, **left})
    if left and (faults := warm_start_faults(config)):  # of the whole space it was no fault
        raise BadInput(faults)
    return config


def resume_search(
    run: Path,
    changes: dict[str, Any] | None = None,
    *,
    retry_failed: bool = False,
    watcher: Watcher | None = None,
) -> SearchResult:
    """Go on with the search in directory ``run``.

    ``changes`` are options that it has from now on. With ``retry_failed`` its failed trials run
    again, under their numbers.

    Raises:
        BadInput: not a run, a run of another version, or changes it cannot have.
        Interrupted, SearchFailed: as ``run_search``.
    """
    return carry_on(Resume.of(run, changes or {}, retry_failed=retry_failed), watcher)


def refuse_users_session(config: SearchConfig, resources: Resources) -> None:
    """Refuse a Ray session of the user's that cannot run the search's trials.

    Raises:
        BadInput: names what the session lacks.
    """
    if config.driver != "ray":
        return
    from tuning.drivers.ray_cluster import in_users_session, users_session_faults

    if is_given(config.workload) and (config.address is not None or in_users_session()):
        raise BadInput(
            "a workload given as an object reaches the processes of a search of its own, but this "
            "one joins Ray: put the factory into a file and name it file.py:factory, or end Ray's "
            "session first (ray.shutdown())"
        )
    faults = users_session_faults(
        config.address, resources.cpus_per_trial, resources.gpus_per_trial or 0.0
    )
    if faults:
        raise BadInput(faults)


def resume_faults(request: Resume) -> list[str]:
    """The fault of a run that does not exist, and faults of single values. Whether the machine has
    what they ask for is checked when the run is read.
    """
    ample = Machine(cpus=float("inf"), gpus=1 << 30)
    faults = config_faults(SearchConfig("", **request.changes), ample, unchecked, resuming=True)
    if not is_run(request.run):
        folder = not too_long(request.run) and request.run.is_dir()
        what = "holds no run.json" if folder else "is not a directory"
        faults.append(f"--resume must name the directory of a search, but {request.run} {what}")
    return faults


def carry_on(request: Resume, watcher: Watcher | None = None) -> SearchResult:
    """Go on with the search that a ``Resume`` request names; see ``resume_search``."""
    refuse_nested()
    faults = [*request.faults, *resume_faults(request)]
    if not is_run(request.run):
        raise BadInput(faults)
    store = Store.open(request.run)
    store.info.require_version(VERSION)
    faults += refusals(stored_config(store), request)
    workload, differ = _workload_of(store)
    faults += [*differ, *fewer_trials_faults(store, request.changes.get("trials"))]
    if faults:
        raise BadInput(dict.fromkeys(faults))  # the same rule may be seen twice
    assert workload is not None, "what has no fault was found"
    config = resumed(stored_config(store), request)
    resources = config.resources(Machine.here())
    refuse_users_session(config, resources)
    return conduct(store, config, workload, resources, watcher, retry_failed=request.retry_failed)


def _workload_of(store: Store) -> tuple[Workload | None, list[str]]:
    """The workload of a run that goes on, None where it cannot be had, and what has changed."""
    from models.registry import find_workload

    config = stored_config(store)
    try:
        workload = find_workload(config.workload, Path(config.corpus) if config.corpus else None)
        return workload, other_data_faults(store, config, workload)
    except BadInput as fault:
        return None, fault.faults
    except ValueError as fault:
        return None, [str(fault)]
