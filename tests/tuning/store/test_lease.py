"""One run, one search: a living holder is never joined, a dead one never waited for, and what is
left is fenced.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.faulty_files import CountingFiles, Crash, CrashingFiles, FullDisk
from tests.support.folders import fresh_folder
from tests.support.stores import fresh_store, record
from tuning.errors import BadInput
from tuning.store import lease as lease_module
from tuning.store.files import Files
from tuning.store.lease import Fenced, Holder, Lease, is_current
from tuning.store.store import Store
from tuning.trial.task import Task

HOLD = """
import sys, time
from pathlib import Path
from tuning.store.lease import Lease
lease = Lease.acquire(Path(sys.argv[1]))
print(lease.epoch, flush=True)
time.sleep(600)
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory, as far as the lease is concerned."""
    (tmp_path / "running").mkdir()
    return tmp_path


def _lease_file(run: Path, epoch: int) -> Path:
    return run / "running" / "lease" / f"{epoch:06d}.json"


def _dead_process() -> Holder:
    return dataclasses.replace(_real_process(), process_start="ticks 0")


def _elsewhere() -> Holder:
    return dataclasses.replace(_real_process(), host="other", machine="other machine")


_real_process = lease_module._this_process


def _as(holder: Callable[[], Holder]) -> pytest.MonkeyPatch:
    patch = pytest.MonkeyPatch()
    patch.setattr(lease_module, "_this_process", holder)
    return patch


@pytest.fixture
def held_elsewhere(run: Path) -> Path:
    """A run that a search on another machine has acquired; nothing beats for it."""
    patch = _as(_elsewhere)
    lease = Lease.acquire(run, beat_seconds=600)
    patch.undo()
    assert lease.epoch == 1
    return run


def test_a_second_search_is_refused_while_the_first_lives(run: Path) -> None:
    """Refused with the holder's pid, host and time; admitted after release, one epoch later."""
    with Lease.acquire(run) as first:
        holder = json.loads(_lease_file(run, 1).read_text())
        with pytest.raises(
            BadInput,
            match=rf"pid {os.getpid()} on host {holder['host']} \(since {holder['since'][:10]}",
        ):
            Lease.acquire(run)
        assert is_current(run, first.epoch)
    with Lease.acquire(run) as second:
        assert (first.epoch, second.epoch) == (1, 2)
        assert is_current(run, 2)
        assert not is_current(run, 1)


def test_a_killed_search_is_followed_at_once(run: Path) -> None:
    """A real process acquires, is refused to us, dies by SIGKILL (unreaped, then reaped), and we
    are admitted.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        with pytest.raises(BadInput, match=f"pid {process.pid}"):
            Lease.acquire(run)
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with Lease.acquire(run, sleep=_no_waiting) as unreaped:
            assert unreaped.epoch == 2
    finally:
        process.kill()
        process.communicate()
    with Lease.acquire(run, sleep=_no_waiting) as reaped:
        assert reaped.epoch == 3


def _no_waiting(seconds: float) -> None:
    raise AssertionError(f"waited {seconds} s")


def test_a_reused_process_id_is_not_taken_for_the_holder(run: Path) -> None:
    """The holder's pid runs, but it started at another time: the holder is dead."""
    patch = _as(_dead_process)
    Lease.acquire(run, beat_seconds=600)
    patch.undo()
    with Lease.acquire(run, sleep=_no_waiting) as lease:
        assert lease.epoch == 2


def test_a_process_is_known_without_proc_too() -> None:
    """The answer where the system has no /proc.

    It is the same twice for this process, and none for one that is gone or a zombie.
    """
    by_clock = lease_module._process_start_by_clock
    assert by_clock(os.getpid()) == by_clock(os.getpid()) is not None
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert by_clock(process.pid) is None
    process.wait()
    assert by_clock(process.pid) is None


