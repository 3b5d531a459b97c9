"""The report for machines: JSON and CSV. Names and order are stable.

What does not apply is null or empty. What is named a loss is what the search minimises, lower is
better; what is named a metric is what the workload's evaluation returned, in its own sign.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pandas as pd

from tuning.findings.gains import Best
from tuning.findings.rows import FACTS, READ, knobs_of, member, rows_of
from tuning.findings.summary import FrontSummary
from tuning.findings.words import headline, verdict
from tuning.trial.metric import METRIC
from tuning.trial.recipe import KNOB


def as_json(summary: FrontSummary) -> dict[str, Any]:
    """The front, the control and what is read off them at the target, as JSON values."""
    return {
        "metric": dataclasses.asdict(summary.metric),
        "target_loss": summary.target,
        "target_metric": None if summary.target is None else summary.metric.of(summary.target),
        "front": [member(row, summary) for row in rows_of(summary.front)],
        "control": [member(row, summary) for row in rows_of(summary.control)],
        "gain_at_target": summary.gain,
        "gain_over_control_line": summary.line_gain,
        "no_gain_because": summary.no_gain,
        "front_seconds_at_target": summary.front_seconds,
        "control_seconds_at_target": summary.control_seconds,
        "winner": summary.winner,
        "best": _best(summary.bests.recipe),
        "rivals": {kind: _best(best) for kind, best in summary.bests.rivals.items()},
        "counts": {
            "finished": summary.finished,
            "censored": summary.censored,
            "stopped": summary.stopped,
            "failed": summary.failed,
            "replicates": summary.replicates,
            "looked_at": summary.looked,
            "let_run_on": summary.checked,
            "let_run_on_to_front": summary.checked_on_front,
        },
        "verdict": headline(summary),
        "verdict_of_search": verdict(summary),
        "noise": _noise(summary),
        "confirmation": _confirmation(summary),
    }


def _best(best: Best | None) -> dict[str, Any] | None:
    """The trial that gains most of its kind, with its gains by control: {"value", "bound"}. None
    where there is none.
    """
    if best is None:
        return None
    gains = {kind: {"value": g.value, "bound": g.said} for kind, g in best.gains.items()}
    return {"number": best.number, "gains": gains}


def _noise(summary: FrontSummary) -> dict[str, Any] | None:
    """The noise as JSON values; ``limit`` is the largest difference of two losses that may be
    noise.
    """
    noise = summary.background.noise
    if noise is None:
        return None
    return {"deviation": noise.deviation, "seeds": noise.seeds, "limit": noise.limit}


def _confirmation(summary: FrontSummary) -> dict[str, Any] | None:
    """What verdict.json holds; see ``tuning.findings.verdict``."""
    confirmed = summary.background.confirmed
    return None if confirmed is None else confirmed.as_json()


def json_text(summary: FrontSummary) -> str:
    """``as_json`` as text; NaN and infinities cannot occur in it."""
    return json.dumps(as_json(summary), indent=2, allow_nan=False) + "\n"


def csv_text(summary: FrontSummary) -> str:
    """Front and control as CSV: a row for each trial, by seconds, and a column for each fact and
    knob.
    """
    both = pd.concat([summary.front, summary.control]).drop_duplicates("number")
    on_front, is_control = set(summary.front["number"]), set(summary.control["number"])
    knobs = sorted(str(name) for name in both.columns if str(name).startswith(KNOB))
    metrics = [str(name) for name in both.columns if str(name).startswith(METRIC)]
    rows = []
    for row in rows_of(both.sort_values(["train_seconds", "val_loss", "number"])):
        facts = member(row, summary)
        values = knobs_of(row)
        rows.append(
            {name: facts[name] for name in (*FACTS, *READ)}
            | {"on_front": row["number"] in on_front, "is_control": row["number"] in is_control}
            | {name: row[name] for name in metrics}
            | {name: values.get(name.removeprefix(KNOB)) for name in knobs}
        )
    read = ["reached", "gain", "on_front", "is_control", *READ[2:]]
    columns = [*FACTS, *read, *metrics, *knobs]
    return pd.DataFrame(rows, columns=columns, dtype=object).to_csv(
        index=False, lineterminator="\n"
    )
