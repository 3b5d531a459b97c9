"""The file layer under everything durable: one method a system call, and the two ways in which a
file appears.

Store, lease and checkpoints write through a ``Files`` object that is handed to them, so that a test
can hand in one that crashes between any two calls. Reading needs no such care and goes through
``pathlib``.

A file appears whole or not at all: it is written under a temporary name, flushed to the disk, and
only then named. ``write_atomic`` replaces what had the name; ``commit_once`` never does, so that of
two writers exactly one wins.
"""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

TEMPORARY_SUFFIX = ".tmp"
AT_ONCE = 64 << 20
"""The most bytes that one call is given to write: a checkpoint as large as memory allows no third
copy.
"""
_NO_HARD_LINKS = {
    errno.EPERM,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EMLINK,
    errno.EXDEV,
}


class Files:
    """The file system of this machine. Every method raises OSError as its system call does."""

    def create(self, path: Path) -> int:
        """Open a new file for writing; FileExistsError where the name is taken."""
        return os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666
        )

    def write(self, descriptor: int, data: bytes) -> int:
        """Write some of ``data``, at least one byte; how many bytes were written."""
        return os.write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        """Flush a file's content to the disk."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Close an open file."""
        os.close(descriptor)

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name; FileExistsError where that is taken."""
        os.link(source, target)

    def replace(self, source: Path, target: Path) -> None:
        """Rename, over whatever had the name."""
        os.replace(source, target)  # noqa: PTH105 - this class is the list of system calls

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        os.unlink(path)  # noqa: PTH108 - this class is the list of system calls

    def mkdir(self, path: Path) -> None:
        """Make a directory; FileExistsError where the name is taken."""
        os.mkdir(path)  # noqa: PTH102 - as above

    def touch(self, path: Path) -> None:
        """Set a file's modification time to now; needs no space on the disk."""
        os.utime(path)

    def fsync_dir(self, path: Path) -> None:
        """Flush a directory's names to the disk."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if (
                error.errno != errno.EINVAL
            ):  # file systems that keep directories in order by themselves
                raise
        finally:
            os.close(descriptor)

    def write_atomic(self, path: Path, data: bytes) -> None:
        """Put ``data`` at ``path``, over what was there; at any instant the name holds either the
        whole old or the whole new content.
        """
        temporary = self._write_temporary(path.name, data, path.parent)
        with self._discarding(temporary):
            self.replace(temporary, path)
        self.fsync_dir(path.parent)

    def commit_once(
        self,
        path: Path,
        data: bytes,
        *,
        scratch: Path | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        """Put ``data`` at ``path`` unless the name is taken.

        ``scratch`` is where the temporary file lives (same file system; by default beside
        ``path``); ``before`` is called at the last moment and may raise to stop the commit.

        Raises:
            FileExistsError: the name is taken; what was there is untouched.
        """
        temporary = self._write_temporary(path.name, data, scratch or path.parent)
        with self._discarding(temporary):
            before()
            self._name_once(temporary, path)
        self._discard(temporary)
        self.fsync_dir(path.parent)

    def _write_temporary(self, name: str, data: bytes, folder: Path) -> Path:
        temporary = folder / f".{name}.{uuid.uuid4().hex[:12]}{TEMPORARY_SUFFIX}"
        descriptor = self.create(temporary)
        with self._discarding(temporary):
            try:
                rest = memoryview(data)
                while rest:
                    # A signal, or a file system that is nearly full, may let less through than was
                    # handed in.
                    rest = rest[self.write(descriptor, bytes(rest[:AT_ONCE])) :]
                self.fsync(descriptor)
            finally:
                self.close(descriptor)
        return temporary

    def _name_once(self, temporary: Path, path: Path) -> None:
        try:
            self.link(temporary, path)
        except FileExistsError:
            # A network file system that repeats a lost answer says "exists" of the link it made
            # itself.
            if not path.samefile(temporary):
                raise
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            # Without hard links the name is claimed empty first. A kill in between leaves an empty
            # file, which readers treat as torn: it is set aside and its trial runs again.
            self.close(self.create(path))
            self.replace(temporary, path)

    @contextlib.contextmanager
    def _discarding(self, temporary: Path) -> Iterator[None]:
        """Remove the temporary file where the block raises."""
        try:
            yield
        except BaseException:
            self._discard(temporary)
            raise

    def _discard(self, temporary: Path) -> None:
        with contextlib.suppress(OSError):
            self.unlink(temporary)


FILES = Files()
"""The one to use where no test hands in another."""
