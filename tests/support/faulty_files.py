"""File layers that fail: by a crash between any two system calls, or as a disk does that is full or
gone.

``CrashingFiles`` dies at a call of its choice, and everything after it fails too: a killed process
does not clean up. What had not reached the disk at that instant can be lost as in a power failure:
content that was not fsynced is cut to a prefix, and names that were not flushed with their
directory are undone, the latest first.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tuning.store.files import Files


class Crash(BaseException):
    """The process is dead. Not an Exception, so that nothing in the code under test survives it."""


class CountingFiles(Files):
    """The real file system, with ``_enter`` called at every system call that changes it.

    Flushing is only counted: no test pulls the plug, and a real flush is most of the time that a
    write takes.
    """

    calls = 0

    def _enter(self, name: str) -> None:
        self.calls += 1

    def create(self, path: Path) -> int:
        self._enter("create")
        return super().create(path)

    def write(self, descriptor: int, data: bytes) -> int:
        self._enter("write")
        return super().write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        self._enter("fsync")

    def close(self, descriptor: int) -> None:
        super().close(descriptor)  # a dead process's files are closed for it
        self._enter("close")

    def link(self, source: Path, target: Path) -> None:
        self._enter("link")
        super().link(source, target)

    def replace(self, source: Path, target: Path) -> None:
        self._enter("replace")
        super().replace(source, target)

    def unlink(self, path: Path) -> None:
        self._enter("unlink")
        super().unlink(path)

    def mkdir(self, path: Path) -> None:
        self._enter("mkdir")
        super().mkdir(path)

    def touch(self, path: Path) -> None:
        self._enter("touch")
        super().touch(path)

    def fsync_dir(self, path: Path) -> None:
        self._enter("fsync_dir")


class CrashingFiles(CountingFiles):
    """Dies before its ``alive_for + 1``-th call; a write that it dies in leaves ``torn`` (a
    fraction) of its data.

    With ``power_failure`` what was not flushed is lost as well, names from the latest back to
    ``undo`` of them.
    """

    def __init__(
        self, alive_for: int, *, torn: float = 0.0, power_failure: bool = False, undo: int = 0
    ) -> None:
        self._alive_for = alive_for
        self._torn = torn
        self._power_failure = power_failure
        self._undo = undo
        self._unflushed: dict[int, Path] = {}
        self._unnamed: list[tuple[Path, Callable[[], None]]] = []
        self.dead = False

    def create(self, path: Path) -> int:
        descriptor = super().create(path)
        self._unflushed[descriptor] = path
        return descriptor

    def write(self, descriptor: int, data: bytes) -> int:
        if self.calls == self._alive_for and not self.dead:
            os.write(descriptor, data[: int(len(data) * self._torn)])
        return super().write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        super().fsync(descriptor)
        self._unflushed.pop(descriptor, None)

    def link(self, source: Path, target: Path) -> None:
        super().link(source, target)
        self._unnamed.append((target.parent, lambda: target.unlink(missing_ok=True)))

    def replace(self, source: Path, target: Path) -> None:
        before = target.read_bytes() if target.is_file() else None
        super().replace(source, target)
        if target.is_file():
            moved = target.read_bytes()
            self._unnamed.append(
                (target.parent, partial(_undo_rename, source, moved, target, before))
            )

    def unlink(self, path: Path) -> None:
        before = path.read_bytes() if path.is_file() else None
        super().unlink(path)
        self._unnamed.append((path.parent, lambda: _restore(path, before)))

    def fsync_dir(self, path: Path) -> None:
        super().fsync_dir(path)
        self._unnamed = [(folder, undo) for folder, undo in self._unnamed if folder != path]

    def _enter(self, name: str) -> None:
        if self.dead or self.calls == self._alive_for:
            if not self.dead:
                self.dead = True
                self._lose_power()
            raise Crash(name)
        super()._enter(name)

    def _lose_power(self) -> None:
        if not self._power_failure:
            return
        for path in self._unflushed.values():
            if path.exists():
                os.truncate(path, int(path.stat().st_size * self._torn))
        for _, undo in reversed(
            self._unnamed[len(self._unnamed) - min(self._undo, len(self._unnamed)) :]
        ):
            undo()


class FullDisk(CountingFiles):
    """A disk without room: from the ``room + 1``-th call on nothing can be made or written."""

    def __init__(self, room: int = 0, error: int = errno.ENOSPC) -> None:
        self._room = room
        self._errno = error

    def _enter(self, name: str) -> None:
        if self.calls >= self._room and name in {"create", "write", "fsync", "link", "mkdir"}:
            raise OSError(self._errno, os.strerror(self._errno))
        super()._enter(name)


class NoHardLinks(Files):
    """A file system such as FAT, or some network shares."""

    def link(self, source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def _undo_rename(source: Path, moved: bytes, target: Path, before: bytes | None) -> None:
    _restore(source, moved)
    _restore(target, before)


def _restore(path: Path, content: bytes | None) -> None:
    path.unlink(missing_ok=True)  # a new file: the old one may live on under another name
    if content is not None:
        path.write_bytes(content)
