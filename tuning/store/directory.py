"""A run directory as such: making one, whole or not at all, and telling one from anything else."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from pathlib import Path

from tuning.errors import BadInput
from tuning.layout import RUN_JSON, RUNNING, TRIALS, TRUNK, no_text, resume_option
from tuning.store.files import TEMPORARY_SUFFIX, Files
from tuning.store.info import RunInfo

FOLDERS = (TRIALS, RUNNING, TRUNK)


def create_directory(path: Path, info: RunInfo, files: Files) -> None:
    """Make a run at ``path``, which must not exist: made beside it and renamed, it appears whole.

    Raises:
        BadInput: ``path`` exists, or cannot be written; then nothing is left of it.
    """
    if path.exists() or path.is_symlink():
        raise BadInput(_exists(path))
    staging = path.parent / f".{path.name}.{uuid.uuid4().hex[:12]}{TEMPORARY_SUFFIX}"
    try:
        _make_parents(staging, files)
        for folder in (staging, *(staging / name for name in FOLDERS)):
            files.mkdir(folder)
        files.write_atomic(staging / RUN_JSON, info.to_json().encode())
        files.replace(staging, path)
        files.fsync_dir(path.parent)
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise BadInput(
            f"a run directory must be writable, but {path} is not: {error.strerror}"
        ) from None


def remove_directory(path: Path) -> None:
    """Undo ``create_directory`` where nothing came of the run; what cannot be removed stays."""
    shutil.rmtree(path, ignore_errors=True)


def _lacks(path: Path, error: Exception) -> str:
    if not isinstance(error, FileNotFoundError):
        return f"reading that raised {error}"
    return "it has none" if path.exists() else "there is nothing of that name"


def read_info(path: Path) -> RunInfo:
    """The description of the run at ``path``.

    Raises:
        BadInput: it is not a run, or one that this version does not read.
    """
    if no_text(str(path)):  # what reads records takes no other names
        raise BadInput(
            f"a run directory must have a name in UTF-8, but got {str(path)!r}: rename it, or use "
            "a link to it"
        )
    try:
        text = (path / RUN_JSON).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path} must be a run directory, one with a {RUN_JSON}, but {_lacks(path, error)}"
        ) from None
    try:
        info = RunInfo.from_json(text)
    except BadInput as error:
        raise BadInput(f"{path}: {fault}" for fault in error.faults) from None
    if missing := [name for name in FOLDERS if not (path / name).is_dir()]:
        raise BadInput(
            f"{path} must have the directories of a run, but these are missing: {missing}"
        )
    return info


def _make_parents(path: Path, files: Files) -> None:
    for folder in reversed(path.parents):
        if not folder.exists():
            with contextlib.suppress(FileExistsError):  # another may be making the same ones
                files.mkdir(folder)


def _exists(path: Path) -> str:
    advice = (
        f"go on with it by {resume_option(path)}, or choose"
        if (path / RUN_JSON).exists()
        else "choose"
    )
    return f"a new run needs a directory that does not exist, but {path} does; {advice} another"
