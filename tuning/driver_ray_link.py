"""A short name for Ray's directory.

Ray puts its sockets into its directory, and the name of a socket has at most 107 bytes, so Ray is told a short symbolic
link to RUN/ray instead of its path. A link names the process that made it; what a killed search left is removed by the
next, if its guard did not do so.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

import psutil

from tuning.errors import SearchFailed

LINK_PREFIX = "ttq-"
LONGEST_LINK = 42
"""107 bytes of a socket's name less ``/session_DATE_TIME_MICROSECONDS_PID/sockets/plasma_store``."""


def remove_stale_links(directory: Path) -> None:
    """Remove the links of searches that are no more."""
    for link in directory.glob(f"{LINK_PREFIX}*"):
        pid = link.name.removeprefix(LINK_PREFIX).partition("-")[0]
        if link.is_symlink() and pid.isdigit() and not psutil.pid_exists(int(pid)):
            with contextlib.suppress(OSError):  # another user's, or already gone
                link.unlink()


def make_link(target: Path) -> Path:
    """A short link to ``target`` in the directory for temporary files.

    Raises:
        SearchFailed: no such directory has a short enough name.
    """
    name = f"{LINK_PREFIX}{os.getpid()}-{secrets.token_hex(3)}"
    for directory in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - only a link, its name is random
        link = directory / name
        if len(os.fsencode(link)) <= LONGEST_LINK and os.access(directory, os.W_OK):
            remove_stale_links(directory)
            link.symlink_to(target, target_is_directory=True)
            return link
    raise SearchFailed(
        f"Ray's sockets need a directory for temporary files with a short name, but got {tempfile.gettempdir()!r}: "
        "set TMPDIR to one of at most 20 characters"
    )
