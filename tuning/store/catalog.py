"""What lies in a directory of records: which files count, which are left over, and what is wrong
with the rest.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from tuning.errors import SearchFailed
from tuning.layout import SET_ASIDE
from tuning.store.files import Files
from tuning.store.parquet import NotARecord, RecordFormat
from tuning.store.shards import Shard, outermost, parse
from tuning.trial.task import Task
from tuning.trial.trial import TrialRecord

T = TypeVar("T")
_MOST_LOOKS = 1000


@dataclass(frozen=True)
class Problem:
    """A file among the records that is not as it should be.

    A ``torn`` or ``foreign`` file holds no record of this run; a writing session sets it aside. An
    ``older`` file does: its rows count, with null in the columns that it lacks.
    """

    path: Path
    kind: Literal["torn", "foreign", "older"]
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@dataclass(frozen=True)
class Listing:
    """The shards of a directory at one look: ``kept`` ones, whose rows count, those ``left_over``,
    which another one holds, and what is wrong.
    """

    kept: tuple[Shard, ...]
    left_over: tuple[Shard, ...]
    problems: tuple[Problem, ...]

    @property
    def numbers(self) -> list[int]:
        """Every recorded trial's number, ascending."""
        return [number for shard in self.kept for number in shard.numbers]

    def holder(self, number: int) -> Shard | None:
        """The shard whose row of that trial counts."""
        return next((shard for shard in self.kept if number in shard.numbers), None)


class Catalog:
    """Looks at a directory of shards that others append to and compact meanwhile. A file is checked
    by its footer, and again only where its size or time of change differs.
    """

    def __init__(self, folder: Path, form: RecordFormat) -> None:
        self._folder = folder
        self._format = form
        self._checked: dict[str, tuple[tuple[int, int], Problem | None]] = {}

    def path(self, shard: Shard) -> Path:
        """Where the shard's file is."""
        return self._folder / shard.name

    def look(self) -> Listing:
        """The directory as it is now.

        Raises:
            SearchFailed: the directory cannot be read.
        """
        return self.reading(lambda listing: listing)

    def reading(self, read: Callable[[Listing], T]) -> T:
        """What ``read`` returns for a listing; it is called again with a new one where a file went
        away or proved torn.
        """
        for _ in range(_MOST_LOOKS):
            with contextlib.suppress(FileNotFoundError):
                return read(self._look())
        raise SearchFailed(
            f"{self._folder} must hold still while it is read, but its files keep changing"
        )

    def _look(self) -> Listing:
        found = {name: self._check(self._folder / name) for name in self._names()}
        self._checked = {name: check for name, check in self._checked.items() if name in found}
        problems = tuple(problem for problem in found.values() if problem is not None)
        bad = {problem.path.name for problem in problems if problem.kind != "older"}
        shards = [shard for name in found if name not in bad and (shard := parse(name)) is not None]
        kept, left_over = outermost(shards)
        return Listing(tuple(kept), tuple(left_over), tuple(sorted(problems, key=str)))

    def table(self, shard: Shard, columns: tuple[str, ...] | None = None) -> Any:
        """The shard's rows as an Arrow table.

        Raises:
            FileNotFoundError: it went away, or proved torn and is a problem from now on: look
                again.
        """
        path = self.path(shard)
        try:
            with _readable(path):
                return self._format.read(path, columns)
        except NotARecord as error:
            self._checked[shard.name] = (_identity(path), _problem(path, error))
            raise FileNotFoundError(path) from None

    def _names(self) -> list[str]:
        """Every file's name; raises FileNotFoundError where the list may lack trials that were
        merged while it was read.

        A long directory is not listed at one instant: a list can miss both the small files, which
        are gone already, and the merged one, which is not there yet. A second list has the merged
        one in that case.
        """
        try:
            names = os.listdir(self._folder)  # noqa: PTH208 - names are all that is needed, and there are many
            new = set(os.listdir(self._folder)).difference(names)  # noqa: PTH208
        except OSError as error:
            raise _unreadable(self._folder, error) from None
        if any(shard.span > 1 for name in new if (shard := parse(name)) is not None):
            raise FileNotFoundError(self._folder)
        return [name for name in names if not name.startswith(".")]

    def _check(self, path: Path) -> Problem | None:
        if path.is_symlink() and not path.exists():
            return Problem(path, "foreign", "foreign: a link to nothing")
        identity = _identity(path)
        known = self._checked.get(path.name)
        if known is None or known[0] != identity:
            known = (identity, self._fault(path))
            self._checked[path.name] = known
        return known[1]

    def _fault(self, path: Path) -> Problem | None:
        shard = parse(path.name)
        if shard is None or not path.is_file():
            return Problem(path, "foreign", "foreign: not the name of a file of records")
        try:
            with _readable(path):
                footer = self._format.footer(path)
        except NotARecord as error:
            return _problem(path, error)
        if footer[:3] != (shard.low, shard.high, shard.span):
            return Problem(
                path, "foreign", f"foreign: it holds the trials {footer.low} to {footer.high}"
            )
        if not footer.older:
            return None
        return Problem(path, "older", "older: written before some columns existed")


@dataclass(frozen=True)
class References:
    """The records of runs that are no trials, by their task, and the files that hold no record."""

    records: dict[Task, TrialRecord]
    problems: list[Problem]


def read_references(folder: Path, form: RecordFormat) -> References:
    """The records in every ``TASK.parquet`` of ``folder``."""
    found = References({}, [])
    for path in sorted(folder.glob("*.parquet")):
        try:
            with _readable(path):
                (found.records[Task.parse(path.stem)],) = form.to_records(form.read(path))
        except NotARecord as error:
            found.problems.append(_problem(path, error))
        except ValueError:
            found.problems.append(Problem(path, "foreign", "foreign: it must hold one row"))
    return found


def set_aside(run: Path, problems: Iterable[Problem], files: Files) -> None:
    """Move torn and foreign files to RUN/set_aside, over nothing that is there."""
    folder = run / SET_ASIDE
    for problem in problems:
        if problem.kind == "older":
            continue
        if not folder.exists():
            files.mkdir(folder)
        target = folder / problem.path.name
        if target.exists():
            target = folder / f"{uuid.uuid4().hex[:8]}-{problem.path.name}"
        files.replace(problem.path, target)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Within the block, a file that cannot be read stops the reader, and is not set aside: it may
    be a good one.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> SearchFailed:
    return SearchFailed(
        f"the run's records must be readable, but reading {path} failed: {error.strerror}"
    )


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _problem(path: Path, error: NotARecord) -> Problem:
    kind: Literal["torn", "foreign"] = "foreign" if str(error).startswith("foreign") else "torn"
    return Problem(path, kind, str(error))
