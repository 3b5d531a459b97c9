"""What a run changed and no snapshot holds: RUN/trunk/seed-3/unsaved.json, names in a list.

A worker finds it out while it trains; the search hears of it when the run is over.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tuning.store.files import FILES, Files

NAME = "unsaved.json"


def note_unsaved(folder: Path, names: Sequence[str], files: Files = FILES) -> None:
    """Write the names into the folder of a reference run; nothing where there are none."""
    if names:
        files.write_atomic(folder / NAME, json.dumps(list(names)).encode())


def noted_unsaved(folder: Path) -> list[str]:
    """The names that were written; empty where everything could be saved."""
    try:
        return list(json.loads((folder / NAME).read_bytes()))
    except (FileNotFoundError, ValueError):
        return []
