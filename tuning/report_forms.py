"""The forms that levers gave the model, as a table of the page: what a step in each costs beside the workload's own."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from tuning import report_format as form
from tuning.report_grid import table

HEADINGS = ("Form", "Full step", "Of a plain one", "FLOP of a plain one", "Entering it")


def forms_section(costs: Mapping[str, Any]) -> str:
    """One row a form; empty where a run met none. ``costs`` is a cost table as JSON, depths as text or numbers."""
    forms = costs.get("forms") or {}
    plain = _full(costs)
    cells = [
        [
            escape(name),
            escape(form.seconds(step)),
            f"{step / plain[0]:.3f}",
            f"{flops / plain[1]:.3f}" if plain[1] else form.NOTHING,
            escape(form.seconds(own.get("entry_seconds"))),
        ]
        for name, own in forms.items()
        for step, flops in [_full(own)]
    ]
    note = (
        '<p class="note">Each was timed alone on the device when a trial first needed it, beside the workload’s own; '
        "entering is fitting matrices or compiling, and the way back.</p>"
    )
    figures = frozenset(HEADINGS) - {"Form"}
    return table("Forms of the model", HEADINGS, cells, figures=figures, after=note, kind="narrow") if cells else ""


def _full(costs: Mapping[str, Any]) -> tuple[float, float]:
    """(seconds, operations) of a full step."""
    full = int(costs["num_blocks"])
    return tuple(  # type: ignore[return-value]
        next((float(value) for depth, value in costs[name].items() if int(depth) == full), 0.0)
        for name in ("step_seconds", "step_flops")
    )
