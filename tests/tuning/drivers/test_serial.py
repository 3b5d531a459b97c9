"""What only the serial driver does: everything in this process."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.support.source import ENTRY, ListSource, notes
from tuning.drivers.driver import EXECUTE, function_at
from tuning.drivers.serial import SerialDriver
from tuning.trial.task import said


def test_tasks_run_here_one_by_one(tmp_path: Path) -> None:
    """Notes come from this process, in the order asked, never two in flight, and no thread is
    left.
    """
    source = ListSource(["ok-1", "ok-2", "ok-3"])
    before = threading.active_count()
    with SerialDriver(tmp_path, entry=ENTRY) as driver:
        driver.drive(source)
    assert [(note["task"], note["pid"]) for note in notes(tmp_path)] == [
        (t, os.getpid()) for t in source.told("ended")
    ]
    assert source.told("ended") == ["ok-1", "ok-2", "ok-3"]
    assert source.most_in_flight == 1
    assert threading.active_count() == before


@pytest.mark.parametrize(
    "name",
    ["no.such.module:execute", "tuning.drivers.driver:no_such_function", "tuning.drivers.driver"],
)
def test_a_function_that_is_not_there(name: str) -> None:
    """Its import fails as an import of Python's does."""
    with pytest.raises((ImportError, AttributeError)):
        function_at(name)


def test_the_default_entry_names_a_function() -> None:
    """The worker's function is where drivers look for it."""
    assert callable(function_at(EXECUTE))


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("why"), "ValueError: why"),
        (KeyError(), "KeyError"),
        (SystemExit(5), "SystemExit: 5"),
    ],
)
def test_said(error: BaseException, line: str) -> None:
    """An exception in one line, with nothing dangling if it has no message."""
    assert said(error) == line
