"""Workloads by name: the embedded ones, and a user's own as ``package.module:factory``.

A module of this package that declares ``WORKLOADS: dict[str, factory]`` adds those names, so a new
workload is one new file. A factory takes no argument, or ``corpus_dir`` (a directory, or None for
its default text).
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models import by_path, workloads
from models.frames import told
from models.workload import Workload

Factory = Callable[..., Workload]
FORMS = "package.module:factory or path/to/file.py:factory"
CORPUS_ARGUMENT = "corpus_dir"


def workload_names() -> list[str]:
    """Names of the embedded workloads, sorted."""
    return sorted(_embedded())


def find_workload(name: str, corpus: Path | None = None) -> Workload:
    """Build the workload ``name``, an embedded one or ``package.module:factory``.

    Args:
        name: the current directory is on the path while a module is imported.
        corpus: directory of text for a workload that takes one; None for its default.

    Raises:
        ValueError: there is no such workload, its factory fails or returns something else, or a
            corpus is given to a workload that takes none; the message says which and what to do.
    """
    return _build(name, _imported(name) if ":" in name else _known(name), corpus)


def _embedded() -> dict[str, Factory]:
    found: dict[str, Factory] = {}
    for module in pkgutil.iter_modules(workloads.__path__, "models.workloads."):
        found.update(getattr(importlib.import_module(module.name), "WORKLOADS", {}))
    return found


def _known(name: str) -> Factory:
    known = _embedded()
    if name not in known:
        raise ValueError(f"workload must be one of {sorted(known)} or {FORMS}, but got {name!r}")
    return known[name]


def _imported(name: str) -> Factory:
    """Import what ``package.module:factory`` or ``path/to/file.py:factory`` names."""
    module_name, _, attribute = name.rpartition(":")
    if not module_name or not attribute:
        raise ValueError(f"workload must have the form {FORMS}, but got {name!r}")
    if module_name == "__main__":
        raise ValueError(
            f"a workload must be one that other processes can import, but got {name!r}: put the "
            f"factory into a file and name it file.py:{attribute}"
        )
    module = _import(module_name, name)
    factory = getattr(module, attribute, None)
    if factory is None:
        raise ValueError(
            f"workload {name!r} must name a factory, but module {module_name!r} has no "
            f"{attribute!r}"
        )
    if not callable(factory):
        raise ValueError(
            f"workload {name!r} must name a function that returns a Workload, but it is a "
            f"{_kind(factory)}"
        )
    return factory  # type: ignore[no-any-return]


def _import(module_name: str, name: str) -> Any:
    # ``python -m`` has the current directory on the path already; a worker or an installed script
    # may not.
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    folder = by_path.divided(name)[0].absolute().parent if by_path.is_path(name) else Path.cwd()
    try:
        with by_path.importing(name):
            if by_path.is_path(name):
                return by_path.module_at(by_path.divided(name)[0])
            return importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a script without a main guard may leave the process
        raise ValueError(
            f"workload {name!r} must be importable, but importing {module_name!r} from {here} "
            f"raised {told(error)}{by_path.collision(error, folder)}"
        ) from error


def _build(name: str, factory: Factory, corpus: Path | None) -> Workload:
    arguments = {} if corpus is None else {CORPUS_ARGUMENT: corpus}
    if arguments and not _takes_corpus(factory):
        raise ValueError(
            f"a corpus can be given only to a workload that takes one, but {name!r} takes none and "
            "got "
            f"{str(corpus)!r}; leave the corpus out, or give the factory an argument "
            f"{CORPUS_ARGUMENT!r}"
        )
    try:
        workload = factory(**arguments)
    except Exception as error:
        raise ValueError(f"workload {name!r} could not be built: {_reason(error)}") from error
    if not isinstance(workload, Workload):
        raise ValueError(f"workload {name!r} must return a Workload, but got a {_kind(workload)}")
    return workload


def _takes_corpus(factory: Factory) -> bool:
    return CORPUS_ARGUMENT in inspect.signature(factory).parameters


def _reason(error: Exception) -> str:
    """Say why: the message alone where it is meant for a user, else with the kind of error."""
    return str(error) if isinstance(error, ValueError) else f"it raised {told(error)}"


def _kind(value: object) -> str:
    return type(value).__name__
