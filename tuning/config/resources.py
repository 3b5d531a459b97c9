"""How a machine is shared among trials: how many at once, and what each may use."""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import dataclass
from pathlib import Path

import psutil

DEFAULT_GPU_FRACTION = 0.25
MOST_ON_A_GPU = 8
"""Trials at once on the one GPU of a machine at most, where their number is found by measuring."""
DEFAULT_CPUS_PER_TRIAL = 1.0
MOST_TRIALS_PER_CORE = 8
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Machine:
    """What trials may use: ``cpus`` usable cores (a share of a core counts as that share) and
    ``gpus``.
    """

    cpus: float
    gpus: int = 0

    @classmethod
    def here(cls) -> Machine:
        """The part of this machine that this process may use. Imports torch to count GPUs."""
        return cls(usable_cpus(), _count_gpus())


@dataclass(frozen=True)
class Resources:
    """What each of ``concurrency`` trials at once may use: cores, GPUs, and the ``threads`` that
    torch computes with on a CPU. Where the search ``fills`` the device, ``concurrency`` is an upper
    bound.
    """

    concurrency: int
    cpus_per_trial: float
    gpus_per_trial: float
    threads: int
    fills: bool = False


def share(
    machine: Machine,
    concurrency: int | None = None,
    cpus_per_trial: float | None = None,
    gpus_per_trial: float | None = None,
) -> Resources:
    """The resources that were asked for; where nothing was, what the machine allows.

    A machine's one GPU is filled with trials by measuring, up to ``MOST_ON_A_GPU``. Where there are
    more GPUs a trial has a quarter of one: Ray fills one before the next, so that few trials would
    leave the others idle. A trial has one core, or an even share of the cores where more trials run
    at once than there are cores. The number of threads does not depend on how many trials there are
    unless that is asked for, because it changes the last bits of what a trial computes.
    """
    fills = machine.gpus == 1 and concurrency is None and gpus_per_trial is None
    if gpus_per_trial is None:
        gpus_per_trial = (
            1 / MOST_ON_A_GPU if fills else DEFAULT_GPU_FRACTION if machine.gpus else 0.0
        )
    if concurrency is None:
        concurrency = _fitting(machine, cpus_per_trial, gpus_per_trial)
    if cpus_per_trial is None:
        cpus_per_trial = min(DEFAULT_CPUS_PER_TRIAL, machine.cpus / concurrency)
    return Resources(
        concurrency, cpus_per_trial, gpus_per_trial, max(1, math.floor(cpus_per_trial)), fills
    )


def slots(gpus: int, gpus_per_trial: float) -> int:
    """Trials that ``gpus`` GPUs hold at once: a fraction never spans two of them."""
    if gpus_per_trial < 1:
        return gpus * math.floor(1 / gpus_per_trial + 1e-9)
    return math.floor(gpus / gpus_per_trial)


def resource_faults(
    machine: Machine,
    concurrency: int | None = None,
    cpus_per_trial: float | None = None,
    gpus_per_trial: float | None = None,
) -> list[str]:
    """Why ``machine`` cannot give what was asked for; empty where it can. Each number by itself is
    taken to be in range.
    """
    if gpus_per_trial and not machine.gpus:
        return [
            f"gpus-per-trial needs a GPU, but got {gpus_per_trial:g} where there is none: "
            "leave it out to train on the CPU"
        ]
    if gpus_per_trial and slots(machine.gpus, gpus_per_trial) < (concurrency or 1):
        return [
            f"concurrency trials must fit on {machine.gpus} GPU(s), but got "
            f"(concurrency={concurrency or 1}, "
            f"gpus-per-trial={gpus_per_trial:g}): at most {slots(machine.gpus, gpus_per_trial)} fit"
        ]
    if cpus_per_trial and cpus_per_trial * (concurrency or 1) > machine.cpus:
        return [
            f"concurrency × cpus-per-trial <= {machine.cpus:g} usable cores must hold, "
            f"but got (concurrency={concurrency or 1}, cpus-per-trial={cpus_per_trial:g})"
        ]
    if concurrency and concurrency > MOST_TRIALS_PER_CORE * machine.cpus:
        return [
            f"concurrency <= {MOST_TRIALS_PER_CORE} × {machine.cpus:g} usable cores must hold, but "
            f"got {concurrency}: "
            "that many would spend their time taking turns"
        ]
    return []


def usable_cpus(cgroup: Path = CGROUP) -> float:
    """The number of cores this process may use: those of its affinity, or its control group's quota
    where that is less.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = _quota(cgroup)
    return cores if quota is None else min(cores, quota)


def _quota(cgroup: Path) -> float | None:
    """The control group's limit in cores; None where there is none (version 2, then version 1)."""
    try:
        limit, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            limit = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    return int(limit) / int(period) if limit.isdigit() and int(period) else None


def _fitting(machine: Machine, cpus_per_trial: float | None, gpus_per_trial: float) -> int:
    limits = [machine.cpus / (cpus_per_trial or DEFAULT_CPUS_PER_TRIAL)]
    if gpus_per_trial:
        limits = [slots(machine.gpus, gpus_per_trial)]
        limits += [machine.cpus / cpus_per_trial] if cpus_per_trial else []
    return max(1, math.floor(min(limits)))


def _count_gpus() -> int:
    from models.device import count_gpus

    return count_gpus()


def memory_gib(cgroup: Path = CGROUP) -> float:
    """Main memory that this process may use, in GiB: the machine's, or its control group's limit
    where that is less.
    """
    found = [float(psutil.virtual_memory().total)]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # version 2, then version 1
        with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
            found.append(float((cgroup / name).read_text()))
    return min(found) / 2**30