def test_a_search_on_another_machine_that_beats_is_alive(held_elsewhere: Path) -> None:
    """The lease file's time changes on the third look.

    The search is refused, and the reader is told what is waited for.
    """
    looks: list[float] = []
    said: list[str] = []

    def beat_at_last(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            os.utime(
                _lease_file(held_elsewhere, 1), (1.0, 1.0)
            )  # any change counts, even to an earlier clock

    with pytest.raises(BadInput, match="on host other"):
        Lease.acquire(
            held_elsewhere, ttl=30, beat_seconds=5, sleep=beat_at_last, on_wait=said.append
        )
    assert looks == [5, 5, 5]
    assert "30 s" in said[0]
    assert "host other" in said[0]


def test_a_search_on_another_machine_that_is_silent_is_dead(held_elsewhere: Path) -> None:
    """The lease file does not change over the whole time.

    The search is admitted after ``ttl`` seconds of looking, and the old one is fenced.
    """
    looks: list[float] = []
    with Lease.acquire(held_elsewhere, ttl=30, beat_seconds=5, sleep=looks.append) as lease:
        assert sum(looks) == 30
        assert lease.epoch == 2
        assert not is_current(held_elsewhere, 1)


def test_a_search_on_another_machine_that_releases_is_followed(held_elsewhere: Path) -> None:
    """The change that is seen is the release: admitted."""

    def release(seconds: float) -> None:
        path = _lease_file(held_elsewhere, 1)
        path.write_text(json.dumps(json.loads(path.read_text()) | {"released": True}))
        os.utime(path, (2.0, 2.0))

    with Lease.acquire(held_elsewhere, sleep=release) as lease:
        assert lease.epoch == 2


def test_a_lease_that_cannot_be_understood_is_watched(run: Path) -> None:
    """An unreadable file may be a living search's: it gets the time a heartbeat takes."""
    (run / "running" / "lease").mkdir()
    _lease_file(run, 4).write_bytes(b"")
    looks: list[float] = []
    with Lease.acquire(run, ttl=30, beat_seconds=10, sleep=looks.append) as lease:
        assert (lease.epoch, looks) == (5, [10, 10, 10])


def test_of_many_starters_exactly_one_is_admitted(run: Path) -> None:
    """Eight threads acquire at once: one holds, seven are told who."""
    start, admitted, refused = threading.Barrier(8), [], []

    def acquire() -> None:
        start.wait()
        try:
            admitted.append(Lease.acquire(run))
        except BadInput as error:
            refused.append(str(error))

    threads = [threading.Thread(target=acquire) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(admitted), len(refused)) == (1, 7)
    assert is_current(run, admitted[0].epoch)
    admitted[0].release()


class _SlowStarter(CountingFiles):
    """Looks at the epochs, and is overtaken just before it creates its own."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._meanwhile = meanwhile

    def link(self, source: Path, target: Path) -> None:
        self._meanwhile()
        super().link(source, target)


def test_a_starter_that_was_overtaken_is_refused(run: Path) -> None:
    """While it was slow one search came and died and another came and lives, so that its epoch's
    name is free again.
    """
    living = []

    def overtake() -> None:
        patch = _as(_dead_process)
        Lease.acquire(run, beat_seconds=600)
        patch.undo()
        living.append(Lease.acquire(run))

    with pytest.raises(BadInput, match="in use"):
        Lease.acquire(run, files=_SlowStarter(overtake))
    assert living[0].epoch == 2
    assert is_current(run, 2)
    living[0].release()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 12), max_size=4),
    st.floats(0, 1),
    st.booleans(),
    st.integers(0, 4),
)
def test_a_crash_while_acquiring_stops_nobody(
    alive: list[int], torn: float, power_failure: bool, undo: int
) -> None:
    """Searches die one after another at any call of acquiring.

    The next is admitted, and its epoch is the highest yet.
    """
    with fresh_folder() as run:
        (run / "running").mkdir()
        highest = 0
        patch = _as(_dead_process)
        for calls in alive:
            files = CrashingFiles(calls, torn=torn, power_failure=power_failure, undo=undo)
            try:
                dying = Lease.acquire(run, beat_seconds=600, files=files)
                dying._stop.set()  # a dead process's heart does not beat
                highest = dying.epoch
            except Crash:
                assert (
                    not is_current(run, highest + 1)
                    or _lease_file(run, highest + 1).stat().st_size > 0
                )
        patch.undo()
        with Lease.acquire(run, sleep=_no_waiting, files=CountingFiles()) as lease:
            assert lease.epoch > highest
            assert is_current(run, lease.epoch)
            assert [path.name for path in _lease_file(run, 1).parent.glob("*.json")] == [
                f"{lease.epoch:06d}.json"
            ]


class _CountedBeats(Files):
    """Beats that fail once, as a storage does that is away for a moment, and then succeed."""

    def __init__(self) -> None:
        self.failed = False
        self.beaten = threading.Event()

    def touch(self, path: Path) -> None:
        if not self.failed:
            self.failed = True
            raise OSError("stale file handle")
        super().touch(path)
        self.beaten.set()


def test_the_heart_beats_and_survives_a_failure(run: Path) -> None:
    """The first beat fails; a later one arrives and changes the file's time."""
    files = _CountedBeats()
    with Lease.acquire(run, beat_seconds=0.01, files=files):
        os.utime(_lease_file(run, 1), (1.0, 1.0))
        assert files.beaten.wait(30)
        assert _lease_file(run, 1).stat().st_mtime > 1.0


def test_the_heart_of_a_fenced_search_stops(run: Path) -> None:
    """Once its file is gone nothing is left to renew.

    Releasing it then does no harm to the new one.
    """
    lease = Lease.acquire(run, beat_seconds=0.01)
    _lease_file(run, 1).unlink()
    lease._thread.join(30)
    assert not lease._thread.is_alive()
    with Lease.acquire(run) as new:
        lease.release()
        assert is_current(run, new.epoch)


def test_a_run_that_cannot_be_written_is_refused(run: Path) -> None:
    """A disk refuses at any call of acquiring.

    BadInput gives the reason, and the run can be held later.
    """
    for room in range(5):
        with pytest.raises(BadInput, match=r"able to write .* but got: Read-only file system"):
            Lease.acquire(run, files=FullDisk(room, errno.EROFS))
    with Lease.acquire(run) as lease:
        assert lease.epoch == 1


def test_an_exception_releases(run: Path) -> None:
    """``with`` gives the run back however it is left; releasing again is harmless."""
    with pytest.raises(KeyError), Lease.acquire(run) as lease:
        raise KeyError
    lease.release()
    with Lease.acquire(run) as second:
        assert second.epoch == 2


FORK = """
import os, sys
from pathlib import Path
from tuning.store.lease import Lease
lease = Lease.acquire(Path(sys.argv[1]))
child = os.fork()
if child == 0:
    lease.release()
    os._exit(0)
os.waitpid(child, 0)
text = Path(sys.argv[1], "running", "lease", "000001.json").read_text()
lease.release()
print("released" in text and '"released": true' not in text)
"""


def test_a_forked_child_cannot_release(run: Path) -> None:
    """A real fork: the child's release changes nothing, the parent's does."""
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(run)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n"
    assert json.loads(_lease_file(run, 1).read_text())["released"] is True


@pytest.fixture
def taken_over() -> Iterator[tuple[Store, Store]]:
    """One run, opened under a lease that has passed and under the one that follows it."""
    with fresh_store() as store:
        patch = _as(_dead_process)
        old = Lease.acquire(store.path, beat_seconds=600)
        patch.undo()
        with Lease.acquire(store.path) as new:
            yield Store.open(store.path, epoch=old.epoch), Store.open(store.path, epoch=new.epoch)


def test_a_worker_of_a_dead_search_writes_nothing(taken_over: tuple[Store, Store]) -> None:
    """Every way to write is fenced for the old epoch and open for the new one.

    No file is left behind.
    """
    old, new = taken_over
    with pytest.raises(Fenced, match="epoch 1"):
        old.append(record(0))
    with pytest.raises(Fenced):
        old.append_reference(Task.reference(0), record(0))
    with pytest.raises(Fenced):
        old.started(Task.trial(0))
    with pytest.raises(Fenced):
        old.tidy()
    with pytest.raises(Fenced):
        old.update_info(device="another")
    with pytest.raises(Fenced):
        old.retry_failed()
    with pytest.raises(Fenced):
        old.refuse_if_fenced()
    assert [path for path in (old.path / "running").iterdir() if path.is_file()] == []
    new.append(record(0))
    assert new.numbers() == [0]
