"""Who may import what: floors, no circle, and one home for every heavy library."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("models", "policies", "search_spaces", "tuning")
SHARED = frozenset(
    {
        "tuning.commands",
        "tuning.errors",
        "tuning.layout",
        "tuning.loading",
        "tuning.terminal",
        "tuning.version",
    }
)
"""Everybody may import these; they import nothing."""
FLOORS: dict[str, frozenset[str]] = {
    name: frozenset(below.split())
    for name, below in {
        "policies": "policies.applying",
        "policies.applying": "policies",
        "models": "policies models.source",
        "models.source": "models",
        "models.levers": "policies models models.approximation models.compute",
        "models.compute": "policies models models.levers",
        "models.approximation": "policies models",
        "models.application": "policies policies.applying models models.levers "
        "models.approximation models.compute",
        "models.workloads": "policies models",
        "models.adapters": "models models.application",
        "search_spaces": "policies models.levers",
        "tuning.trial": "policies models.levers",
        "tuning.elsewhere": "tuning.trial search_spaces",
        "tuning.config": "policies models models.levers models.workloads search_spaces "
        "tuning.elsewhere",
        "tuning.drivers": "tuning.trial",
        "tuning.store": "tuning.trial",
        "tuning.findings": "tuning.store tuning.trial policies models.levers",
        "tuning.training.state": "tuning.training models models.source",
        "tuning.training.calibration": "tuning.training tuning.trial models models.levers "
        "models.application policies",
        "tuning.training.examination": "tuning.training tuning.training.state "
        "tuning.training.calibration tuning.trial models models.source models.levers "
        "models.application policies policies.applying",
        "tuning.training": "tuning.training.state tuning.training.examination "
        "tuning.training.calibration tuning.store tuning.trial models models.source "
        "models.levers models.application policies",
        "tuning.callbacks": "tuning.training tuning.training.state tuning.trial models "
        "models.adapters models.application models.levers policies",
        "tuning.report.picture": "tuning.report tuning.findings tuning.trial",
        "tuning.report": "tuning.report.picture tuning.findings tuning.trial search_spaces "
        "models.levers",
        "tuning.study.samplers": "tuning.trial search_spaces",
        "tuning.study": "tuning.study.samplers tuning.findings tuning.store tuning.config "
        "tuning.trial search_spaces policies models.levers",
        "tuning.session": "tuning.study tuning.report tuning.training "
        "tuning.training.examination tuning.training.calibration tuning.findings "
        "tuning.store tuning.drivers tuning.config tuning.trial tuning.study.samplers models "
        "tuning.elsewhere "
        "models.levers models.application policies search_spaces",
    }.items()
}
"""Folder -> the folders that its files may import besides their own.

The doors, files of ``tuning`` itself, may all.
"""
HEAVY = {
    "torch": r"models/.*|policies/(apply|applying/\w+)\.py"
    r"|tuning/(training|callbacks)/.*",
    "ray": r"tuning/drivers/.*",
    "optuna": r"tuning/study/samplers/.*|tuning/elsewhere/optuna\.py",
    "pyarrow": r"tuning/store/.*",
    "rich": r"tuning/report/.*|tuning/(search|pareto|confirm|compare|apart)\.py",
    "matplotlib": r"tuning/report/.*",
    "jinja2": r"tuning/report/.*",
    "transformers": r"tuning/callbacks/trainer\.py",
    "lightning": r"tuning/callbacks/lightning\.py",
    "accelerate": r"tuning/callbacks/accelerate\.py",
}
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MOST_FILES = 22


@dataclass(frozen=True)
class Import:
    """One import statement: the module named, and whether it stands inside a function."""

    module: str
    lazy: bool
    for_types: bool


STATEMENTS = (ast.stmt, ast.excepthandler, ast.match_case)
"""What an import can stand in."""


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """Every import of a file, those of a submodule (``from package import module``) by their full
    name.
    """

    def walk(node: ast.AST, lazy: bool, for_types: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, lazy, for_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield Import(whole if module_file(whole) else node.module, lazy, for_types)
        inside = lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        typed = for_types or (
            isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        )
        for child in ast.iter_child_nodes(node):
            if isinstance(child, STATEMENTS):
                yield from walk(child, inside, typed)

    return tuple(walk(ast.parse(path.read_text(encoding="utf-8")), False, False))


@cache
def module_file(module: str) -> Path | None:
    """The file of one of the project's modules, or None."""
    path = ROOT / (module.replace(".", "/") + ".py")
    return path if path.is_file() else None


