"""Another run's clock for a new search, so that the seconds of both are charged by one table.

It is copied into the new run's run.json as that is created; from then on the other run may change or go. What the table
holds for (``CostTable.key``) must be what the search will do, as far as that is known here; where trials run
elsewhere, a worker finds another device or torch before anything is trained.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from models.workload import Workload
from tuning import VERSION
from tuning.calibrate import calibration_key, surroundings
from tuning.clock import CostTable, differing
from tuning.config import SearchConfig
from tuning.errors import BadInput
from tuning.resources import Resources
from tuning.run_info import RunInfo
from tuning.store_directory import read_info
from tuning.worker_place import local_device


def clock_of(other: Path) -> tuple[RunInfo, CostTable]:
    """What the run at ``other`` says of itself, and its clock.

    Raises:
        BadInput: it is no run, or its clock is not calibrated yet.
    """
    try:
        info = read_info(other)
    except BadInput as error:
        raise BadInput(f"--clock must name the directory of a search: {fault}" for fault in error.faults) from None
    if info.calibration is None:
        raise BadInput(
            f"--clock must name a run whose clock is calibrated, but that of {other} is not: wait until it is, or "
            "leave it out"
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
    _refuse_another(other, theirs, costs, config, workload, resources)
    return dataclasses.replace(info, calibration=costs, device=costs.device, memory=theirs.memory), costs


def _refuse_another(
    other: Path, theirs: RunInfo, costs: CostTable, config: SearchConfig, workload: Workload, resources: Resources
) -> None:
    """Name what the clock holds for and the search does otherwise."""
    then = {"version": theirs.version, "blocks": str(costs.num_blocks), **costs.key}
    for here in _surely_ours(config, workload, resources):
        if names := differing(then, here):
            was, now = (", ".join(f"{name} {table[name]}" for name in names) for table in (then, here))
            way_out = f"give --cpus-per-trial {then['threads']}" if names == ["threads"] else "name another run"
            raise BadInput(
                f"--clock must name a run whose clock holds for this search, but that of {other} was calibrated for "
                f"{was}, and this search has {now}: {way_out}, or leave it out"
            )


def _surely_ours(config: SearchConfig, workload: Workload, resources: Resources) -> Iterator[dict[str, str]]:
    """What the search's trials will have, by the names of ``calibration_key``: first without the model, then of it.

    Nothing is said of a cluster's devices, nor of how exact products of matrices are in another process.

    Raises:
        BadInput: the model cannot be made.
    """
    device = local_device(hides_gpus=config.driver == "ray" and not resources.gpus_per_trial)
    yield {
        "version": VERSION,
        "workload": workload.name,
        "fingerprint": workload.fingerprint,
        "threads": str(resources.threads),
        **({} if config.address else surroundings(device)),
    }
    try:
        model = workload.make_model(0)
        blocks = len(workload.blocks(model))
    except Exception as fault:
        raise BadInput(
            f"the model of workload {workload.name} must be one that can be made, but got: {fault!r}"
        ) from None
    key = calibration_key(model, workload, device, resources.threads)
    known = ("dtype", "matmul precision") if config.driver == "serial" else ("dtype",)
    yield {"blocks": str(blocks), **{name: key[name] for name in known}}


def described(costs: CostTable, other: Path) -> str:
    """Whose clock it is, in one line."""
    return f"clock: that of {other}, calibrated on {costs.device} for trials of {costs.threads} thread(s)"
