"""An error of a user's code in one line: what was raised, and the last of their own lines it came
through.
"""

from __future__ import annotations

import functools
import inspect
import os
import sysconfig
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OWN = tuple(f"{ROOT / name}{os.sep}" for name in ("models", "policies", "search_spaces", "tuning"))
WORKLOADS = f"{ROOT / 'models' / 'workloads'}{os.sep}"
MOST_FRAMES = 3
LONGEST = 300
"""Characters of a message that are shown."""


def told(error: BaseException) -> str:
    """The kind of error, the first line of its message, and where the user's code was.

    The last frame of all where none is the user's. No frame is shown for a ValueError that this
    project raised: it is a message for the user.
    """
    lines = str(error).strip().splitlines() or ["no message"]
    text = lines[0] if len(lines[0]) <= LONGEST else lines[0][:LONGEST] + "..."
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, ValueError) and frames and is_ours(frames[-1].filename):
        return str(error)
    places = " <- ".join(map(_place, reversed(user_frames(error))))
    return f"{type(error).__name__}: {text}" + (f" (at {places})" if places else "")


def user_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The last frames that are neither this project's nor a library's; the last where all are."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_users(frame.filename)]
    return list(own[-MOST_FRAMES:] or frames[-1:])


def written_at(function: Any, name: str) -> str:
    """Where a user's function is written, for the end of a message: `` (loss at my_model.py:12)``.

    Empty where it is not theirs, or unknown.
    """
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None or not _is_users(code.co_filename):
        return ""
    return f" ({name} at {Path(code.co_filename).name}:{code.co_firstlineno})"


def _place(frame: traceback.FrameSummary) -> str:
    line = f": {frame.line}" if frame.line else ""
    return f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}{line}"


@functools.cache
def is_ours(file: str) -> bool:
    """Whether a file is this project's; its workloads are looked at as a user's are."""
    path = str(Path(file).resolve())
    return path.startswith(OWN) and not path.startswith(WORKLOADS)


def _is_users(file: str) -> bool:
    if file.startswith("<"):
        return False
    return not is_ours(file) and not in_library(file)


@functools.cache
def in_library(file: str) -> bool:
    """Whether a file is part of Python or of an installed package."""
    path = str(Path(file).resolve())
    return path.startswith(_libraries()) or f"{os.sep}site-packages{os.sep}" in path


@functools.cache
def _libraries() -> tuple[str, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple({str(Path(sysconfig.get_path(name)).resolve()) for name in names})
