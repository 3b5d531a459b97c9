"""The driver: Ray Tune runs tasks in worker processes, several at once, each with its share of the
machine.
"""

from __future__ import annotations

import contextlib
import math
from functools import partial
from pathlib import Path
from typing import Any, Self

from tuning.drivers.driver import EXECUTE_APART, TaskSource
from tuning.drivers.ray_cluster import (
    JoinedCluster,
    LocalCluster,
    UsersSession,
    gpus_for,
    in_users_session,
)
from tuning.drivers.ray_surroundings import (
    SETTINGS,
    environment,
    quiet,
    signals_kept,
    token_settings,
)
from tuning.layout import RAY
from tuning.loading import loading


class RayDriver:
    """Runs tasks through Ray Tune.

    Attributes:
        run: the run directory, handed to each task; Ray's own files are in RUN/ray until the driver
            is left.
        concurrency: tasks at once, >= 1.
        cpus_per_trial: CPUs a task is scheduled on; a fraction shares one.
        gpus_per_trial: GPUs a task is scheduled on; a fraction shares one, 0 hides them.
        threads: threads a task computes with.
        address: a Ray cluster to join, or None for one of this machine alone that dies with this
            process.
        epoch: the lease under which the search runs, handed to each task.
        entry: what runs a task, ``package.module:function``, imported in the worker.
    """

    # Many arguments: shares of the machine, beside what every driver has; some test sets each.
    def __init__(
        self,
        run: Path,
        *,
        concurrency: int,
        cpus_per_trial: float,
        gpus_per_trial: float = 0.0,
        threads: int = 1,
        address: str | None = None,
        epoch: int = 0,
        entry: str = EXECUTE_APART,
    ) -> None:
        self.run = run.absolute()
        self.concurrency = concurrency
        self.cpus_per_trial = cpus_per_trial
        self.gpus_per_trial = gpus_per_trial
        self.threads = threads
        self.address = address
        self.epoch = epoch
        self.entry = entry
        self._cluster = self._new_cluster()
        self._open = contextlib.ExitStack()

    def _worker_environment(self) -> dict[str, str]:
        threads = {name: str(self.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        return {**SETTINGS, **threads, "TUNE_MAX_PENDING_TRIALS_PG": str(self.concurrency)}

    def _new_cluster(self) -> LocalCluster | JoinedCluster | UsersSession:
        home = self.run / RAY
        if self.address is None and in_users_session():
            return UsersSession(home)
        if self.address is not None:
            return JoinedCluster(home, self.address, self._worker_environment())
        cpus = math.ceil(self.concurrency * self.cpus_per_trial)
        return LocalCluster(home, cpus=cpus, gpus=gpus_for(self.concurrency, self.gpus_per_trial))

    def __enter__(self) -> Self:
        """Start Ray, or join it.

        Raises:
            SearchFailed: Ray does not start, or nothing answers at the address.
        """
        with contextlib.ExitStack() as stack:
            own = token_settings() if self.address is None else {}
            stack.enter_context(environment({**self._worker_environment(), **own}))
            stack.enter_context(quiet())
            stack.callback(self._cluster.stop)
            with signals_kept(), loading():
                self._cluster.start()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop Ray's processes and remove its files."""
        with signals_kept():
            self._open.close()

    def drive(self, source: TaskSource[Any]) -> None:
        """Run the source's tasks, ``concurrency`` at once, until it is done.

        Raises:
            SearchFailed: Ray is gone.
            Exception: whatever the source raised.
        """
        with loading():
            from tuning.drivers.ray_tune import HandOver, drive

        fixed: dict[str, Any] = {"run": str(self.run), "epoch": self.epoch, "entry": self.entry}
        held_up = partial(self._cluster.held_up, self.cpus_per_trial, self.gpus_per_trial)
        hand_over = HandOver(source, self.concurrency, fixed, self._cluster.dead, held_up)
        with signals_kept():
            drive(
                hand_over,
                self._cluster.home / "results",
                cpus=self.cpus_per_trial,
                gpus=self.gpus_per_trial,
            )
