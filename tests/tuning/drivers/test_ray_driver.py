"""The Ray driver when things die, and what it leaves behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.source import ENTRY, ListSource, notes
from tuning.drivers.driver import Nothing
from tuning.drivers.ray_cluster import gpus_for
from tuning.drivers.ray_driver import RayDriver
from tuning.drivers.ray_files import LINK_PREFIX, make_link, remove_stale_links
from tuning.drivers.ray_tune import cause_in

pytestmark = pytest.mark.ray
ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 60.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _driver(run: Path) -> RayDriver:
    return RayDriver(run, concurrency=2, cpus_per_trial=0.5, threads=2, entry=ENTRY)


def _eventually(holds: Callable[[], object]) -> bool:
    """Whether it holds within a time that is generous even on a busy machine."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


class Ordinary(ListSource):
    """Tasks of which none dies, and what there was around them. While one that naps is in flight
    there is no other, and what comes after it waits.

    Attributes:
        own: the handlers that were set before.
        handlers: those there were within the drive and, last, after it.
        processes: below this one, by name and command.
        notes: what the workers left.
    """

    def __init__(self) -> None:
        super().__init__(["meet-1", "meet-2", "nap-3", "meet-4", "meet-5"])
        self.own: list[object] = []
        self.handlers: list[list[object]] = []
        self.processes: list[str] = []
        self.notes: list[dict[str, Any]] = []

    def tick(self) -> None:
        self.handlers.append(_handlers())

    def ask(self) -> str | Nothing:
        napping = any(task.startswith("nap") for task in self.in_flight)
        next_naps = bool(self.waiting) and self.waiting[0].startswith("nap")
        if napping or (next_naps and self.in_flight):
            return Nothing.WAIT
        return super().ask()


def _links_of(pid: int) -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"{LINK_PREFIX}{pid}-*"))


@pytest.fixture(scope="class")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayDriver]:
    with _driver(tmp_path_factory.mktemp("run")) as driver:
        yield driver


def _handlers() -> list[object]:
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.fixture(scope="class")
def ordinary(driver: RayDriver) -> Ordinary:
    """The drive in which nothing dies."""
    before = [signal.signal(number, lambda *_: None) for number in SIGNALS]
    source = Ordinary()
    source.own = _handlers()
    try:
        driver.drive(source)
        source.handlers.append(_handlers())
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a worker that has just ended
            source.processes.append(" ".join([child.name(), *child.cmdline()]))
    source.notes = [note for note in notes(driver.run) if note["task"] in source.tasks]
    return source


class Deadly(ListSource):
    """Tasks of which some die the first time, and one hangs."""

    def __init__(self) -> None:
        super().__init__(["ok-1", "quit-1", "ok-2", "kill-1", "ok-3", "hang-1"])

    def deadline(self, task: str) -> float | None:
        return 2.0 if task == "hang-1" else None


@pytest.fixture(scope="class")
def deadly(driver: RayDriver) -> Deadly:
    """The drive in which they die."""
    source = Deadly()
    driver.drive(source)
    return source


class TestDeaths:
    def test_a_dead_worker_costs_its_task_and_no_more(self, deadly: Deadly) -> None:
        """One worker leaves by os._exit and one is killed.

        Both tasks are lost once and then end, as do the others.
        """
        assert sorted(deadly.told("lost")) == ["hang-1", "kill-1", "quit-1"]
        assert sorted(deadly.told("ended")) == sorted(deadly.tasks)
        for task in ("kill-1", "quit-1"):
            (reason,) = deadly.reasons(task)
            assert reason.startswith("the worker died: ")

    def test_a_task_past_its_deadline_is_killed(self, deadly: Deadly) -> None:
        """A task that sleeps for ten minutes at its first try is lost with its deadline as the
        reason, then ends.
        """
        assert deadly.reasons("hang-1") == [
            "did not end within its deadline of 2.0 s and was killed"
        ]

    def test_a_process_that_must_wait_is_kept(self, ordinary: Ordinary) -> None:
        """Two tasks run at once, then one alone, then two again.

        They run in the two processes of before, of which none was started anew.
        """
        assert [call["task"] for call in ordinary.notes][2] == "nap-3"
        assert len(ordinary.notes) == len(ordinary.tasks)
        assert len({call["pid"] for call in ordinary.notes}) == 2

    def test_workers_have_their_threads_and_no_gpu(self, ordinary: Ordinary) -> None:
        """The environment that workers saw: two threads, and no GPU, since they have no share of
        one.
        """
        assert {(note["threads"], note["gpu"]) for note in ordinary.notes} == {("2", "")}

    def test_of_rays_processes_only_those_that_serve(self, ordinary: Ordinary) -> None:
        """Its servers and their two agents; no autoscaler, dashboard or watcher of what is
        printed.
        """
        assert any("raylet" in name for name in ordinary.processes)
        idle = ("monitor.py", "log_monitor.py", "dashboard.py")
        assert not [name for name in ordinary.processes if any(file in name for file in idle)]

    def test_the_signal_handlers_stay_the_callers(self, ordinary: Ordinary) -> None:
        """Handlers set before a drive are in place within it and after it."""
        assert len(ordinary.handlers) > 1
        assert all(handlers == ordinary.own for handlers in ordinary.handlers)


