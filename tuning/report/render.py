"""The report of a run as the content of files: page, picture, and the same for machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from tuning.findings.summary import FrontSummary

FORMATS = ("html", "png", "csv", "json")


def render(
    kind: str, reading: FrontSummary, frame: pd.DataFrame, run_info: Mapping[str, Any] | None = None
) -> bytes:
    """The report in one of ``FORMATS``. What draws it is imported only when it is asked for."""
    return _RENDERERS[kind](reading, frame, run_info)


def _html(reading: FrontSummary, frame: pd.DataFrame, run_info: Mapping[str, Any] | None) -> bytes:
    from tuning.report.page import page_text

    return page_text(reading, frame, run_info).encode()


def _png(reading: FrontSummary, _frame: pd.DataFrame, _info: Mapping[str, Any] | None) -> bytes:
    from tuning.report.picture.png import png_bytes

    return png_bytes(reading)


def _csv(reading: FrontSummary, _frame: pd.DataFrame, _info: Mapping[str, Any] | None) -> bytes:
    from tuning.report.machine import csv_text

    return csv_text(reading).encode()


def _json(reading: FrontSummary, _frame: pd.DataFrame, _info: Mapping[str, Any] | None) -> bytes:
    from tuning.report.machine import json_text

    return json_text(reading).encode()


_Renderer = Callable[[FrontSummary, pd.DataFrame, Mapping[str, Any] | None], bytes]
_RENDERERS: dict[str, _Renderer] = {"html": _html, "png": _png, "csv": _csv, "json": _json}
