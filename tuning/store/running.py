"""Tasks in flight: RUN/running/TASK.json says what a task is to do, RUN/running/TASK.pt is its
latest checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from tuning.store.catalog import Problem
from tuning.store.files import TEMPORARY_SUFFIX, Files
from tuning.trial.built import built
from tuning.trial.recipe import flat
from tuning.trial.task import Task
from tuning.trial.trial import Limits, TrialSpec


@dataclass(frozen=True)
class InFlight:
    """A task that was begun and not ended.

    Attributes:
        spec: what to train.
        executions: how often a worker has started it.
        checkpoint: where its latest checkpoint is, if it wrote one.
        limits: losses above which it is stopped; None where it is not to be.
    """

    task: Task
    spec: TrialSpec
    executions: int
    checkpoint: Path
    limits: Limits | None = None


@dataclass(frozen=True)
class _Note:
    """What RUN/running/TASK.json holds; attributes as in ``InFlight``."""

    executions: int
    spec: TrialSpec
    limits: Limits | None = None


class Running:
    """The directory of tasks in flight."""

    def __init__(self, folder: Path, files: Files) -> None:
        self.folder = folder
        self._files = files

    def begin(
        self, task: Task, spec: TrialSpec, executions: int = 0, limits: Limits | None = None
    ) -> None:
        """Note the task, which was started ``executions`` times before; FileExistsError where it is
        in flight already.
        """
        self._files.commit_once(self._path(task), _to_bytes(spec, executions, limits))

    def started(self, task: Task) -> int:
        """Count one more execution, durably, and return how many there are now; KeyError where the
        task is not in flight.
        """
        found = self.get(task)
        self._files.write_atomic(
            self._path(task), _to_bytes(found.spec, found.executions + 1, found.limits)
        )
        return found.executions + 1

    def get(self, task: Task) -> InFlight:
        """The task; KeyError where it is not in flight, ValueError where its file cannot be
        understood.
        """
        try:
            data = json.loads(self._path(task).read_bytes())
        except FileNotFoundError:
            raise KeyError(f"task {task} is not in flight") from None
        try:
            note = built(_Note, data)
        except ValueError as error:
            raise ValueError(f"{self._path(task)} must describe a task, but got {error}") from None
        return InFlight(task, note.spec, note.executions, self.checkpoint(task), note.limits)

    def tasks(self) -> list[Task]:
        """Every task, trials first, by number."""
        found = []
        for path in self.folder.glob("*.json"):
            with contextlib.suppress(ValueError):  # a file of somebody else's
                found.append(Task.parse(path.stem))
        return sorted(found, key=lambda task: (not task.is_trial, task.number))

    def problems(self) -> list[Problem]:
        """The files that should describe a task and do not."""
        found = []
        for task in self.tasks():
            try:
                self.get(task)
            except ValueError as error:
                found.append(Problem(self._path(task), "torn", f"torn: {error}"))
            except KeyError:
                continue
        return found

    def checkpoint(self, task: Task) -> Path:
        """Where the task's latest checkpoint is or will be."""
        return self._path(task).with_suffix(".pt")

    def end(self, task: Task) -> None:
        """Forget the task and its checkpoint; harmless where there is none."""
        # The checkpoint first: a task without one is begun anew, a checkpoint without its task
        # would be litter.
        for path in (self.checkpoint(task), self._path(task)):
            with contextlib.suppress(FileNotFoundError):
                self._files.unlink(path)

    def litter(self) -> list[Path]:
        """What a killed search left: temporary files, and checkpoints whose task is gone."""
        tasks = {str(task) for task in self.tasks()}
        temporary = self.folder.glob(f".*{TEMPORARY_SUFFIX}")
        return [*temporary, *(p for p in self.folder.glob("*.pt") if p.stem not in tasks)]

    def _path(self, task: Task) -> Path:
        return self.folder / f"{task}.json"


def _to_bytes(spec: TrialSpec, executions: int, limits: Limits | None) -> bytes:
    data = dataclasses.asdict(_Note(executions, spec, limits))
    return json.dumps(data | {"spec": flat(data["spec"])}, indent=2, allow_nan=False).encode()