def name_of(path: Path) -> str:
    """The module that a file is."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def folder_of(module: str) -> str:
    """The folder in which a module lies, or the package itself."""
    return module.rpartition(".")[0] if module_file(module) else module


def is_door(module: str) -> bool:
    """Whether a module is one of those a user calls."""
    return module == "tuning" or (folder_of(module) == "tuning" and module not in SHARED)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_imports_have_one_home(path: Path) -> None:
    """Reads the file's imports, wherever they stand: a heavy library only where it is at home."""
    where = path.relative_to(ROOT).as_posix()
    named = {found.module.split(".")[0] for found in imports(path) if not found.for_types}
    strangers = {name for name in named & HEAVY.keys() if not re.fullmatch(HEAVY[name], where)}
    assert not strangers, f"{where} imports {strangers}; their homes are {HEAVY}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_down(path: Path) -> None:
    """Reads the file's imports, those for types included.

    Each is from its own folder or from one that lies below.
    """
    module = name_of(path).removesuffix(".__init__")
    if is_door(module):
        return
    folder = folder_of(module)
    ours = {
        found.module for found in imports(path) if found.module.split(".")[0] in PACKAGES
    } - SHARED
    upward = {
        other
        for other in ours
        if folder_of(other) not in FLOORS.get(folder, frozenset()) | {folder}
    }
    assert not upward, (
        f"{module} imports {sorted(upward)}, but {folder} may import {sorted(FLOORS[folder])}"
    )


def test_no_circle() -> None:
    """Follows every import, lazy ones too: no file imports itself by way of others."""
    edges = {
        name_of(path): {
            found.module
            for found in imports(path)
            if not found.for_types and module_file(found.module)
        }
        for path in MODULES
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module not in done:
            for other in edges[module]:
                visit(other, (*trail, module))
            done.add(module)

    for module in edges:
        visit(module, ())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_in_functions_are_for_heavy_libraries(path: Path) -> None:
    """Reads the imports that stand in functions.

    Each is of a library, or of a file that loads a heavy one.
    """
    ours = {
        found.module
        for found in imports(path)
        if found.lazy and found.module.split(".")[0] in PACKAGES
    }
    if is_door(name_of(path).removesuffix(".__init__")):
        return
    light = {module for module in ours if module_file(module) and not loads_heavy(module)}
    assert not light, (
        f"{path.name} imports {sorted(light)} in a function, though they load nothing heavy"
    )


def loads_heavy(module: str, seen: frozenset[str] = frozenset()) -> bool:
    """Whether importing one of the project's modules loads a heavy library or pandas with it."""
    path = module_file(module)
    if path is None or module in seen:
        return False
    here = [found.module for found in imports(path) if not found.lazy and not found.for_types]
    if any(name.split(".")[0] in {*HEAVY, "pandas", "numpy", "scipy", "psutil"} for name in here):
        return True
    return any(loads_heavy(other, seen | {module}) for other in here)


@pytest.mark.parametrize("package", [*PACKAGES, "benchmarks"])
def test_folders_are_small_and_say_what_they_are(package: str) -> None:
    """Counts the files of each folder and reads its charter."""
    for folder in {path.parent for path in (ROOT / package).rglob("*.py")}:
        assert len(list(folder.glob("*.py"))) <= MOST_FILES, (
            f"{folder.relative_to(ROOT)} has too many files"
        )
        charter = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        assert charter, f"{folder.relative_to(ROOT)} has no charter"


@pytest.mark.parametrize(
    "module",
    [
        "policies.registry",
        "tuning.findings.front",
        "tuning.trial.record",
        "tuning.study.study",
        "tuning.config.arguments",
    ],
)
def test_decisions_load_no_heavy_library(module: str) -> None:
    """Imports the module in a new interpreter and looks at what was loaded with it."""
    heavy = "{'torch', 'ray', 'optuna'} & set(sys.modules)"
    code = f"import sys, {module}; print(sorted({heavy}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["examine", "anatomy", "new_process", "loading"])
def test_an_examination_loads_torch_alone(module: str) -> None:
    """Follows the imports of its files, lazy ones too: loading libraries is most of its time."""
    found = everything_loaded(f"tuning.training.examination.{module}")
    assert not found & {"ray", "optuna", "pandas", "pyarrow", "rich", "matplotlib"}


def everything_loaded(module: str, seen: set[str] | None = None) -> set[str]:
    """The libraries that importing one of the project's modules loads now or when it is used."""
    seen = set() if seen is None else seen
    path = module_file(module)
    if path is None:
        return {module.split(".")[0]}
    if module in seen:
        return set()
    seen.add(module)
    below = [everything_loaded(each.module, seen) for each in imports(path) if not each.for_types]
    return set().union(*below)