def test_the_death_of_ray_ends_the_search_with_the_reason(tmp_path: Path) -> None:
    """Its head dies while a task runs: SearchFailed says so, and the process ends soon and cleanly.

    In a process of its own, since Ray cannot be used again in one that has lost it. The death of
    its other server, and of the driver, are those of a whole search in ``tests/chaos``.
    """
    command = [sys.executable, "-m", "tests.support.source", os.fspath(tmp_path), "stop-1"]
    driver = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert _eventually(lambda: len(notes(tmp_path)) == 1)
    for process in psutil.Process(driver.pid).children(recursive=True):
        if process.name() == "gcs_server":
            process.kill()
    _, said = driver.communicate(timeout=PATIENCE_SECONDS / 2)
    assert driver.returncode == 1
    assert "SearchFailed: a server of Ray on this machine" in said.splitlines()[-1]
    assert not (tmp_path / "ray").exists()


def test_shares_of_a_gpu_in_a_deep_directory_without_a_word(tmp_path: Path) -> None:
    """Two tasks that wait for each other share one logical GPU, which works only if they run at
    once.

    The run directory's path is longer than a socket's name may be; nothing is printed; nothing
    stays behind.
    """
    run = tmp_path / ("d" * 100) / "run"
    run.mkdir(parents=True)
    command = [
        sys.executable,
        "-m",
        "tests.support.source",
        os.fspath(run),
        "meet-1",
        "meet-2",
        "ok-3",
    ]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said, _ = process.communicate()
    assert (process.returncode, said) == (0, "")
    assert sorted(note["task"] for note in notes(run)) == ["meet-1", "meet-2", "ok-3"]
    assert {(note["gpu"], note["threads"]) for note in notes(run)} == {("0", "3")}
    assert not (run / "ray").exists()
    assert _links_of(process.pid) == []


def test_links_of_dead_processes_are_removed(tmp_path: Path) -> None:
    """One link of this process and one of a process that has ended: the second goes, and what a
    worker that was just starting made by such a name.
    """
    ended = subprocess.Popen(["/bin/true"])
    ended.wait()
    (tmp_path / f"{LINK_PREFIX}{ended.pid}-aaaaaa").symlink_to(tmp_path)
    (tmp_path / f"{LINK_PREFIX}{ended.pid}-bbbbbb" / "logs").mkdir(parents=True)
    kept = tmp_path / f"{LINK_PREFIX}{os.getpid()}-aaaaaa"
    kept.symlink_to(tmp_path)
    foreign = tmp_path / f"{LINK_PREFIX}notes"
    foreign.touch()
    remove_stale_links(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([kept, foreign])


def test_a_link_leads_to_its_directory(tmp_path: Path) -> None:
    """It is short whatever the directory's length."""
    target = tmp_path / ("x" * 120)
    target.mkdir()
    link = make_link(target)
    try:
        assert link.resolve() == target.resolve()
        assert len(os.fsencode(link)) < 50
    finally:
        link.unlink()


@pytest.mark.parametrize(
    ("concurrency", "share", "gpus"),
    [(2, 0.5, 1), (3, 0.5, 2), (3, 0.6, 3), (10, 0.1, 1), (2, 1, 2), (2, 2, 4), (3, 0, 0)],
)
def test_gpus_for(concurrency: int, share: float, gpus: int) -> None:
    """A share never straddles two GPUs, and rounding of tenths costs none."""
    assert gpus_for(concurrency, share) == gpus


def test_the_cause_of_a_death_is_one_line() -> None:
    """Ray's text has the cause on one of many lines, with advice after it."""
    text = (
        "The actor died.\n\tclass_name: X\nThe actor is dead because its worker was killed. Some "
        "common causes: a\n"
    )
    assert cause_in(text) == "its worker was killed."
    assert cause_in("None") == "no reason given"
