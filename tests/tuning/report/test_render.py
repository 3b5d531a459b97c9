"""The report as files of the run directory."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from tests.support.frames import frame_of, search_frame, search_records
from tests.support.runs import write_run
from tuning.findings.summary import summary
from tuning.report.render import FORMATS, render, write, write_report
from tuning.store.store import Store


def test_page_and_picture_are_written_into_the_run(tmp_path: Path) -> None:
    """From what the store gives, as a search does at its end; a second time replaces them."""
    store = Store.open(write_run(tmp_path / "run", search_records(24)))
    for _ in range(2):
        reading = write_report(store.path, store.frame(), dataclasses.asdict(store.info))
    assert reading.finished
    assert b"</html>" in (store.path / "report.html").read_bytes()
    assert (store.path / "front.png").read_bytes().startswith(b"\x89PNG")
    assert not [path for path in store.path.iterdir() if path.name.endswith(".tmp")]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same trials as the store reads them, and as they were before it wrote them."""
    records = search_records(24)
    return Store.open(
        write_run(tmp_path_factory.mktemp("runs") / "run", records)
    ).frame(), frame_of(records)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_of_memory_and_disk_agrees(
    tables: tuple[pd.DataFrame, pd.DataFrame], kind: str
) -> None:
    """The table that the store reads gives the same bytes as the records it was written from."""
    stored, built = tables
    assert render(kind, summary(stored), stored) == render(kind, summary(built), built)


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    """The rename is the commit: a directory in the way is refused and no temporary file stays."""
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):  # noqa: PT011 - whatever the system calls it
        write(tmp_path / "taken", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_report_of_nothing_is_a_report(tmp_path: Path) -> None:
    """A run without trials."""
    assert write_report(tmp_path, search_frame().iloc[:0]).finished == 0
