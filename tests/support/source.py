"""A task source with a script, and the small functions that its tasks run in a worker."""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tuning.drivers.driver import Nothing
from tuning.trial.task import Ending, Lost

ENTRY = "tests.support.source:act"


class ListSource:
    """Offers ``tasks`` in order; a lost task is offered again until it was lost ``patience`` times.

    Attributes:
        tasks: as they were given.
        barrier: after this many tasks the source answers WAIT until all of them have ended.
        log: what the driver told, in order: (``ended`` or ``lost``, task, the ending's name or
            the reason).
        most_in_flight: the most tasks that were in flight at once.
    """

    def __init__(
        self,
        tasks: Iterable[str],
        *,
        barrier: int | None = None,
        patience: int = 2,
        deadline: float | None = None,
    ) -> None:
        self.tasks = tuple(tasks)
        self.waiting = deque(self.tasks)
        self.barrier = barrier
        self.patience = patience
        self.limit = deadline
        self.in_flight: list[str] = []
        self.most_in_flight = 0
        self.asked = 0
        self.ticks = 0
        self.stopped = False
        self.log: list[tuple[str, str, str]] = []
        self.losses: dict[str, int] = {}

    def ask(self) -> str | Nothing:
        if self.stopped or not self.waiting:
            return Nothing.WAIT if self.in_flight and not self.stopped else Nothing.DONE
        if self.asked == self.barrier and self.in_flight:
            return Nothing.WAIT
        task = self.waiting.popleft()
        self.asked += 1
        self.in_flight.append(task)
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight))
        return task

    def ended(self, task: str, ending: Ending) -> None:
        self.in_flight.remove(task)
        self.log.append(("ended", task, ending.name))

    def lost(self, task: str, why: Lost) -> None:
        self.in_flight.remove(task)
        self.log.append(("lost", task, str(why)))
        self.losses[task] = self.losses.get(task, 0) + 1
        if self.losses[task] < self.patience:
            self.waiting.append(task)

    def deadline(self, task: str) -> float | None:
        return self.limit

    def tick(self) -> None:
        self.ticks += 1

    def told(self, what: str) -> list[str]:
        """Tasks of which ``what`` (ended or lost) was told, in order."""
        return [task for kind, task, _ in self.log if kind == what]

    def reasons(self, task: str) -> list[str]:
        """Why ``task`` was lost, each time."""
        return [reason for kind, name, reason in self.log if kind == "lost" and name == task]


_calls_in_this_process: list[str] = []


def act(run: str, task: str, epoch: int) -> Ending:
    """Do what the first word of ``task`` says, and leave a note of having been called.

    See ``notes``.
    """
    verb = task.partition("-")[0]
    first = not any(Path(run).glob(f"note-*@{task}@*"))
    _calls_in_this_process.append(task)
    _note(run, task, epoch)
    if verb == "raise":
        raise ValueError(f"{task} cannot be")
    if verb == "quit" and first:
        os._exit(7)
    if verb == "kill" and first:
        os.kill(os.getpid(), signal.SIGKILL)
    if verb == "hang" and first:
        time.sleep(600)
    if verb == "exit":
        raise SystemExit(5)
    if verb == "nap":
        time.sleep(1.0)
    if verb == "meet":
        _until(
            lambda: (
                len({note["pid"] for note in notes(Path(run)) if note["task"].startswith("meet-")})
                > 1
            )
        )
    if verb == "stop":
        _until((Path(run) / "stop").exists)
    return Ending.INTERRUPTED if verb == "stop" else Ending.DONE


def _until(holds: Callable[[], bool]) -> None:
    while not holds():
        time.sleep(0.05)


def _note(run: str, task: str, epoch: int) -> None:
    seen = len(_calls_in_this_process)
    threads = os.environ.get("OMP_NUM_THREADS", "")
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
    row = (
        f"{time.monotonic_ns():020d}",
        task,
        os.getpid(),
        epoch,
        seen,
        threads,
        gpu,
        uuid.uuid4().hex[:6],
    )
    Path(run, "note-" + "@".join(map(str, row))).touch()


def notes(run: Path) -> list[dict[str, Any]]:
    """Every call of ``act``, in order.

    Each has the task, pid, epoch, calls so far in its process, and its threads and GPUs.
    """
    rows = [path.name.split("@") for path in sorted(run.glob("note-*"))]
    return [
        {
            "task": r[1],
            "pid": int(r[2]),
            "epoch": int(r[3]),
            "seen": int(r[4]),
            "threads": r[5],
            "gpu": r[6],
        }
        for r in rows
    ]


def main() -> None:
    """Drive the tasks named after a run directory with Ray, two at once on one logical GPU, and say
    nothing.
    """
    from tuning.drivers.ray_driver import RayDriver

    run, *tasks = sys.argv[1:]
    options: dict[str, Any] = {
        "concurrency": 2,
        "cpus_per_trial": 0.5,
        "gpus_per_trial": 0.5,
        "threads": 3,
    }
    with RayDriver(Path(run), **options, entry=ENTRY) as driver:
        source = ListSource(tasks)
        driver.drive(source)
    assert not source.told("lost"), source.log


if __name__ == "__main__":
    main()
