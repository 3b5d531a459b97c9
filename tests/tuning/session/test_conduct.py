"""What a session leaves in the run directory beside its records."""

from __future__ import annotations

from pathlib import Path

from tests.support.frames import search_records
from tests.support.runs import write_run
from tuning.layout import PAGE, PICTURE
from tuning.session.conduct import write_report
from tuning.store.store import Store


def test_page_and_picture_are_written_into_the_run(tmp_path: Path) -> None:
    """From what the store gives, as a search does at its end; a second time replaces them."""
    store = Store.open(write_run(tmp_path / "run", search_records(24)))
    for _ in range(2):
        write_report(store)
    assert b"</html>" in (store.path / PAGE).read_bytes()
    assert (store.path / PICTURE).read_bytes().startswith(b"\x89PNG")
    assert not [path for path in store.path.iterdir() if path.name.endswith(".tmp")]


def test_a_run_without_trials_has_neither(tmp_path: Path) -> None:
    """There is nothing to show."""
    store = Store.open(write_run(tmp_path / "run", []))
    write_report(store)
    assert not (store.path / PAGE).exists()
