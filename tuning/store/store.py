"""The run directory: Parquet is the truth, and nothing recorded is lost or recorded twice.

    RUN/run.json            what the run is (``RunInfo``)
    RUN/trials/             finished trials, see ``shards`` for the files' names
    RUN/running/            tasks in flight, temporary files, the lease
    RUN/trunk/              the records of the runs that set the target, and shared snapshots
    RUN/set_aside/          torn and foreign files found among the records, and failed records
                            whose trials ran again

A record appears by one system call, the link that names its file; a merged file appears by one as
well, and while its parts still stand beside it they do not count. So a kill at any instant loses at
most the record in flight.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tuning.errors import SearchFailed
from tuning.layout import LEASE, RUN_JSON, RUNNING, TRIALS, TRUNK, resume_option
from tuning.store import lease
from tuning.store.catalog import Catalog, Listing, Problem, References, read_references, set_aside
from tuning.store.columns import NESTED
from tuning.store.directory import create_directory, read_info
from tuning.store.files import FILES, TEMPORARY_SUFFIX, Files
from tuning.store.info import RunInfo
from tuning.store.parquet import RecordFormat
from tuning.store.retry import Withdrawal, spec_of
from tuning.store.running import InFlight, Running
from tuning.store.shards import Shard, complete_group
from tuning.store.upkeep import thin, trunk_folders
from tuning.trial.outcome import COLUMNS, Outcome, outcomes_of
from tuning.trial.recipe import KNOB
from tuning.trial.task import Task
from tuning.trial.trial import CONFIRMATION, Limits, TrialRecord, TrialSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AlreadyRecorded", "InFlight", "Problem", "Store"]


class AlreadyRecorded(Exception):  # noqa: N818 - the work is done, by someone else
    """The task has a record; the one that was to be appended is not needed."""


class Store:
    """One run's directory. Get one from ``create`` or ``open``; any number of processes may have
    one at a time.

    Methods that write raise SearchFailed where the file system refuses (disk full, permission lost,
    directory removed), and ``lease.Fenced`` where the store was opened for an epoch that has
    passed.
    """

    def __init__(
        self, path: Path, info: RunInfo, *, epoch: int | None = None, files: Files = FILES
    ) -> None:
        self.path = path
        self.epoch = epoch
        self._info = info
        self._files = files
        seed = int(info.config.get("seed", 0))
        self._format = RecordFormat(info.knob_columns, seed, info.metrics)
        self._catalog = Catalog(path / TRIALS, self._format)
        self._running = Running(path / RUNNING, files)

    @classmethod
    def create(cls, path: Path, info: RunInfo, *, files: Files = FILES) -> Store:
        """A new run at ``path``, which must not exist; it appears there whole.

        Raises:
            BadInput: ``path`` exists, or cannot be written.
        """
        create_directory(path, info, files)
        return cls(path, info, files=files)

    @classmethod
    def open(cls, path: Path, *, epoch: int | None = None, files: Files = FILES) -> Store:
        """The run at ``path``; reads only. With ``epoch``, appends only while that epoch holds the
        run's lease.

        Raises:
            BadInput: it is not a run, or one that this version does not read.
        """
        return cls(path, read_info(path), epoch=epoch, files=files)

    @property
    def info(self) -> RunInfo:
        """What the run is, as last read or written by this object."""
        return self._info

    def reload_info(self) -> RunInfo:
        """Read ``info`` again, after another process changed it."""
        self._info = read_info(self.path)
        return self._info

    def update_info(self, **changes: Any) -> RunInfo:
        """Change fields of ``info``, durably, such as ``calibration`` and ``target``."""
        info = dataclasses.replace(self._info, **changes)
        with self._writing(RUN_JSON):
            self._fence()
            self._files.write_atomic(self.path / RUN_JSON, info.to_json().encode())
        self._info = info
        return info

    # --- finished trials

    def append(self, record: TrialRecord) -> None:
        """Record a trial, once and for all; when this returns it is on the disk.

        Raises:
            AlreadyRecorded: its number is.
            ValueError: it cannot be a row; the message names every reason.
        """
        shard = Shard(record.number)
        self._refuse_merged(shard)
        self._commit(self._catalog.path(shard), record)
        try:
            # Compaction may have taken another's record of this number into a larger file just
            # before the commit.
            self._refuse_merged(shard)
        except AlreadyRecorded:
            with contextlib.suppress(FileNotFoundError):
                self._files.unlink(self._catalog.path(shard))
            raise

    def records(self, numbers: Collection[int] | None = None) -> list[TrialRecord]:
        """Every trial, by number; with ``numbers`` only those of them that are recorded."""
        return self._format.to_records(self._table(None, numbers))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the table's columns, in order."""
        return self._format.columns

    def light_frame(self) -> pd.DataFrame:
        """``frame`` with only the columns from which outcomes are made."""
        return self.frame((*COLUMNS, *(KNOB + name for name in self._info.knob_columns)))

    def frame(self, columns: Iterable[str] | None = None) -> pd.DataFrame:
        """Every trial as a row, by number; with ``columns`` only those, which is much faster
        without ``curve``.

        Raises:
            ValueError: there is no such column.
        """
        wanted = None if columns is None else tuple(columns)
        if unknown := sorted(set(wanted or ()) - set(self._format.columns)):
            raise ValueError(f"columns must be of {list(self._format.columns)}, but got {unknown}")
        return self._format.to_frame(self._table(wanted))

    def record(self, number: int) -> TrialRecord:
        """That trial; KeyError where it is not recorded."""
        found = self._catalog.reading(lambda listing: self._find(listing, number))
        if found is None:
            raise KeyError(f"trial {number} is not recorded in {self.path}")
        return found

    def numbers(self) -> list[int]:
        """The numbers of all recorded trials, ascending; reads no rows."""
        return self._catalog.look().numbers

    def scan(self) -> list[Problem]:
        """Every file among the records that is torn, foreign or older, looked up now. Nothing is
        changed.
        """
        return [
            *self._catalog.look().problems,
            *self._references().problems,
            *self._running.problems(),
        ]

    def commit(self, task: Task, record: TrialRecord) -> None:
        """Record the result of a task, a trial's in the table; raises as ``append``."""
        if task.is_trial:
            self.append(record)
        else:
            self.append_reference(task, record)

    # --- the runs that set the target

    def append_reference(self, task: Task, record: TrialRecord) -> None:
        """Record a run that is no trial, under its task's id; raises as ``append``."""
        self._commit(self.path / TRUNK / f"{task}.parquet", record)

    def references(self) -> dict[Task, TrialRecord]:
        """The record of every run that is no trial, by its task."""
        return self._references().records

    def trunk_folder(self, task: Task) -> Path:
        """Where a reference run's snapshots are or will be."""
        return self.path / TRUNK / str(task)

    def drop_trunks(self, keep: Task, *, others: int = 0) -> None:
        """Remove the reference runs' snapshots, except those of ``keep``, on whose seed the trials
        train, and ``others`` of each of the other runs.
        """
        for folder in trunk_folders(self.path):
            if folder.name != str(keep):
                thin(folder, others) if others else shutil.rmtree(folder)

    def thin_trunks(self, keep: int) -> None:
        """Leave ``keep`` snapshots of the trials' own seed and none of other seeds, once a search
        is done.
        """
        seed = None if self._info.target is None else self._info.target.seed
        for folder in trunk_folders(self.path):
            own = seed is None or folder.name == str(Task.reference(seed))
            thin(folder, keep if own else 0)

    # --- tasks in flight

    def begin(
        self, spec: TrialSpec, task: Task | None = None, limits: Limits | None = None
    ) -> None:
        """Note a task before any worker is told of it. Without ``task`` it is the trial's own;
        ``limits`` are the losses that stop it.

        Raises:
            AlreadyRecorded: the trial has a record.
            FileExistsError: the task is in flight.
        """
        if task is None and self._catalog.look().holder(spec.number):
            raise AlreadyRecorded(f"trial {spec.number} is recorded in {self.path}")
        with self._writing("the parameters of a task"):
            self._fence()
            self._running.begin(
                Task.trial(spec.number) if task is None else task, spec, limits=limits
            )

    def started(self, task: Task) -> int:
        """Count one more execution of a task, durably, and return how many there are now; KeyError
        where the task is not in flight.
        """
        with self._writing("the state of a task"):
            self._fence()
            return self._running.started(task)

    def in_flight(self) -> list[InFlight]:
        """The tasks that were begun and not ended, numbers first and ascending."""
        found = []
        for task in self._running.tasks():
            with contextlib.suppress(KeyError, ValueError):
                found.append(self._running.get(task))
        return found

    def task(self, task: Task) -> InFlight:
        """A task in flight; KeyError where it is not, ValueError where its file cannot be
        understood.
        """
        return self._running.get(task)

    def count_in_flight(self) -> int:
        """How many tasks are in flight; one directory listing."""
        return len(self._running.tasks())

    def refuse_if_fenced(self) -> None:
        """Raise ``lease.Fenced`` where the epoch this store was opened for has passed."""
        self._fence()

    def checkpoint_path(self, task: Task) -> Path:
        """Where a task's latest checkpoint is or will be."""
        return self._running.checkpoint(task)

    def end(self, task: Task) -> None:
        """Forget a task and its checkpoint, after its record was appended."""
        with self._writing("the state of a task"):
            self._running.end(task)

    # --- upkeep, by the session that holds the lease and by nobody else

    def tidy(self) -> list[Problem]:
        """Finish what a killed search left undone, and set aside files that are no records. Returns
        the problems that were found.

        Raises:
            SearchFailed: the file system refuses.
        """
        with self._writing("the run directory"):
            self._fence()
            problems = self.scan()
            set_aside(self.path, problems, self._files)
            self._drop_left_over()
            recorded = {Task.trial(number) for number in self.numbers()} | set(self.references())
            # Recorded and still in flight: its worker was killed between the record and ``end``.
            for task in recorded.intersection(self._running.tasks()):
                self._running.end(task)
            for path in self._litter():
                self._files.unlink(path)
        return problems

    def _litter(self) -> list[Path]:
        """Temporary files that killed writers left, in every folder that is written to."""
        trunk = self.path / TRUNK
        folders = [
            self.path,
            self.path / RUNNING / LEASE,
            trunk,
            *(f for f in trunk.iterdir() if f.is_dir()),
        ]
        elsewhere = [path for folder in folders for path in folder.glob(f".*{TEMPORARY_SUFFIX}")]
        return [*self._running.litter(), *elsewhere]

    def retry_failed(self) -> list[Task]:
        """Make tasks in flight of the search's failed trials and of the failed runs that set its
        target.

        Their records go to RUN/set_aside and leave the table; ``executions`` goes on counting. A
        kill at any point leaves each of them either failed, as it was, or in flight.

        Returns:
            The tasks.
        """
        frame = self.frame(("number", "state", "origin"))
        failed = (frame["state"] == "failed") & (frame["origin"] != CONFIRMATION)
        numbers = frame.loc[failed, "number"].tolist()
        records = {Task.trial(number): self.record(number) for number in numbers}
        references = {
            task: record for task, record in self.references().items() if record.state == "failed"
        }
        with self._writing("the failed trials"):
            self._fence()
            for task, record in (records | references).items():
                # In flight before it leaves the table: after a kill in between it is both, which
                # ``tidy`` takes for recorded. The other order would lose it.
                self._running.begin(task, spec_of(record), record.executions)
            withdrawal = Withdrawal(
                self.path, self._catalog, self._format, self._files, self._fence
            )
            for shard in self._catalog.look().kept:
                if held := [number for number in numbers if number in shard.numbers]:
                    withdrawal.trials(shard, held)
            for task, record in references.items():
                withdrawal.reference(task, record)
        return [*records, *references]

    def compact(self) -> bool:
        """Merge at most one group of files into a larger one; whether it did.

        A call takes bounded time, and a trial is rewritten twice at most however long the run
        becomes. Appending and reading go on meanwhile. A kill at any point leaves nothing that
        ``tidy`` or the next call does not finish. Until its parts are unlinked, some milliseconds,
        programs other than this one see the group's trials twice; the other order would lose them
        to a kill.
        """
        listing = self._catalog.look()
        taken = {problem.path.name for problem in listing.problems}
        group = complete_group(listing.kept, taken)
        if group is None:
            return False
        merged, parts = group
        try:
            table = pa.concat_tables([self._catalog.table(part) for part in parts])
        except FileNotFoundError:
            return False  # a part proved torn: its trial is missing now
        with self._writing(merged.name):
            # A search that was killed before it dropped the parts has left the same file.
            with contextlib.suppress(FileExistsError):
                self._put(self._catalog.path(merged), table)
            self._drop_left_over()
        return True

    def _drop_left_over(self) -> None:
        for shard in self._catalog.look().left_over:
            with contextlib.suppress(FileNotFoundError):
                self._files.unlink(self._catalog.path(shard))

    # --- how

    def _commit(self, path: Path, record: TrialRecord) -> None:
        table = self._format.to_table([record])
        with self._writing(f"the record of trial {record.number}"):
            try:
                self._put(path, table)
            except FileExistsError:
                raise AlreadyRecorded(f"trial {record.number} is recorded in {path}") from None

    def _put(self, path: Path, table: Any) -> None:
        # Beside the records a temporary file would be read as one of them.
        data = self._format.to_bytes(table)
        self._files.commit_once(path, data, scratch=self.path / RUNNING, before=self._fence)

    def _refuse_merged(self, shard: Shard) -> None:
        if any(self._catalog.path(holder).exists() for holder in shard.holders()):
            found = self._catalog.look().holder(shard.low)
            if found is not None and found != shard:
                raise AlreadyRecorded(
                    f"trial {shard.low} is recorded in {self._catalog.path(found)}"
                )

    def _fence(self) -> None:
        try:
            if self.epoch is None or lease.is_current(self.path, self.epoch):
                return
        except OSError as error:
            raise SearchFailed(
                f"the lease of {self.path} must be readable, but got: {error.strerror}"
            ) from None
        if not (self.path / RUN_JSON).exists():
            raise SearchFailed(
                f"the run directory {self.path} must stay where it is, but it is gone"
            )
        raise lease.Fenced(f"the search of epoch {self.epoch} does not hold {self.path} any more")

    def _table(
        self, columns: tuple[str, ...] | None, numbers: Collection[int] | None = None
    ) -> Any:
        def read(listing: Listing) -> Any:
            tables = [self._rows(shard, columns, numbers) for shard in listing.kept]
            return pa.concat_tables([self._format.empty(columns), *tables])

        return self._catalog.reading(read)

    def _rows(
        self, shard: Shard, columns: tuple[str, ...] | None, numbers: Collection[int] | None
    ) -> Any:
        wanted = None if numbers is None else [n - shard.low for n in shard.numbers if n in numbers]
        if wanted == []:
            return self._format.empty(columns)
        table = self._catalog.table(shard, columns)
        return table if wanted is None else table.take(wanted)

    def _find(self, listing: Listing, number: int) -> TrialRecord | None:
        holder = listing.holder(number)
        if holder is None:
            return None
        # A shard's rows are its numbers in order, so that a place is a number less the first.
        row = self._catalog.table(holder).slice(number - holder.low, 1)
        return self._format.to_records(row)[0]

    def _references(self) -> References:
        return read_references(self.path / TRUNK, self._format)

    @contextlib.contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise
        except OSError as error:
            self._fence()  # the new search may have tidied away what this one was writing
            raise SearchFailed(
                f"{what} could not be written to {self.path}: {error.strerror}; everything "
                "recorded before is kept. "
                f"Make room or restore access, then go on with {resume_option(self.path)}"
            ) from error


def history_of(store: Store) -> list[Outcome]:
    """The outcome of every recorded trial, by number."""
    return outcomes_of(store.light_frame())


def load_frame(store: Store, *, curves: bool = True) -> pd.DataFrame:
    """The run's trials as a table. Without ``curves`` the nested columns are not read, which is
    much faster.
    """
    return store.frame(None if curves else [c for c in store.columns if c not in NESTED])
