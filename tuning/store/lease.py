"""One run, one search: who may write to a run directory, also across machines and after a kill.

The holder of the highest *epoch* holds the run: RUN/running/lease/000007.json belongs to whoever
created it, and a name can be created once, so of two starters exactly one wins. A dead search needs
not be asked: whoever holds an older epoch is *fenced*, and its workers find out before they write a
checkpoint or a record (``is_current``).

Whether the holder of the highest epoch still lives is decided
- on the machine it runs on by its process id and that process's start, so a killed search is
  followed at once;
- from anywhere else by its heartbeat, the file's modification time, which must *change* while the
  newcomer watches for ``ttl`` seconds. No two machines' clocks are compared.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from tuning.errors import BadInput
from tuning.layout import LEASE, RUNNING
from tuning.store.files import FILES, Files
from tuning.trial.built import built

BEAT_SECONDS = 5.0
TTL_SECONDS = 30.0
JOIN_SECONDS = 5.0
_GIVEN_BACK: set[str] = set()
"""Holders in this process that gave their run back but could not write that down."""
_EPOCH = re.compile(r"(\d{6,})\.json")


@dataclass(frozen=True)
class Holder:
    """Who holds a run, as the lease's file says it.

    Attributes:
        holder: random, so that no two acquisitions are ever taken for one.
        host: the machine's name, for the reader.
        machine: identifies the machine, its boot and the space its process ids live in.
        pid: of the process that acquired the lease.
        process_start: when that process started, so that a reused pid is not taken for it.
        since: when the lease was acquired; aware, UTC, ISO 8601.
        released: whether its holder gave it back.
    """

    holder: str
    host: str
    machine: str
    pid: int
    process_start: str
    since: str
    released: bool = False

    def on_this_machine(self) -> bool:
        """Whether its process id means something here."""
        return self.machine == _machine()

    def process_lives(self) -> bool:
        """Whether its process runs; to be asked on its machine only."""
        return _process_start(self.pid) == self.process_start


class Lease:
    """A run held by this process until ``release`` or its end; renewed by a thread.

    Use as ``with Lease.acquire(run) as lease``. Only the process that acquired it can renew or
    release it: in a forked child both do nothing.
    """

    def __init__(
        self, path: Path, epoch: int, holder: Holder, beat_seconds: float, files: Files
    ) -> None:
        self.epoch = epoch
        self._path = path
        self._holder = holder
        self._files = files
        self._beat_seconds = beat_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease-heartbeat", daemon=True)
        self._thread.start()

    @classmethod
    def acquire(
        cls,
        run: Path,
        *,
        ttl: float = TTL_SECONDS,
        beat_seconds: float = BEAT_SECONDS,
        on_wait: Callable[[str], None] = lambda message: None,
        sleep: Callable[[float], None] = time.sleep,
        files: Files = FILES,
    ) -> Lease:
        """Hold ``run``, an existing run directory, from now on.

        Where the holder lives on another machine this waits up to ``ttl`` seconds for its
        heartbeat, and says so through ``on_wait``; ``sleep(seconds)`` is called between looks.

        Raises:
            BadInput: another search holds the run (the message says which, where and since when),
                or the run cannot be written.
        """
        folder = _folder(run)
        try:
            with contextlib.suppress(FileExistsError):
                files.mkdir(folder)
            last = _last_epoch(folder)
            if last and _lives(_epoch_file(folder, last), ttl, beat_seconds, on_wait, sleep):
                raise BadInput(_in_use(run, _read(_epoch_file(folder, last))))
            holder = _this_process()
            _create(run, folder, last + 1, holder, files)
        except OSError as error:
            raise BadInput(
                f"a search must be able to write {run}, but got: {error.strerror}"
            ) from None
        # Only now: whoever lists the epochs before sees the highest, and two starters cannot get
        # one.
        _forget(folder, last, files)
        return cls(_epoch_file(folder, last + 1), last + 1, holder, beat_seconds, files)

    def release(self) -> None:
        """Give the run back; the next search is admitted at once. Harmless to repeat."""
        if self._holder.pid != os.getpid() or self._stop.is_set():
            return
        self._stop.set()
        self._thread.join(JOIN_SECONDS)  # it may be waiting for a storage that does not answer
        if self._path.exists():
            released = dataclasses.replace(self._holder, released=True)
            try:
                self._files.write_atomic(self._path, _to_bytes(released))
            except OSError:  # a full disk: the process's end releases it as well
                _GIVEN_BACK.add(self._holder.holder)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()

    def _beat(self) -> None:
        while not self._stop.wait(self._beat_seconds):
            try:
                self._files.touch(self._path)
            except FileNotFoundError:
                return  # a later epoch removed it: fenced
            except OSError:
                continue  # a storage that is away for a moment may come back


class Fenced(Exception):  # noqa: N818 - not an error: the run has a new search
    """Raised in a search's worker once a later search holds the run: the worker writes nothing
    more.
    """


def is_current(run: Path, epoch: int) -> bool:
    """Whether the search of ``epoch`` still holds ``run``. This takes one directory listing, so it
    is cheap enough to ask before every write.
    """
    try:
        return _last_epoch(_folder(run)) == epoch
    except FileNotFoundError:
        return False


def _folder(run: Path) -> Path:
    return run / RUNNING / LEASE


def _epoch_file(folder: Path, epoch: int) -> Path:
    return folder / f"{epoch:06d}.json"


def _epochs(folder: Path) -> list[int]:
    matches = (_EPOCH.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def _last_epoch(folder: Path) -> int:
    return max(_epochs(folder), default=0)


def _create(run: Path, folder: Path, epoch: int, holder: Holder, files: Files) -> None:
    path = _epoch_file(folder, epoch)
    try:
        files.commit_once(path, _to_bytes(holder))
    except FileExistsError:
        raise BadInput(_in_use(run, _read(path))) from None
    # A starter that was slow since it listed the epochs may create one that was superseded and
    # removed meanwhile.
    last = _last_epoch(folder)
    if last != epoch:
        files.unlink(path)
        raise BadInput(_in_use(run, _read(_epoch_file(folder, last))))


def _forget(folder: Path, last: int, files: Files) -> None:
    """Remove the files of all epochs up to ``last``."""
    for epoch in _epochs(folder):
        if epoch <= last:
            with contextlib.suppress(OSError):
                files.unlink(_epoch_file(folder, epoch))


def _lives(
    path: Path,
    ttl: float,
    beat_seconds: float,
    on_wait: Callable[[str], None],
    sleep: Callable[[float], None],
) -> bool:
    """Whether the holder that ``path`` names is alive."""
    holder = _read(path)
    if holder is not None and (holder.released or holder.holder in _GIVEN_BACK):
        return False
    if holder is not None and holder.on_this_machine():
        return holder.process_lives()
    on_wait(f"watching for {ttl:g} s whether {_describe(holder)} is alive")
    return _heartbeat_changes(path, ttl, beat_seconds, sleep)


def _heartbeat_changes(
    path: Path, ttl: float, beat_seconds: float, sleep: Callable[[float], None]
) -> bool:
    seen = _heartbeat(path)
    waited = 0.0
    # Clocks of two machines differ, so that the age of a heartbeat says nothing; its change does.
    while waited < ttl:
        sleep(beat_seconds)
        waited += beat_seconds
        if _heartbeat(path) != seen:
            holder = _read(path)
            return holder is None or not holder.released
    return False


def _heartbeat(path: Path) -> int | None:
    # Opened, not only stat'ed: a network file system answers a stat from its cache but an open from
    # the server.
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None


def _read(path: Path) -> Holder | None:
    """The holder, or None where the file cannot be parsed."""
    try:
        return built(Holder, json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return None


def _to_bytes(holder: Holder) -> bytes:
    return json.dumps(dataclasses.asdict(holder), indent=2).encode()


def _describe(holder: Holder | None) -> str:
    if holder is None:
        return "an unknown search"
    return f"the search of pid {holder.pid} on host {holder.host} (since {holder.since})"


def _in_use(run: Path, holder: Holder | None) -> str:
    return (
        f"a run directory is written by one search at a time, but {run} is in use by "
        f"{_describe(holder)}; "
        "wait for it, or stop it and resume"
    )


def _this_process() -> Holder:
    start = _process_start(os.getpid())
    assert start is not None
    return Holder(
        holder=uuid.uuid4().hex,
        host=socket.gethostname(),
        machine=_machine(),
        pid=os.getpid(),
        process_start=start,
        since=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _machine() -> str:
    """Identifies the machine, its boot and its process ids' namespace. Two containers share a
    kernel but not their process ids, so the boot alone would not do.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{socket.gethostname()} {psutil.boot_time():.0f}"


def _process_start(pid: int) -> str | None:
    """When the process started, as text that is good for comparing only; None where it does not
    run.
    """
    try:
        fields = _stat_fields(pid)
        # A zombie keeps its id until its parent asks after it, and holds nothing any more.
        return None if fields[0] in "ZX" else f"ticks {fields[19]}"
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _process_start_by_clock(pid)


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on, see proc(5). Start times there are
    ticks since boot, which do not change when the clock is set.
    """
    # The second field is the program's name, which may hold spaces and parentheses itself.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _process_start_by_clock(pid: int) -> str | None:
    try:
        process: Any = psutil.Process(pid)
        zombie = process.status() == psutil.STATUS_ZOMBIE
        return None if zombie else f"time {process.create_time():.0f}"
    except psutil.Error:
        return None
