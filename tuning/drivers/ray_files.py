"""Ray's files while a search runs, and the short name by which its sockets are reached."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
import time
from pathlib import Path

import psutil

from tuning.errors import SearchFailed

LINK_PREFIX = "ttq-"
_LINK = re.compile(f"{LINK_PREFIX}(?P<pid>[0-9]+)-[0-9a-f]{{6}}")
LONGEST_LINK = 42
"""The longest name of a link, in bytes: a socket's name may have 107, less those of
``/session_DATE_TIME_MICROSECONDS_PID/sockets/plasma_store``.
"""


def remove_stale_links(directory: Path) -> None:
    """Remove the links of searches that are no more.

    A worker that was just starting when its search died makes a directory of the link's name, for
    its log.
    """
    for link in directory.glob(f"{LINK_PREFIX}*"):
        found = _LINK.fullmatch(link.name)
        if found and not psutil.pid_exists(int(found["pid"])):
            with contextlib.suppress(OSError):  # another user's, or already gone
                if link.is_symlink():
                    link.unlink()
                else:
                    shutil.rmtree(link)


def make_link(target: Path) -> Path:
    """A short link to ``target`` in the directory for temporary files.

    Raises:
        SearchFailed: no such directory has a short enough name.
    """
    name = f"{LINK_PREFIX}{os.getpid()}-{secrets.token_hex(3)}"
    # Only a link, and its name is random.
    for directory in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108
        link = directory / name
        if len(os.fsencode(link)) <= LONGEST_LINK and os.access(directory, os.W_OK):
            remove_stale_links(directory)
            link.symlink_to(target, target_is_directory=True)
            return link
    raise SearchFailed(
        "Ray's sockets need a directory for temporary files with a short name, but got "
        f"{tempfile.gettempdir()!r}: "
        "set TMPDIR to one of at most 20 characters"
    )


def remove_files(directory: Path) -> None:
    """Remove Ray's files."""
    # Processes that are just ending may still write into it.
    for _ in range(100):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
        time.sleep(0.1)
