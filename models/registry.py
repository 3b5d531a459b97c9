"""Workloads by name: the embedded ones, and a user's own as ``package.module:factory``.

A module of this package that declares ``WORKLOADS: dict[str, factory]`` adds those names, so a new
workload is one new file. A factory takes no argument, or ``corpus_dir`` (a directory, or None for
its default text).
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import pkgutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from models import beside, by_path, workloads
from models.frames import told
from models.given import given_factory, is_given
from models.knobs import OwnKnob, arguments_without_range, own_knobs, values_given
from models.process_kept import process_kept
from models.workload import Workload
from policies.rules import Scalar

Factory = Callable[..., Workload]
FORMS = "package.module:factory or path/to/file.py:factory"
CORPUS_ARGUMENT = "corpus_dir"
KEPT = (
    "steps",
    "eval_every",
    "warmup_steps",
    "decay_fraction",
    "decay_shape",
    "fingerprint",
    "metric",
    "maximize",
    "metric_names",
)
"""Fields in which a workload with other values of its own knobs must be the same workload.

Else neither its horizon nor its results would compare with the others'.
"""


def workload_names() -> list[str]:
    """Names of the embedded workloads, sorted."""
    return sorted(_embedded())


def find_workload(
    name: str, corpus: Path | None = None, own: Mapping[str, Scalar] | None = None
) -> Workload:
    """Build the workload ``name``, an embedded one or ``package.module:factory``.

    Args:
        name: the current directory is on the path while a module is imported.
        corpus: directory of text for a workload that takes one; None for its default.
        own: values of its own knobs that are not their defaults.

    Raises:
        ValueError: there is no such workload, its factory fails or returns something else, declares
            a knob wrongly or makes another task with other values of its knobs, or a corpus is
            given to a workload that takes none; the message says which and what to do.
    """
    factory = _factory(name)
    known = own_knobs(factory, name)
    workload = _build(name, factory, corpus, {})
    if not own:
        return workload
    other = _build(name, factory, corpus, values_given(known, own, name))
    if changed := [field for field in KEPT if getattr(workload, field) != getattr(other, field)]:
        raise ValueError(
            f"workload {name!r} must be the same task whatever its own knobs are, but with "
            f"{_given(own)} it has other {', '.join(changed)}"
        )
    return replace(other, name=workload.name)


def own_knobs_of(name: str) -> dict[str, OwnKnob]:
    """The own knobs of the workload ``name``, by name; nothing is built.

    Raises:
        ValueError: there is no such workload, or it declares one wrongly.
    """
    return own_knobs(_factory(name), name)


def unranged_arguments_of(name: str) -> list[str]:
    """The keyword arguments of the workload's factory that are no knobs; nothing is built.

    Raises:
        ValueError: as ``own_knobs_of``.
    """
    return arguments_without_range(_factory(name), name)


def _factory(name: str) -> Factory:
    if is_given(name):
        return given_factory(name)  # type: ignore[no-any-return]
    return _imported(name) if ":" in name else _known(name)


def _given(own: Mapping[str, Scalar]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in own.items())


def _embedded() -> dict[str, Factory]:
    found: dict[str, Factory] = {}
    for module in pkgutil.iter_modules(workloads.__path__, "models.workloads."):
        found.update(getattr(importlib.import_module(module.name), "WORKLOADS", {}))
    return found


def _known(name: str) -> Factory:
    known = _embedded()
    if name not in known:
        hint = f": name its factory too, {name}:make for one" if name.endswith(".py") else ""
        raise ValueError(
            f"workload must be one of {sorted(known)} or {FORMS}, but got {name!r}{hint}"
        )
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
    with process_kept(name):
        return _loaded(module_name, name, here, folder)


def _loaded(module_name: str, name: str, here: str, folder: Path) -> Any:
    try:
        with by_path.importing(name):
            if by_path.is_path(name):
                return by_path.module_at(by_path.divided(name)[0])
            return importlib.import_module(module_name)
    except by_path.NoFileError as error:
        raise ValueError(f"workload {name!r} must be importable, but {error}") from error
    except (Exception, SystemExit) as error:  # a script without a main guard may leave the process
        raise ValueError(
            f"workload {name!r} must be importable, but importing {module_name!r} from {here} "
            f"raised {told(error)}{_clash(error, folder)}{_package(error, name)}"
        ) from error


def _clash(error: BaseException, folder: Path) -> str:
    return beside.clash(getattr(error, "name", None) or "", folder)


def _package(error: BaseException, name: str) -> str:
    """What to do about a file that is a part of a package, by which it has to be named."""
    if not isinstance(error, ImportError) or "relative import" not in str(error):
        return ""
    file, factory = by_path.divided(name)
    inside = [file.absolute().parent, *file.absolute().parents[1:]]
    packages = list(itertools.takewhile(lambda folder: (folder / "__init__.py").exists(), inside))
    if not packages:
        return ""
    dotted = ".".join([*(folder.name for folder in reversed(packages)), file.stem])
    return f": name it {dotted}:{factory}, from {packages[-1].parent}"


def _build(name: str, factory: Factory, corpus: Path | None, own: Mapping[str, Scalar]) -> Workload:
    arguments = {} if corpus is None else {CORPUS_ARGUMENT: corpus}
    if arguments and not _takes_corpus(factory):
        raise ValueError(
            f"a corpus can be given only to a workload that takes one, but {name!r} takes none and "
            "got "
            f"{str(corpus)!r}; leave the corpus out, or give the factory an argument "
            f"{CORPUS_ARGUMENT!r}"
        )
    with process_kept(name):
        try:
            workload = factory(**arguments, **own)
        except (Exception, SystemExit) as error:
            raise ValueError(
                f"workload {name!r} could not be built{f' with {_given(own)}' if own else ''}: "
                f"{_reason(error)}"
            ) from error
    if not isinstance(workload, Workload):
        raise ValueError(f"workload {name!r} must return a Workload, but got a {_kind(workload)}")
    return workload


def _takes_corpus(factory: Factory) -> bool:
    return CORPUS_ARGUMENT in inspect.signature(factory).parameters


def _reason(error: BaseException) -> str:
    """Say why: the message alone where it is meant for a user, else with the kind of error."""
    return str(error) if isinstance(error, ValueError) else f"it raised {told(error)}"


def _kind(value: object) -> str:
    return type(value).__name__
