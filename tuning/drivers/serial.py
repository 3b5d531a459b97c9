"""The driver for tests and debugging: one task after another in this process.

It gives the same records as any other driver. What it cannot do is survive the death of its
process, which is the search's too, and end a task that is past its deadline, since there is nobody
left to end it.
"""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any, Self

from tuning.drivers.driver import EXECUTE, Nothing, TaskSource, function_at
from tuning.layout import RAY
from tuning.trial.task import Ending, Lost

TICK_SECONDS = 1.0
WAIT_SECONDS = 0.05


class SerialDriver:
    """Runs tasks one by one in this process.

    Attributes:
        run: the run directory, handed to each task.
        threads: threads a task computes with.
        epoch: the lease under which the search runs, handed to each task.
        entry: what runs a task, ``package.module:function``.
    """

    def __init__(
        self, run: Path, *, threads: int = 1, epoch: int = 0, entry: str = EXECUTE
    ) -> None:
        self.run = run.absolute()
        self.threads = threads
        self.epoch = epoch
        self.entry = entry

    def __enter__(self) -> Self:
        """Start nothing; remove what a killed search left of Ray's files, as starting Ray would."""
        shutil.rmtree(self.run / RAY, ignore_errors=True)
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing to stop."""

    def drive(self, source: TaskSource[Any]) -> None:
        """Run the source's tasks, each once it is asked for, until it is done."""
        while (task := source.ask()) is not Nothing.DONE:
            source.tick()
            if isinstance(task, Nothing):
                threading.Event().wait(WAIT_SECONDS)
            else:
                self._carry_out(source, task)

    def _carry_out(self, source: TaskSource[Any], task: object) -> None:
        try:
            with _Ticking(source):
                ending: Ending = function_at(self.entry)(os.fspath(self.run), str(task), self.epoch)
        except _SourceFailed as failure:
            raise failure.error from None
        except (Exception, SystemExit) as error:
            source.lost(task, Lost.by(error))
        else:
            source.ended(task, ending)


class _SourceFailed(Exception):  # noqa: N818 - carries an error, is none itself
    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class _Ticking:
    """Calls ``source.tick`` from a thread while the main thread runs a task, and so does not call
    the source itself.
    """

    def __init__(self, source: TaskSource[Any]) -> None:
        self._source = source
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._beat, name="tick", daemon=True)

    def _beat(self) -> None:
        while not self._over.wait(TICK_SECONDS):
            try:
                self._source.tick()
            except BaseException as error:  # handed to the main thread
                self._error = error
                return

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
        if self._error is not None:
            raise _SourceFailed(self._error)
