"""The report as one HTML page that needs nothing else: styles, script and data are inside it.

Jinja2 escapes whatever it is given, so that no text of a run is ever read as HTML. Only the
page's own style sheet and script are taken as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from tuning.findings.next_step import next_step
from tuning.findings.summary import FrontSummary
from tuning.findings.words import caution, counts, headline
from tuning.report.apart import apart_table
from tuning.report.cells import Table
from tuning.report.clock_tables import clock_tables
from tuning.report.confirmation import confirmed_table, marks
from tuning.report.importance import importance_tables
from tuning.report.parallel import parallel
from tuning.report.points import page_data
from tuning.report.sections import facts, front_table, other_tables
from tuning.report.tiles import key_figures

SCRIPTS = ("base", "front", "trial", "lines", "start")
"""The parts of the page's script, in this order: each uses those before it."""


def page_text(
    summary: FrontSummary, frame: pd.DataFrame, run_info: Mapping[str, Any] | None = None
) -> str:
    """The page as HTML. ``run_info`` holds facts about the run, with its cost table under
    ``calibration``.
    """
    return (
        _environment()
        .get_template("page.html")
        .render(
            workload=_workload(frame),
            counts=counts(summary),
            headline=_unbroken(headline(summary)),
            caution=caution(summary),
            next=next_step(summary),
            figures=key_figures(summary),
            confirmed=confirmed_table(summary),
            apart=apart_table(summary),
            marks=marks(summary),
            metric=summary.metric,
            importance=importance_tables(run_info),
            found=_tables(summary, frame, run_info),
            run=facts(run_info),
            data={**page_data(summary, frame), "lines": parallel(summary, run_info)},
            style=_resource("page.css"),
            script="\n".join(_resource(f"{name}.js") for name in SCRIPTS),
        )
    )


def _tables(
    summary: FrontSummary, frame: pd.DataFrame, run_info: Mapping[str, Any] | None
) -> list[Table]:
    return [
        front_table(summary),
        *other_tables(summary, frame),
        *clock_tables(summary, run_info),
    ]


@cache
def _environment() -> Environment:
    """The templates' environment: every expression is escaped, and an unknown name is an error."""
    made = Environment(
        loader=PackageLoader("tuning.report"),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    made.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return made


def _unbroken(text: str) -> str:
    """The text with each unit of seconds kept on the line of its number."""
    return re.sub(r"(\d) s\b", "\\1\N{NO-BREAK SPACE}s", text)


def _resource(name: str) -> str:
    return files("tuning.report").joinpath("assets", name).read_text(encoding="utf-8")


def _workload(frame: pd.DataFrame) -> str:
    return str(frame["workload"].iloc[0]) if len(frame) else "an empty run"
