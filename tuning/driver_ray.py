"""The driver: Ray Tune runs tasks in worker processes, several at once, each with its share of the machine."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any, Self

from tuning.driver import EXECUTE, TaskSource, WorkerError, function_at
from tuning.driver_ray_cluster import (
    SETTINGS,
    JoinedCluster,
    LocalCluster,
    environment,
    gpus_for,
    quiet,
    signals_kept,
    token_settings,
)
from tuning.driver_serial import said

POLL_SECONDS = 0.2


class RayDriver:
    """Runs tasks through Ray Tune.

    Attributes:
        run: the run directory, handed to each task; Ray's own files are in RUN/ray until the driver is left.
        concurrency: tasks at once, >= 1.
        cpus_per_trial: CPUs a task is scheduled on; a fraction shares one.
        gpus_per_trial: GPUs a task is scheduled on; a fraction shares one, 0 hides them.
        threads: threads a task computes with.
        address: a Ray cluster to join, or None for one of this machine alone that dies with this process.
        epoch: the lease under which the search runs, handed to each task.
        entry: what runs a task, ``package.module:function``, imported in the worker.
    """

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
        entry: str = EXECUTE,
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

    def _new_cluster(self) -> LocalCluster | JoinedCluster:
        home = self.run / "ray"
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
            with signals_kept():
                self._cluster.start()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop Ray's processes and remove its files."""
        with signals_kept():
            self._open.close()

    def alone(self, function: str, run: Path) -> None:
        """Run ``package.module:function`` with ``run`` in a worker of its own, with a task's share of the machine.

        Raises:
            WorkerError: the function raised or its process died.
        """
        import ray

        # A worker that has run it ends with it, so that what it imported and cached is not kept beside the tasks.
        remote = ray.remote(max_calls=1, max_retries=0)(_call)
        share = {"num_cpus": self.cpus_per_trial, "num_gpus": self.gpus_per_trial}
        pending = remote.options(**share).remote(function, run.absolute())
        while not ray.wait([pending], timeout=POLL_SECONDS)[0]:
            self._refuse_if_dead()
        try:
            fault = ray.get(pending)
        except ray.exceptions.RayError as error:
            raise WorkerError(f"the worker died: {str(error).strip().splitlines()[0]}") from error
        if fault is not None:
            raise WorkerError(fault)

    def _refuse_if_dead(self) -> None:
        if reason := self._cluster.dead():
            raise WorkerError(reason)

    def drive(self, source: TaskSource) -> None:
        """Run the source's tasks, ``concurrency`` at once, until it is done.

        Raises:
            SearchFailed: Ray is gone.
            Exception: whatever the source raised.
        """
        from tuning.driver_ray_tune import HandOver, drive

        fixed: dict[str, Any] = {"run": str(self.run), "epoch": self.epoch, "entry": self.entry}
        hand_over = HandOver(source, self.concurrency, fixed, self._cluster.dead)
        with signals_kept():
            drive(hand_over, self._cluster.home / "results", cpus=self.cpus_per_trial, gpus=self.gpus_per_trial)


def _call(function: str, run: Path) -> str | None:
    try:
        function_at(function)(run)
    except (Exception, SystemExit) as error:
        return said(error)
    return None
