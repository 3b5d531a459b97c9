"""A Ray cluster of one machine that lives in the run directory, or a place in one that exists
already.

Everything Ray writes is under RUN/ray and is removed at the end.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from tuning.drivers.ray_files import make_link, remove_files
from tuning.drivers.ray_helpers import few_helpers
from tuning.drivers.ray_surroundings import LOCAL_SETTINGS, environment
from tuning.errors import SearchFailed

OBJECT_STORE_BYTES = 80 * 2**20
"""The smallest object store that Ray takes: nothing is passed through it."""

GUARD = 'read -r _; kill -9 "$@"; rm -f "$0"'
"""Waits for the end of this process, however it comes. Ray's servers and workers end with it by
themselves, but its agents would wait another minute for a server that is gone, and nobody would
remove the link."""
SYSTEM_CONFIG: Mapping[str, Any] = {
    "prestart_worker_first_driver": False,  # workers are started when a task needs one
    "worker_niceness": 0,  # Ray would train at the lowest priority but four
}


def gpus_for(concurrency: int, gpus_per_trial: float) -> int:
    """Whole GPUs that ``concurrency`` trials need; a share never straddles two.

    >>> gpus_for(2, 0.5), gpus_for(3, 0.6), gpus_for(2, 2), gpus_for(4, 0)
    (1, 3, 4, 0)
    """
    if gpus_per_trial <= 0:
        return 0
    if gpus_per_trial >= 1:
        return math.ceil(concurrency * gpus_per_trial)
    return math.ceil(concurrency / math.floor(1 / gpus_per_trial + 1e-9))


class LocalCluster:
    """Ray on this machine alone, started by ``start`` and gone after ``stop``, with all its files.

    Attributes:
        home: RUN/ray, where Ray's files are while it runs.
    """

    def __init__(self, home: Path, *, cpus: int, gpus: int) -> None:
        self.home = home
        self._cpus = cpus
        self._gpus = gpus
        self._link: Path | None = None
        self._processes: list[psutil.Process] = []
        self._servers: list[psutil.Process] = []
        self._head: psutil.Process | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start Ray's processes; they die with this one."""
        remove_files(self.home)
        self.home.mkdir(parents=True)
        self._link = make_link(self.home)
        with environment(LOCAL_SETTINGS), few_helpers():
            _connect(
                address="local",
                num_cpus=self._cpus,
                num_gpus=self._gpus,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                _temp_dir=os.fspath(self._link),
                _system_config=dict(SYSTEM_CONFIG),
            )
        self._processes = psutil.Process().children(recursive=True)
        self._servers = [p for p in self._processes if p.name() in ("raylet", "gcs_server")]
        self._head = next((p for p in self._servers if p.name() == "gcs_server"), None)
        self._guard = _start_guard(self._link, [process.pid for process in self._processes])

    def dead(self) -> str | None:
        """Why no task can run any more, or None."""
        for process in self._servers:
            if not _alive(process):
                return f"a server of Ray on this machine (process {process.pid}) has died"
        return None

    def held_up(self, cpus: float, gpus: float) -> str | None:
        """None: nothing else runs in this cluster."""
        return None

    def stop(self) -> None:
        """End Ray's processes and remove its files."""
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
        if self._head is not None and not _alive(self._head):
            _abandon(self._processes)
        else:
            _disconnect()
        if self._link is not None:
            self._link.unlink(missing_ok=True)
        remove_files(self.home)


