"""Docstrings of Python's library, and which part of it each is from: text that every machine has.

Read from the sources, without importing them, and sorted, so that the examples depend on the
library's version alone.
"""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

PARTS = (
    "tkinter",
    "asyncio",
    "importlib",
    "email",
    "logging",
    "_pydecimal",
    "xml",
    "multiprocessing",
    "turtle",
    "unittest",
)
"""Each with more than 150 docstrings in Python 3.11."""
SHORTEST = 25
"""Characters below which a docstring tells nothing."""
MOST = 300
"""Docstrings of one part."""
LEFT_OUT = {"test", "tests", "site-packages"}


def docstrings() -> list[tuple[str, int]]:
    """Text and number of the part of ``PARTS``, each text once, whichever part has it first."""
    parts: dict[str, int] = {}
    for number, name in enumerate(PARTS):
        texts = sorted({text for path in _sources(name) for text in _of(path)} - parts.keys())
        step = max(1, len(texts) // MOST)
        parts |= dict.fromkeys(texts[::step][:MOST], number)
    return list(parts.items())


def _sources(name: str) -> list[Path]:
    library = Path(sysconfig.get_paths()["stdlib"])
    below = sorted((library / name).rglob("*.py"))
    return [
        path
        for path in (library / f"{name}.py", *below)
        if path.is_file() and not LEFT_OUT & set(path.relative_to(library).parts)
    ]


def _of(path: Path) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            text = " ".join((ast.get_docstring(node) or "").split())
            if len(text) >= SHORTEST:
                yield text
