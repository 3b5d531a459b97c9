"""Who may import what: heavy libraries have one home each, and decisions import none of them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("models", "policies", "search_spaces", "tuning")
HOMES = {
    "torch": r"models/.*|policies/(apply|freezing|guard|moments|reading|resting|tracing)\.py"
    r"|tuning/(train|calibrate|calibrate_bench|calibrate_forms|checkpoint|worker|worker_place|trunk)\.py",
    "ray": r"tuning/driver_ray\w*\.py",
    "optuna": r"tuning/sampler\w*\.py",
    "pyarrow": r"tuning/store\w*\.py",
}
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LAYERS = {"models": {"policies"}, "policies": set(), "search_spaces": {"models", "policies"}}
"""Packages below ``tuning``, and which of the project's packages each may import besides itself."""


def imported(path: Path) -> Iterator[str]:
    """The first name of every import in a file, wherever in the file it stands, those for type checkers aside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unseen: list[ast.AST] = [tree]
    while unseen:
        node = unseen.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]
        unseen.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_imports_have_one_home(path: Path) -> None:
    """Reads the file's imports: torch, ray, optuna and pyarrow only where they are at home."""
    where = path.relative_to(ROOT).as_posix()
    strangers = {name for name in imported(path) if name in HOMES and not re.fullmatch(HOMES[name], where)}
    assert not strangers, f"{where} imports {strangers}; their homes are {HOMES}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_packages_import_downwards(path: Path) -> None:
    """Reads the file's imports: models, policies and spaces know nothing of the search."""
    package = path.relative_to(ROOT).parts[0]
    if package in LAYERS:
        others = set(imported(path)) & set(PACKAGES) - {package}
        assert others <= LAYERS[package], f"{path.name} of {package} imports {others}"


@pytest.mark.parametrize(
    "module",
    ["policies.registry", "tuning.pareto_front", "tuning.outcome", "tuning.study", "tuning.arguments"],
)
def test_decisions_load_no_heavy_library(module: str) -> None:
    """Imports the module in a new interpreter and looks at what was loaded with it."""
    heavy = "{'torch', 'ray', 'optuna'} & set(sys.modules)"
    code = f"import sys, {module}; print(sorted({heavy}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
