"""What a run's files take, and which of its snapshots are still of use.

Snapshots spare trials the steps that they share with a reference run. None is needed for a result:
a trial that finds none trains from its first step, and its record is the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from tuning.layout import RUNNING, SET_ASIDE, TRIALS, TRUNK

OTHER_SEEDS = 4
"""The number of snapshots kept of a seed that only replicates train on, once the target is
known.
"""
FINISHED = 8
"""The number of snapshots kept of the trials' own seed once a search is done, in case it is
extended.
"""
PARTS = {TRIALS: "trials", TRUNK: "snapshots", RUNNING: "checkpoints", SET_ASIDE: "set aside"}
"""Folder of a run -> what it holds, for a reader."""
REST = "page, picture, description"


def snapshots(folder: Path) -> list[Path]:
    """A reference run's snapshots, by step."""
    return sorted(path for path in folder.glob("*.pt") if path.stem.isdigit())


def thin(folder: Path, keep: int) -> None:
    """Leave ``keep`` snapshots of a reference run, evenly spaced among those there are; calling it
    again changes nothing.
    """
    there = snapshots(folder)
    if len(there) <= keep:
        return
    last = len(there) - 1
    kept = {there[round(i * last / max(1, keep - 1))] for i in range(keep)}
    for path in there:
        if path not in kept:
            path.unlink(missing_ok=True)


def trunk_folders(run: Path) -> Iterator[Path]:
    """The folders of the reference runs that have snapshots."""
    yield from sorted(path for path in (run / TRUNK).iterdir() if path.is_dir())


def sizes(run: Path) -> dict[str, int]:
    """Bytes by what they hold, in the words of ``PARTS`` and ``REST``, the largest first; what
    takes no bytes is left out.
    """
    found: dict[str, int] = {}
    for path in run.rglob("*"):
        top = path.relative_to(run).parts[0]
        what = PARTS.get(top, REST)
        with contextlib.suppress(FileNotFoundError):  # a worker is done with it
            found[what] = found.get(what, 0) + (path.stat().st_size if path.is_file() else 0)
    return {what: size for what, size in sorted(found.items(), key=lambda i: -i[1]) if size}


def size_words(found: Mapping[str, int]) -> str:
    """``41 MB: snapshots 38 MB, trials 3 MB``.

    >>> size_words({"snapshots": 38_000_000, "trials": 2_600})
    '38 MB: snapshots 38 MB, trials 3 kB'
    """
    parts = ", ".join(f"{what} {bytes_words(size)}" for what, size in found.items())
    return f"{bytes_words(sum(found.values()))}{f': {parts}' if parts else ''}"


def bytes_words(size: int) -> str:
    """A size as a person reads it.

    >>> bytes_words(999), bytes_words(2_600), bytes_words(1_490_000_000)
    ('999 B', '3 kB', '1.5 GB')
    """
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            value = size / unit
            return f"{value:.1f} {name}" if name == "GB" else f"{value:.0f} {name}"
    return f"{size} B"
