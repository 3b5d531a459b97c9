"""What lies where in a run directory, and how a run is named on a command line."""

from __future__ import annotations

import errno
import shlex
import sys
from pathlib import Path

RUN_JSON = "run.json"
"""The file with the run's own description; a directory that has it is a run."""
TRIALS = "trials"
"""Folder of the finished trials' table."""
RUNNING = "running"
"""Folder of the tasks in flight."""
LEASE = "lease"
"""Folder within RUNNING that says who holds the run."""
TRUNK = "trunk"
"""Folder of the reference runs' records and snapshots."""
SET_ASIDE = "set_aside"
"""Folder of what was taken out of the table; not in every run."""
RAY = "ray"
"""Folder of Ray's own files, while it runs."""
STOP = "stop"
"""A file; while it exists, workers save a checkpoint and return."""
WARM_START = "warm_start.json"
"""What the sampler knows of another run."""
VERDICT = "verdict.json"
"""What the last confirmation found."""
APART = "apart.json"
"""What each piece of a recipe brings."""
PAGE = "report.html"
PICTURE = "front.png"


def too_long(path: Path) -> bool:
    """Whether the path has a name that is too long for any file system here; pathlib raises where
    it asks about one.
    """
    try:
        path.lstat()
    except OSError as fault:
        return fault.errno == errno.ENAMETOOLONG
    return False


def no_text(name: str) -> bool:
    """Whether a name has bytes that are not valid UTF-8, which no record can hold."""
    return any("\ud800" <= letter <= "\udfff" for letter in name)


def is_run(path: Path) -> bool:
    """Whether a run is at ``path``."""
    return not too_long(path / RUN_JSON) and (path / RUN_JSON).is_file()


def program(door: str) -> str:
    """How a command of this project is called, in the words by which this process was started."""
    return f"ttq {door}" if Path(sys.argv[0]).stem == "ttq" else f"python -m tuning.{door}"


def resume_option(run: object) -> str:
    """The option that goes on with a run, quoted for a shell."""
    return f"--resume {shlex.quote(str(run))}"


def resume_command(run: object) -> str:
    """What to type to go on with a run."""
    return f"{program('search')} {resume_option(run)}"
