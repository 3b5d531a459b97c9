"""Taking failed records out of the table, so that their trials run again.

A record never changes, and a number has one row. So a failed record goes to RUN/set_aside whole,
and only then does the file that held it disappear, by one system call. A kill before that call
leaves the table as it was; after it the trial is one in flight, which it was made before all this.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection
from pathlib import Path

from tuning.layout import RUNNING, SET_ASIDE, TRUNK
from tuning.store.catalog import Catalog
from tuning.store.files import Files
from tuning.store.parquet import RecordFormat
from tuning.store.shards import Shard, without
from tuning.trial.task import Task
from tuning.trial.trial import TrialRecord, TrialSpec


def spec_of(record: TrialRecord) -> TrialSpec:
    """The spec that a record's trial was given."""
    return TrialSpec(
        **{field.name: getattr(record, field.name) for field in dataclasses.fields(TrialSpec)}
    )


class Withdrawal:
    """Takes records out of a run's files and keeps copies of them.

    Args:
        run: the run directory.
        catalog: the catalog of its trials.
        form: the format of its records.
        files: the file layer.
        fence: raises where another search holds the run by now.
    """

    def __init__(
        self,
        run: Path,
        catalog: Catalog,
        form: RecordFormat,
        files: Files,
        fence: Callable[[], None],
    ) -> None:
        self._run, self._catalog, self._format, self._files, self._fence = (
            run,
            catalog,
            form,
            files,
            fence,
        )

    def trials(self, shard: Shard, numbers: Collection[int]) -> None:
        """Take these trials out of a shard; its other rows are then held by smaller shards."""
        table = self._catalog.table(shard)
        rows = {number: table.slice(number - shard.low, 1) for number in numbers}
        for record in (self._format.to_records(row)[0] for row in rows.values()):
            self._keep_copy(f"{record.number:08d}", record)
        for part in without(shard, numbers):
            # While the shard stands beside them they do not count.
            rest = self._format.to_bytes(table.slice(part.low - shard.low, part.span))
            self._commit(self._catalog.path(part), rest)
        self._remove(self._catalog.path(shard))

    def reference(self, task: Task, record: TrialRecord) -> None:
        """Take out the record of a run that is no trial."""
        self._keep_copy(str(task), record)
        self._remove(self._run / TRUNK / f"{task}.parquet")

    def _keep_copy(self, task: str, record: TrialRecord) -> None:
        folder = self._run / SET_ASIDE
        if not folder.exists():
            self._files.mkdir(folder)
            self._files.fsync_dir(self._run)
        # Executions go on counting, so each failure of a trial has a name of its own.
        name = f"failed-{task}-{record.executions}.parquet"
        self._commit(folder / name, self._format.to_bytes(self._format.to_table([record])))

    def _commit(self, path: Path, data: bytes) -> None:
        with contextlib.suppress(FileExistsError):  # from an attempt that was killed
            self._files.commit_once(path, data, scratch=self._run / RUNNING, before=self._fence)

    def _remove(self, path: Path) -> None:
        self._fence()
        self._files.unlink(path)
        self._files.fsync_dir(path.parent)
