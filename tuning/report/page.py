"""The report as one HTML page that needs nothing else: styles, script and data are inside it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

import pandas as pd

from tuning.findings.summary import FrontSummary
from tuning.findings.words import caution, counts, headline
from tuning.report.confirmation import confirmed_section, marks
from tuning.report.points import page_data
from tuning.report.sections import front_section, key_figures, other_sections, run_sections


def page_text(
    summary: FrontSummary, frame: pd.DataFrame, run_info: Mapping[str, Any] | None = None
) -> str:
    """The page. ``run_info`` holds facts of the run, with its cost table under ``calibration``."""
    parts = {
        "TITLE": escape(f"Front of {_workload(frame)}"),
        "STYLE": _resource("page.css"),
        "EYEBROW": escape(f"{_workload(frame)} · {counts(summary)}"),
        "VERDICT": _unbroken(escape(headline(summary))),
        "CAUTION": escape(caution(summary)),
        "FIGURES": key_figures(summary),
        "CONFIRMED": confirmed_section(summary),
        "MARKS": marks(summary),
        "FRONT": front_section(summary),
        "TABLES": other_sections(summary, frame),
        "RUN": run_sections(summary, run_info),
        "DATA": script_json(page_data(summary, frame)),
        "SCRIPT": _resource("page.js"),
    }
    return _filled(_resource("page.html"), parts)


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element.

    No ``<``, ``>`` or ``&`` survives to end or open a tag.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _unbroken(text: str) -> str:
    """The text with its seconds kept on the line of their number."""
    return re.sub(r"(\d) s\b", r"\1&nbsp;s", text)


def _filled(template: str, parts: Mapping[str, str]) -> str:
    """The template with each ``<!--NAME-->`` replaced. In one pass.

    A part may contain such a mark itself.
    """
    pieces = template.split("<!--")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        name, _, rest = piece.partition("-->")
        filled.append(parts[name] + rest)
    return "".join(filled)


def _resource(name: str) -> str:
    return files("tuning.report").joinpath(name).read_text(encoding="utf-8")


def _workload(frame: pd.DataFrame) -> str:
    return str(frame["workload"].iloc[0]) if len(frame) else "an empty run"
