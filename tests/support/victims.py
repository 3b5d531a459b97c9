"""A search as a user starts it, in a process group of its own, and ways to kill its processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from tuning.drivers.ray_files import LINK_PREFIX

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 120.0
SERVERS = ("raylet", "gcs_server")
VICTIMS = ("driver", "worker", "workers", "raylet", "group")


def eventually(holds: Callable[[], object]) -> bool:
    """Whether it holds within a time that is generous even on a busy machine."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


class Victim:
    """``python -m MODULE ARGUMENTS`` in a process group of its own, its output in a file.

    Attributes:
        process: the leader of the group.
        tree: every process seen so far that it started.
    """

    def __init__(self, arguments: list[str], output: Path, environment: Mapping[str, str]) -> None:
        self.output = output
        self._file = output.open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            stdout=self._file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            start_new_session=True,
        )
        self._file.close()
        self.tree: dict[int, psutil.Process] = {}

    @property
    def over(self) -> bool:
        """Whether its leader has ended."""
        return self.process.poll() is not None

    def said(self) -> str:
        """What it has printed."""
        return self.output.read_text()

    def look(self) -> list[psutil.Process]:
        """The processes below the leader, now."""
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.process.pid).children(recursive=True)
            self.tree |= {child.pid: child for child in children}
            return children
        return []

    def workers(self) -> list[psutil.Process]:
        """Those that train."""
        return [process for process in self.look() if "Trainable" in _title(process)]

    def servers(self) -> list[psutil.Process]:
        """Ray's, as far as they were started."""
        return [process for process in self.look() if _name(process) in SERVERS]

    def links(self) -> list[Path]:
        """The short names that it gave Ray's files."""
        names = Path(tempfile.gettempdir()).glob(f"{LINK_PREFIX}{self.process.pid}-*")
        return [name for name in names if name.is_symlink()]

    def kill(self, victim: str) -> list[int]:
        """Kill one of ``VICTIMS`` (``worker``: the oldest) with SIGKILL.

        Returns the ids of the processes that the signal was sent to.
        """
        children = self.look()
        if victim == "driver":
            self.process.kill()
            return [self.process.pid]
        if victim == "group":
            os.killpg(self.process.pid, signal.SIGKILL)
            return [self.process.pid, *(child.pid for child in children)]
        if victim == "raylet":
            found = [
                child
                for child in children
                if _title(child).startswith("raylet") or _name(child) == "raylet"
            ]
        else:
            found = self.workers()[: 1 if victim == "worker" else None]
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return [process.pid for process in found]

    def wait(self) -> int:
        """Wait for the leader's end; its exit status."""
        while not self.over:
            self.look()
            time.sleep(0.2)
        return self.process.returncode

    def gone(self) -> bool:
        """Whether every process it started has ended."""
        return not any(_lives(process) for process in self.tree.values())

    def end(self) -> None:
        """Leave nothing behind, however a test went."""
        self.look()
        for process in self.tree.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.kill()
        self.process.wait()


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""