def _start_guard(link: Path, pids: list[int]) -> subprocess.Popen[bytes]:
    # In a session of its own, so that neither Ctrl-C nor the killing of a whole process group takes
    # it along.
    return subprocess.Popen(
        ["/bin/sh", "-c", GUARD, os.fspath(link), *map(str, pids)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class JoinedCluster:
    """A place in a Ray cluster that was started elsewhere and goes on afterwards; the run directory
    is shared.

    Attributes:
        home: RUN/ray, where Tune's few files are while the search runs.
    """

    def __init__(self, home: Path, address: str, worker_environment: Mapping[str, str]) -> None:
        self.home = home
        self._address = address
        self._worker_environment = worker_environment

    def start(self) -> None:
        """Connect to the cluster.

        Raises:
            SearchFailed: nothing answers at the address.
        """
        remove_files(self.home)
        self.home.mkdir(parents=True)
        try:
            _connect(
                address=self._address, runtime_env={"env_vars": dict(self._worker_environment)}
            )
        except ConnectionError as error:
            raise SearchFailed(f"no Ray cluster answers at {self._address!r}: {error}") from error

    def dead(self) -> str | None:
        """Why no task can run any more, or None; Ray itself notices when its head is gone."""
        return None

    def held_up(self, cpus: float, gpus: float) -> str | None:
        """What of a trial's share other work holds, or None."""
        return _taken("the cluster", cpus, gpus)

    def stop(self) -> None:
        """Leave the cluster."""
        _disconnect()
        remove_files(self.home)


class UsersSession:
    """The Ray session that this process was in before the search began; it goes on afterwards.

    Attributes:
        home: RUN/ray, where Tune's few files are while the search runs.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    def start(self) -> None:
        """Make a place for Tune's files."""
        remove_files(self.home)
        self.home.mkdir(parents=True)

    def dead(self) -> str | None:
        """Why no task can run any more, or None."""
        return None if in_users_session() else "the Ray session was ended"

    def held_up(self, cpus: float, gpus: float) -> str | None:
        """What of a trial's share other work holds, or None."""
        return _taken("the Ray session that was begun before", cpus, gpus)

    def stop(self) -> None:
        """Leave it as it was."""
        remove_files(self.home)


def _taken(whose: str, cpus: float, gpus: float) -> str | None:
    import ray

    has, free = ray.cluster_resources(), ray.available_resources()
    lacking = [
        f"{need:g} {name} ({free.get(name, 0):g} of {has.get(name, 0):g} free)"
        for name, need in (("CPU", cpus), ("GPU", gpus))
        if need > free.get(name, 0)
    ]
    if not lacking:
        return None
    return (
        f"waiting for other work in {whose} to end: a trial needs {' and '.join(lacking)}; end "
        "that work, or this search and resume it later"
    )


def in_users_session() -> bool:
    """Whether this process is in a Ray session already. Does not import Ray."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def users_session_faults(address: str | None, cpus: float, gpus: float) -> list[str]:
    """What keeps a search out of the Ray session that was begun before it; empty without one.

    Args:
        address: of the cluster that the search was told to join.
        cpus: cores of one trial.
        gpus: GPUs of one trial.
    """
    if not in_users_session():
        return []
    if address is not None:
        return [
            "--address must be left out where this process is in a Ray session already, but got "
            f"{address!r}: the search uses that session; end it (ray.shutdown()) to join another"
        ]
    has = sys.modules["ray"].cluster_resources()
    wanted = {"CPU": cpus, "GPU": gpus}
    return [
        f"the Ray session that was begun before must have {need:g} {name} for a trial, but has "
        f"{has.get(name, 0):g}: begin it with more, or end it (ray.shutdown()) first"
        for name, need in wanted.items()
        if need > has.get(name, 0)
    ]


def _connect(**options: Any) -> None:
    import ray
    from ray._private import ray_constants, worker

    # Deaths of workers are reported as lost tasks; Ray would also print them into the progress
    # display.
    worker._worker_logs_enabled = False
    # Read from the environment when ray was first imported, which may have been before this search.
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = options["address"] != "local"
    try:
        ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **options)
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _disconnect() -> None:
    import ray

    ray.shutdown()


def _abandon(processes: list[psutil.Process]) -> None:
    """Leave a cluster whose head is gone, for which any farewell would wait a minute.

    After that minute Ray ends this process with status 1; at the process's own end its clean-up
    would wait, or crash, so that end comes at once and with the same status.
    """
    from ray._private import worker
    from ray.air.execution import PlacementGroupResourceManager

    for process in [*processes, *psutil.Process().children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    PlacementGroupResourceManager.clear = lambda manager: None  # called when one is collected
    if sys.excepthook is worker.custom_excepthook:  # would report an error to the head first
        sys.excepthook = worker.normal_excepthook
    atexit.register(_end_at_once)


def _end_at_once() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(1)
