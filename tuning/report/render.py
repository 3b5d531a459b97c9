"""The report of a run as files: the page, the picture, and the same for machines."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tuning.findings.context import Background
from tuning.findings.summary import FrontSummary, summary

FORMATS = ("html", "png", "csv", "json")
PAGE, PICTURE = "report.html", "front.png"


def render(
    kind: str, reading: FrontSummary, frame: pd.DataFrame, run_info: Mapping[str, Any] | None = None
) -> bytes:
    """The report in one of ``FORMATS``. What draws it is imported only when it is asked for."""
    return _RENDERERS[kind](reading, frame, run_info)


def write_report(
    run: Path,
    frame: pd.DataFrame,
    run_info: Mapping[str, Any] | None = None,
    background: Background | None = None,
) -> FrontSummary:
    """Write the page and the picture into the run directory; returns the reading they show.

    ``run_info`` holds what run.json does: its fields stand on the page, and the calibration as a
    table; ``background`` what the trials are read against.

    Raises:
        OSError: the directory cannot be written.
    """
    reading = summary(frame, background=background)
    write(run / PAGE, render("html", reading, frame, run_info))
    write(run / PICTURE, render("png", reading, frame, run_info))
    return reading


def write(path: Path, content: bytes) -> None:
    """Replace ``path`` at once, so that a reader never sees half a file.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _html(reading: FrontSummary, frame: pd.DataFrame, run_info: Mapping[str, Any] | None) -> bytes:
    from tuning.report.page import page_text

    return page_text(reading, frame, run_info).encode()


def _png(reading: FrontSummary, _frame: pd.DataFrame, _info: Mapping[str, Any] | None) -> bytes:
    from tuning.report.png import png_bytes

    return png_bytes(reading)


def _csv(reading: FrontSummary, _frame: pd.DataFrame, _info: Mapping[str, Any] | None) -> bytes:
    from tuning.report.machine import csv_text

    return csv_text(reading).encode()


def _json(reading: FrontSummary, _frame: pd.DataFrame, _info: Mapping[str, Any] | None) -> bytes:
    from tuning.report.machine import json_text

    return json_text(reading).encode()


_Renderer = Callable[[FrontSummary, pd.DataFrame, Mapping[str, Any] | None], bytes]
_RENDERERS: dict[str, _Renderer] = {"html": _html, "png": _png, "csv": _csv, "json": _json}
