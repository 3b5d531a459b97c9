"""An error of a user's code in one line: what was raised, and the last of their own lines it came
through.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import os
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any

from models.calls import Call, calls

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("models", "policies", "search_spaces", "tuning")
OWN = tuple(f"{ROOT / name}{os.sep}" for name in PACKAGES)
WORKLOADS = f"{ROOT / 'models' / 'workloads'}{os.sep}"
TYPED = ("<ipython-input", "<stdin>")
"""What Python calls the file of code that was typed in."""
PARTS = (
    "make_model",
    "blocks",
    "stem",
    "batch_at",
    "examples_at",
    "shrink",
    "loss",
    "evaluate",
    "make_optimizer",
)
"""Of a workload, what is called."""
MOST_FRAMES = 3
LONGEST = 300
"""Characters of a message that are shown."""


def told(error: BaseException) -> str:
    """The kind of error, the first line of its message, and where the user's code was.

    What this project raised as a message for the user comes as that message alone.
    """
    lines = str(error).strip().splitlines() or ["no message"]
    text = lines[0] if len(lines[0]) <= LONGEST else lines[0][:LONGEST] + "..."
    if isinstance(error, (ValueError, RuntimeError)) and is_told(error):
        return str(error)
    places = where(error)
    return f"{type(error).__name__}: {text}" + (f" ({places})" if places else "")


def where(error: BaseException) -> str:
    """The last lines of the user's code, the innermost first, before them what of theirs was being
    called; the last line of all where there is neither.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own, called = user_frames(error), user_call(error.__traceback__)
    places = [f"calling {called}"] if called else []
    if own:
        first, *others = [*places, *map(_place, reversed(own))]
        return " <- ".join([first if called else f"at {first}", *others])
    if frames and not (called and is_ours(frames[-1].filename)):
        places.append(f"at {_place(frames[-1])}")
    return "; ".join(places)


def where_in_short(error: BaseException) -> str:
    """As ``where``, without the lines' texts; empty for what this project raised itself."""
    own, called = user_frames(error), user_call(error.__traceback__)
    if is_told(error) and not own:
        return ""
    places = [f"calling {called}"] if called else []
    return " <- ".join([*places, *map(_spot, reversed(own))]) or _last(error)


def _last(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return _spot(frames[-1]) if frames else ""


def is_told(error: BaseException) -> bool:
    """Whether an error is this project's own message, and no failure of its code."""
    frames = traceback.extract_tb(error.__traceback__)
    meant = isinstance(error, ValueError) or is_ours_by_name(type(error).__module__)
    return meant and bool(frames) and is_ours(frames[-1].filename)


def is_ours_by_name(module: str) -> bool:
    """Whether a module is this project's, by its name."""
    return module.partition(".")[0] in PACKAGES


def user_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The last frames that are neither this project's nor a library's."""
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if is_users_file(frame.filename)][-MOST_FRAMES:]


def user_call(trace: TracebackType | None) -> str:
    """Which of the user's functions was being called: ``loss(), written at my_model.py:12``.

    Where what failed is a library's and no line of theirs led there, which part of the workload.
    Empty where none was called, or where it has lines of its own.
    """
    found = [(name, function) for _, name, function in _calls_after_the_users(trace)]
    for name, function in found:
        if place := _written(function):
            return f"{name}(), written at {place}"
    if any(is_users_file(file) for file, _, _ in calls(trace)):
        return ""
    parts = (name for name, function in found if name in PARTS and callable(function))
    return next((f"{name}()" for name in parts), "")


def _calls_after_the_users(trace: TracebackType | None) -> Iterator[Call]:
    """The calls of this project that no line of the user's lies within, the innermost first."""
    inner = itertools.takewhile(lambda call: not is_users_file(call[0]), calls(trace))
    return (call for call in inner if is_ours(call[0]))


def written_at(function: Any, name: str) -> str:
    """Where a user's function is written, for the end of a message: `` (loss at my_model.py:12)``.

    Empty where the function is not the user's or its place is unknown.
    """
    place = _written(function)
    return f" ({name} at {place})" if place else ""


def _written(function: Any) -> str:
    code = _code(function)
    if code is None or not is_users_file(code.co_filename):
        return ""
    return f"{Path(code.co_filename).name}:{code.co_firstlineno}"


def _code(function: Any) -> CodeType | None:
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(inspect.unwrap(function) if callable(function) else None, "__code__", None)
    if code is None and not isinstance(function, type):
        code = getattr(getattr(type(function), "__call__", None), "__code__", None)  # noqa: B004 - its code, not whether it can be called
    return code


def _place(frame: traceback.FrameSummary) -> str:
    # The first line alone of a call over several: open, it would swallow the message's own bracket.
    rest = {"(": "…)", "[": "…]", "{": "…}"}.get((frame.line or "")[-1:], "")
    return _spot(frame) + (f": {frame.line}{rest}" if frame.line else "")


def _spot(frame: traceback.FrameSummary) -> str:
    return f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"


@functools.cache
def is_ours(file: str) -> bool:
    """Whether a file is this project's; its workloads are looked at as a user's are."""
    path = str(Path(file).resolve())
    return path.startswith(OWN) and not path.startswith(WORKLOADS)


def is_users_file(file: str) -> bool:
    """Whether code of that file, or of a cell, is the user's own."""
    if file.startswith("<"):
        return file.startswith(TYPED)
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
