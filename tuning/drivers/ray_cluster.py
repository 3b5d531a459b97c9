"""A Ray cluster of one machine that lives in the run directory, or a place in one that exists
already.

Everything Ray writes is under RUN/ray and is removed at the end.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import math
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from tuning.drivers.ray_helpers import few_helpers
from tuning.errors import SearchFailed

OBJECT_STORE_BYTES = 80 * 2**20
"""The least Ray takes: nothing is passed through it."""

SETTINGS: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial without a share of a GPU sees none
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths mean the same in a worker as in the driver
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # the store is the truth: there is nothing of Tune's to save
    "TUNE_GLOBAL_CHECKPOINT_S": "1e12",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_STATE_REFRESH_PERIOD": "1e12",  # asks Ray for its resources, for a display that is off
}
LOCAL_SETTINGS: Mapping[str, str] = {
    # Despite its name, on every system "0" makes the node's address 127.0.0.1, so that all of Ray's
    # ports are local.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
GUARD = 'read -r _; kill -9 "$@"; rm -f "$0"'
"""Waits for the end of this process, however it comes. Ray's servers and workers end with it by
themselves, but its agents would wait another minute for a server that is gone, and nobody would
remove the link."""
SYSTEM_CONFIG: Mapping[str, Any] = {
    "prestart_worker_first_driver": False,  # workers are started when a task needs one
    "worker_niceness": 0,  # Ray would train at the lowest priority but four
}


@functools.cache
def _token() -> str:
    return secrets.token_hex(32)


def token_settings() -> dict[str, str]:
    """A secret for Ray's servers, unless the user has one: Ray would write its own to the home
    directory.

    It is the same for the life of this process, because Ray reads it once.
    """
    theirs = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ
    disabled = os.environ.get("RAY_AUTH_MODE", "token").lower() != "token"
    if theirs or disabled or (Path.home() / ".ray" / "auth_token").exists():
        return {}
    return {"RAY_AUTH_TOKEN": _token()}


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, for this process and those it starts, and put them back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
    """Put back the signal handlers that Ray or Tune replaces.

    Stopping a search is its session's business.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Ray's loggers off the terminal.

    What matters of what they say is reported as a reason or an error.
    """
    loggers = [logging.getLogger(name) for name in ("ray", "ray.tune", "ray.data", "ray.train")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


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
        _remove(self.home)
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
        """Nothing else runs in it."""
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
        _remove(self.home)


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
        _remove(self.home)
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
        _remove(self.home)


class UsersSession:
    """The Ray session that this process was in before the search began; it goes on afterwards.

    Attributes:
        home: RUN/ray, where Tune's few files are while the search runs.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    def start(self) -> None:
        """Make a place for Tune's files."""
        _remove(self.home)
        self.home.mkdir(parents=True)

    def dead(self) -> str | None:
        """Why no task can run any more, or None."""
        return None if in_users_session() else "the Ray session was ended"

    def held_up(self, cpus: float, gpus: float) -> str | None:
        """What of a trial's share other work holds, or None."""
        return _taken("the Ray session that was begun before", cpus, gpus)

    def stop(self) -> None:
        """Leave it as it was."""
        _remove(self.home)


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
    """Whether this process is in a Ray session. Ray is not imported for that."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def users_session_faults(address: str | None, cpus: float, gpus: float) -> list[str]:
    """What keeps a search out of the Ray session that was begun before it; empty without one.

    Args:
        address: of the cluster that the search was told to join.
        cpus: cores of one trial.
        gpus: of one trial.
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


def _remove(directory: Path) -> None:
    # Processes that are just ending may still write into it.
    for _ in range(100):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
        time.sleep(0.1)


LINK_PREFIX = "ttq-"
_LINK = re.compile(f"{LINK_PREFIX}(?P<pid>[0-9]+)-[0-9a-f]{{6}}")


LONGEST_LINK = 42
"""107 bytes of a socket's name less
``/session_DATE_TIME_MICROSECONDS_PID/sockets/plasma_store``.
"""


def remove_stale_links(directory: Path) -> None:
    """Remove the links of searches that are no more.

    A worker that was just starting when its search died makes a directory of the link's name, for
    its log.
    """
    for link in directory.glob(f"{LINK_PREFIX}*"):
        found = _LINK.fullmatch(link.name)
        if found and not psutil.pid_exists(int(found["pid"])):
            with contextlib.suppress(OSError):  # another user's, or already gone
                if link.is_symlink():
                    link.unlink()
                else:
                    shutil.rmtree(link)


def make_link(target: Path) -> Path:
    """A short link to ``target`` in the directory for temporary files.

    Raises:
        SearchFailed: no such directory has a short enough name.
    """
    name = f"{LINK_PREFIX}{os.getpid()}-{secrets.token_hex(3)}"
    # Only a link, and its name is random.
    for directory in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108
        link = directory / name
        if len(os.fsencode(link)) <= LONGEST_LINK and os.access(directory, os.W_OK):
            remove_stale_links(directory)
            link.symlink_to(target, target_is_directory=True)
            return link
    raise SearchFailed(
        "Ray's sockets need a directory for temporary files with a short name, but got "
        f"{tempfile.gettempdir()!r}: "
        "set TMPDIR to one of at most 20 characters"
    )
