"""The report as the content of files."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.support.frames import frame_of, search_frame, search_records
from tests.support.runs import write_run
from tuning.findings.summary import summary
from tuning.report.render import FORMATS, render
from tuning.store.store import Store


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


@pytest.mark.parametrize("kind", FORMATS)
def test_a_report_of_nothing_is_a_report(kind: str) -> None:
    """A run without trials."""
    nothing = search_frame().iloc[:0]
    assert render(kind, summary(nothing), nothing)
