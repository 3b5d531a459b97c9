"""What stands on the page: figures at the top, tables below. Plain values; templates write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tuning.findings import format as form
from tuning.findings.rows import (
    Row,
    changed_knobs,
    further_metrics,
    gain_texts,
    knobs_of,
    member,
    rows_of,
)
from tuning.findings.rungs import looked_at
from tuning.findings.summary import FrontSummary
from tuning.findings.words import (
    NEVER_FROZE,
    noise_note,
    seeds_note,
    stopping_note,
    unfrozen_note,
)
from tuning.report.cells import AnyCell, Cell, Facts, KnobsCell, LongCell, Note, Table
from tuning.report.facts import facts_of
from tuning.trial.metric import METRIC
from tuning.trial.recipe import OWN, SMALLER, TUNED, recipe_of
from tuning.trial.trial import AGAIN

MOST_ROWS = 500
LONG = 60
"""The number of letters of a reason that stand in its row; the rest is behind a click."""
NOT_SHOWN = frozenset(
    {"calibration", "importance", "knob_columns", "schema_version", "timed_again", "timing_seconds"}
)
GAINS = {OWN: "Gain", TUNED: "Gain over tuned", SMALLER: "Gain over smaller"}
"""Headings of the gains, by the control that they are over."""
LEFT = frozenset({"Policy", "Knobs", "State", "Reason", "Then"})
"""Headings of columns that are set to the left."""


def front_table(summary: FrontSummary) -> Table:
    """Members of the front with their knobs; knobs that are not at their defaults are set apart."""
    rows = [_trial_cells(row, summary) for row in rows_of(summary.front)]
    notes = (noise_note, seeds_note, unfrozen_note, stopping_note)
    told = [Note(note) for write in notes if (note := write(summary))]
    return _table("Front, by seconds", _headings(summary), rows, notes=told, kind="trials")


def other_tables(summary: FrontSummary, frame: pd.DataFrame) -> list[Table]:
    """The control, the other finished trials, and those that did not finish with the reasons;
    without those that would be empty.
    """
    groups = (("Control runs", summary.control), ("Other finished trials", summary.others))
    tables = [_folded(title, trials, summary) for title, trials in groups]
    return [t for t in (*tables, _rungs(summary, frame), _unfinished(summary, frame)) if t.rows]


def facts(run_info: Mapping[str, Any] | None) -> Facts:
    """What else is known of the run."""
    known = {name: value for name, value in (run_info or {}).items() if name not in NOT_SHOWN}
    return facts_of({name: value for name, value in known.items() if value not in (None, "", {})})


def _trial_cells(row: Row, summary: FrontSummary) -> list[AnyCell]:
    told = member(row, summary)
    number, near = row["number"], told["within_noise"]
    own, *rivals = gain_texts(row, summary)
    return [
        Cell(str(number), trial=number),
        Cell(recipe_of(row).name, tag=NEVER_FROZE if told["never_froze"] else ""),
        f"{row['horizon']:.3g}",
        form.seconds(row["train_seconds"]),
        summary.shown(row["val_loss"]),
        Cell(("≈ " if near else "") + own, quiet=bool(near)),
        *rivals,
        *map(_further, further_metrics(row).values()),
        form.amount(row.get("required_flops")),
        form.amount(row.get("effective_flops_per_second")),
        form.seconds(row.get("pipeline_overhead_seconds")),
        _knob_cell(row),
    ]


def _further(value: float | None) -> str:
    return form.NOTHING if value is None else form.significant(value)


def _knob_cell(row: Row) -> AnyCell:
    """Changed knobs in full; those at their defaults only as a count."""
    changed, every = changed_knobs(row), knobs_of(row)
    if not every:
        return "" if recipe_of(row).is_control else "defaults"
    shown = tuple((name, form.knob(value)) for name, value in changed.items())
    return KnobsCell(shown, len(every) - len(changed))


def _rungs(summary: FrontSummary, frame: pd.DataFrame) -> Table:
    """Recipes that were looked at for a short time, and what became of each."""
    looked = looked_at(frame)
    share, gone_on = summary.background.asked.rung, sum(r.went_on_as is not None for r in looked)
    rows = [
        [*_beginning(rung.row, summary), rung.told(share), _knob_cell(rung.row)]
        for rung in looked[:MOST_ROWS]
    ]
    headings = ("#", "Policy", "Horizon", "Seconds", summary.metric.heading, "Then", "Knobs")
    count = f"{len(looked)}, of which {gone_on} went on"
    return _table("Looked at for a short time", headings, rows, count=count, kind="trials")


def _beginning(row: Row, summary: FrontSummary) -> list[AnyCell]:
    return [
        Cell(str(row["number"]), trial=row["number"]),
        recipe_of(row).name,
        f"{row['horizon']:.3g}",
        form.seconds(row["train_seconds"]),
        summary.shown(row["val_loss"]),
    ]


def _unfinished(summary: FrontSummary, frame: pd.DataFrame) -> Table:
    own = frame[(frame["state"] != "finished") & ~frame["origin"].isin(AGAIN)]
    rows = [
        [
            str(row["number"]),
            recipe_of(row).name,
            str(row["state"]),
            form.seconds(row.get("train_seconds")),
            summary.shown(row.get("val_loss")),
            _reason(str(row.get("error") or "stopped before its horizon")),
        ]
        for row in _some(own)
    ]
    headings = ("#", "Policy", "State", "Seconds", f"At {summary.metric.short}", "Reason")
    return _table("Stopped and failed trials", headings, rows)


def _reason(text: str) -> AnyCell:
    return text if len(text) <= LONG else LongCell(f"{text[:LONG].rstrip()}…", text)


def _some(frame: pd.DataFrame) -> list[Row]:
    return rows_of(frame.head(MOST_ROWS))


def _folded(title: str, trials: pd.DataFrame, summary: FrontSummary) -> Table:
    rows = [_trial_cells(row, summary) for row in _some(trials)]
    shown = f"first {len(rows)}" if len(rows) == MOST_ROWS else str(len(rows))
    return _table(title, _headings(summary), rows, count=shown, kind="trials")


def _headings(summary: FrontSummary) -> tuple[str, ...]:
    what, how = ("#", "Policy", "Horizon", "Seconds"), ("FLOP", "FLOP/s", "Overhead", "Knobs")
    gains = (GAINS[kind] for kind in summary.controls.lines)
    named = (str(column) for column in summary.front.columns)
    further = (name.removeprefix(METRIC) for name in named if name.startswith(METRIC))
    return (*what, summary.metric.heading, *gains, *further, *how)


def _table(
    title: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[AnyCell]],
    *,
    notes: Sequence[Note] = (),
    count: str = "",
    kind: str = "wide",
) -> Table:
    return Table(title, headings, rows, frozenset(headings) - LEFT, notes, count=count, kind=kind)
