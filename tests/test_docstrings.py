"""What docstrings show after ``>>>`` is what comes of it."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

from tests.test_docs import SOURCES, name_of, text_of

RUN = re.compile(r"^ *>>> (?!.*doctest: \+SKIP)", flags=re.MULTILINE)
SHOWING = [path for path in SOURCES if RUN.search(text_of(path)) and "tests" not in path.parts]


@pytest.mark.parametrize("path", SHOWING, ids=name_of)
def test_examples_are_true(path: Path) -> None:
    """Of every module that has some; what needs a run of the reader's is shown and skipped."""
    name = name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
