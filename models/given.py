"""Workloads given as objects, from a notebook say, and not by the name of a file. No torch.

The object is pickled by value into a directory of this process, which its workers find through
their environment; no run directory holds code. The directory goes when the process ends.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import functools
import inspect
import os
import pickle
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import cloudpickle

PREFIX = "given:"
VARIABLE = "TTQ_GIVEN"
"""Environment variable with the directory; workers inherit it."""

_HERE: dict[str, Any] = {}
"""What this process was given, by name."""


def is_given(name: str) -> bool:
    """Whether a workload's name is that of an object."""
    return name.startswith(PREFIX)


def give(value: Any) -> str:
    """Make a workload or a factory known to this process and its workers, and return its name.

    A later one of the same name takes its place.

    Raises:
        ValueError: it cannot be pickled; the message says which part cannot.
    """
    name = PREFIX + re.sub(r"\W+", "_", str(_called(value)))
    _read_annotations(value)
    try:
        pickled = cloudpickle.dumps(value)
    except Exception as fault:
        part, reason = next(_unpickled(value), ("it", fault))
        raise ValueError(
            f"a workload given as an object must be picklable by value, but {name} is not: {part} "
            f"cannot be pickled ({type(reason).__name__}: {reason}); make it within the factory, "
            "or put the factory into a file and name it file.py:factory"
        ) from fault
    _file(name, _directory()).write_bytes(pickled)
    _HERE[name] = value
    return name


def _read_annotations(value: Any) -> None:
    """Put what annotations mean in place of their text: another process lacks the names in it."""
    plain = value.func if isinstance(value, functools.partial) else value
    if inspect.isfunction(plain):
        with contextlib.suppress(Exception):  # whoever reads its knobs says what is wrong
            plain.__annotations__ = get_type_hints(plain, include_extras=True)


def given_factory(name: str) -> Any:
    """The factory that ``name`` stands for.

    Raises:
        ValueError: neither this process nor the one that started it was given it, or it cannot be
            read here.
    """
    value = _HERE[name] if name in _HERE else _read(name)
    return value if inspect.isroutine(value) or isinstance(value, type) else _as_factory(value)


def _as_factory(value: Any) -> Any:
    if isinstance(value, functools.partial) or not dataclasses.is_dataclass(value):
        return value
    return lambda: value


def _read(name: str) -> Any:
    folder = os.environ.get(VARIABLE)
    if folder is None or not _file(name, Path(folder)).is_file():
        raise ValueError(
            f"workload {name!r} was given as an object, which lives as long as the process it was "
            "given in and those it starts on the same machine: give it again, "
            "tuning.resume(run, workload=...), or put it into a file and name it file.py:factory"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # modules beside the notebook are pickled by their names
    try:
        # Written by the process that started this one, for it alone: no file of a run's.
        return pickle.loads(_file(name, Path(folder)).read_bytes())  # noqa: S301
    except Exception as fault:
        raise ValueError(
            f"workload {name!r} must be readable in another process, but there it raised "
            f"{type(fault).__name__}: {fault}"
        ) from fault


def _directory() -> Path:
    folder = os.environ.get(VARIABLE)
    if folder is None or not Path(folder).is_dir():
        folder = tempfile.mkdtemp(prefix="workloads-")
        os.environ[VARIABLE] = folder
        atexit.register(_remove, folder, os.getpid())
    return Path(folder)


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # not a fork of it
        shutil.rmtree(folder, ignore_errors=True)


def _file(name: str, folder: Path) -> Path:
    return folder / f"{name.removeprefix(PREFIX)}.pkl"


def _called(value: Any) -> Any:
    plain = value.func if isinstance(value, functools.partial) else value
    return getattr(plain, "__name__", None) or getattr(plain, "name", type(plain).__name__)


def _unpickled(value: Any) -> Iterator[tuple[str, Exception]]:
    """The parts of a workload or factory that cannot be pickled alone, with why."""
    for name, part in _parts(value).items():
        try:
            cloudpickle.dumps(part)
        except Exception as fault:
            inner = next(_unpickled(part), None)
            yield (f"{name}: {inner[0]}", inner[1]) if inner else (name, fault)


def _parts(value: Any) -> dict[str, Any]:
    if inspect.isfunction(value):
        found = inspect.getclosurevars(value)
        return {**found.nonlocals, **found.globals}
    if isinstance(value, functools.partial):
        return {f"argument {i}": part for i, part in enumerate(value.args)} | value.keywords
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    return {}
