"""What a worker trains is what the run began with."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.by_path import module_at
from models.identity import functions_of
from models.source.digests import source_digests
from tests.support.stores import INFO, fresh_store
from tuning.errors import SearchFailed
from tuning.training.place import _workload, workload_of

SOURCE = """
from dataclasses import replace
from tests.support import tiny

RATE = 1.0


def loss(model, batch):
    return tiny.loss(model, batch) * 2 * RATE


def make():
    return replace(tiny.tiny(), loss=loss)
"""


@pytest.mark.parametrize(
    ("old", "new", "late", "refused"),
    [
        ("* 2", "* 3", True, True),
        ("* RATE", "* RATE  # as it is", True, False),
        ("RATE = 1.0", "RATE = 2.0", False, False),
    ],
    ids=["an edit", "a comment", "a constant that each process has of its own"],
)
def test_a_worker_that_comes_later_refuses_an_edited_file(
    tmp_path: Path, old: str, new: str, late: bool, refused: bool
) -> None:
    """A file that is older than the run cannot have been edited since."""
    file = tmp_path / "mine.py"
    file.write_text(SOURCE)
    module = module_at(file)
    known = source_digests(functions_of(module.make()))
    _become_another_process(module.__name__)
    now = datetime.now(UTC)
    file.write_text(SOURCE.replace(old, new))
    moment = now.timestamp() + (10 if late else -10)
    os.utime(file, (moment, moment))
    name = f"{file}:make"
    info = replace(INFO, created_at=now, config={"workload": name}, identity={"source": known})
    with fresh_store(info=info) as store:
        if not refused:
            assert workload_of(store).name == "tiny"
            return
        for _ in range(2):
            with pytest.raises(SearchFailed, match=r"but mine\.loss was edited: put that back"):
                workload_of(store)


def _become_another_process(module: str) -> None:
    """Nothing is known of the file."""
    del sys.modules[module]
    _workload.cache_clear()
