"""Another run's clock for a new search, so that the seconds of both are charged by one table.

It is copied into the new run's run.json as that is created; from then on the other run may change
or go. What the table holds for (``CostTable.key``) must be what the search will do, as far as that
is known here; where trials run elsewhere, a worker finds another device or torch before anything is
trained.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from models.making import blocks_of, new_model
from models.workload import Workload
from tuning.config import option
from tuning.config.config import CALIBRATE, SearchConfig
from tuning.config.faults import faults_of_space
from tuning.config.resources import Machine, Resources
from tuning.errors import BadInput
from tuning.session.calibrations import disturbed
from tuning.session.identity import identity_faults
from tuning.session.watch import say
from tuning.store.directory import read_info
from tuning.store.info import RunInfo
from tuning.training.calibration.calibrate import calibration_key, surroundings
from tuning.training.place import local_device
from tuning.trial.clock import CostTable, differing, impossible
from tuning.trial.variants import timed_alone
from tuning.version import VERSION


def clock_of(other: Path) -> tuple[RunInfo, CostTable]:
    """What the run at ``other`` says of itself, and its clock.

    Raises:
        BadInput: it is no run, or its clock is not calibrated yet, or says what no device takes.
    """
    try:
        info = read_info(other)
    except BadInput as error:
        raise BadInput(
            f"--clock must name the directory of a search: {fault}" for fault in error.faults
        ) from None
    if info.calibration is None:
        raise BadInput(
            f"--clock must name a run whose clock is calibrated, but that of {other} is not: wait "
            "until it is, or "
            "leave it out"
        )
    if (fault := impossible(info.calibration)) is not None:
        raise BadInput(
            f"--clock must name a run whose clock was calibrated, but that of {other} has {fault}: "
            "name another run, or leave it out"
        )
    return info, info.calibration


def take_clock(
    info: RunInfo, other: Path, config: SearchConfig, workload: Workload, resources: Resources
) -> tuple[RunInfo, CostTable]:
    """The new run's description ``info`` with the clock of the run at ``other``, and that clock.

    Raises:
        BadInput: that clock does not hold for this search, or see ``clock_of``.
    """
    theirs, costs = clock_of(other)
    refuse_another_clock(other, theirs, costs, config, workload, resources)
    if faults := identity_faults(
        theirs.identity,
        info.identity or {},
        owner=f"whose clock {other} has",
        advice="Put it back as it was, or leave --clock out",
    ):
        raise BadInput(faults)
    return dataclasses.replace(
        info,
        calibration=costs,
        device=costs.device,
        memory=theirs.memory,
        soundness=theirs.soundness,  # it was examined there, with the same device and torch
    ), costs


def left_there(config: SearchConfig, other: Path) -> SearchConfig | None:
    """The search with what the run ``other``, whose clock it takes, found out: the choices of the
    space that are left, and whether the model is pretrained.

    None where that run searched another space, or its trials ran elsewhere than these will.
    """
    theirs, _ = clock_of(other)
    asked = config.to_json()
    if any(theirs.config.get(name) != asked[name] for name in ("space", "knobs", "address")):
        return None
    narrowed = dataclasses.replace(
        config,
        device_choices=theirs.config.get("device_choices", {}),
        pretrained=theirs.config.get("pretrained", False),
    )
    if narrowed.search_space().fingerprint() != theirs.space_fingerprint:
        return None
    return narrowed


def refuse_another_clock(
    other: Path,
    theirs: RunInfo,
    costs: CostTable,
    config: SearchConfig,
    workload: Workload,
    resources: Resources,
) -> None:
    """Refuse a clock that does not hold for the search, and name what it was calibrated for.

    Raises:
        BadInput: the clock does not hold for the search.
    """
    then = {"version": theirs.version, "blocks": str(costs.num_blocks), **costs.key}
    for here in _surely_ours(config, workload, resources):
        if names := differing(then, here):
            was, now = (
                ", ".join(f"{name} {table[name]}" for name in names) for table in (then, here)
            )
            way_out = (
                f"give --cpus-per-trial {then['threads']}"
                if names == ["threads"]
                else "name another run"
            )
            raise BadInput(
                f"--clock must name a run whose clock holds for this search, but that of {other} "
                "was calibrated for "
                f"{was}, and this search has {now}: {way_out}, or leave it out"
            )


def _surely_ours(
    config: SearchConfig, workload: Workload, resources: Resources
) -> Iterator[dict[str, str]]:
    """What is certain about the search's trials, by the names of ``calibration_key``: first what
    can be told without making the model, then what the model tells.

    It leaves out a cluster's devices, and how exact products of matrices are in another process.
    """
    device = local_device(hides_gpus=config.driver == "ray" and not resources.gpus_per_trial)
    yield {
        "version": VERSION,
        "workload": workload.name,
        "fingerprint": workload.fingerprint,
        "threads": str(resources.threads),
        **({} if config.address else surroundings(device)),
    }
    model = new_model(workload, 0)
    blocks = len(blocks_of(workload, model))
    key = calibration_key(model, workload, device, resources.threads)
    known = ("dtype", "matmul precision") if config.driver == "serial" else ("dtype",)
    yield {"blocks": str(blocks), **{name: key[name] for name in known}}


def described(costs: CostTable, other: Path) -> str:
    """One line for the user that says whose clock it is."""
    return (
        f"clock: that of {other}, calibrated on {costs.device} for trials of {costs.threads} "
        "thread(s)"
    )


def warm_start_faults(config: SearchConfig) -> list[str]:
    """Faults of warm starting. The other run is looked at only where the space is known to be
    sound, because its trials are compared with the space.
    """
    if not isinstance(config.warm_start, str):
        return []
    if config.sampler == "random":
        return [
            "--warm-start must come with a sampler that learns from trials, but got random: leave "
            "one of them out"
        ]
    if faults_of_space(config):
        return []
    from tuning.study.warm_start import gather

    try:
        gather(Path(str(config.warm_start)), Path(config.run), config.search_space())
    except BadInput as error:
        return list(error.faults)
    return []


def clock_faults(config: SearchConfig) -> list[str]:
    """Faults of the run whose clock is asked for. Whether its clock holds for this search is seen
    when the search begins (``run_search``).
    """
    if not isinstance(config.clock, str) or config.clock == CALIBRATE:
        return []
    try:
        clock_of(Path(config.clock))
    except BadInput as error:
        return list(error.faults)
    return []


def unfit_clock_faults(config: SearchConfig, workload: Workload) -> list[str]:
    """Why the clock asked for does not hold for a search that has other faults, as far as these
    allow to see it.
    """
    if not isinstance(config.clock, str) or config.clock == CALIBRATE or option.faults(config):
        return []
    other = Path(config.clock)
    try:
        theirs, costs = clock_of(other)
        refuse_another_clock(
            other, theirs, costs, config, workload, config.resources(Machine.here())
        )
    except BadInput as error:
        return list(error.faults)
    return []


def with_clock_of(
    other: Path, info: RunInfo, config: SearchConfig, workload: Workload, resources: Resources
) -> RunInfo:
    """The new run's description ``info`` with the clock of the run at ``other``. The user is told
    whose clock it is, and it is noted where they did not ask for it.

    Raises:
        BadInput: that clock does not hold for this search.
    """
    info, costs = take_clock(info, other, config, workload, resources)
    if config.clock is None:
        say(f"{described(costs, other)}; --clock {CALIBRATE} calibrates anew")
        info = dataclasses.replace(info, clock_from=str(other), calibration=timed_alone(costs))
    else:
        say(described(costs, other))
    if costs.disturbances:
        say(f"warning: {disturbed(costs)}")
    return info
