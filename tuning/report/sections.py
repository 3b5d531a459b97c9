"""The page's text: figures at the top, tables below.

Every string that comes from a run is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd

from tuning.findings import format as form
from tuning.findings.rows import Row, changed_knobs, knobs_of, member, rows_of
from tuning.findings.summary import FrontSummary
from tuning.findings.words import NEVER_FROZE, noise_note, stopping_note, unfrozen_note
from tuning.report.confirmation import BOUNDS, clock_check
from tuning.report.grid import folded, grid, table
from tuning.trial.recipe import recipe_of
from tuning.trial.trial import AGAIN

MOST_ROWS = 500
IN_THE_TABLE = frozenset(
    {"step_seconds", "step_flops", "step_parts", "spread", "disturbances", "forms", "entry_seconds"}
)
NOT_SHOWN = frozenset({"knob_columns", "schema_version"})
TRIAL_HEADINGS = (
    "#",
    "Policy",
    "Horizon",
    "Seconds",
    "Loss",
    "Gain",
    "FLOP",
    "FLOP/s",
    "Overhead",
    "Knobs",
)
LOSS_AT, GAIN_AT = (
    TRIAL_HEADINGS.index(name) - TRIAL_HEADINGS.index("Horizon") for name in ("Loss", "Gain")
)
FIGURES = frozenset(TRIAL_HEADINGS) - {"Policy", "Knobs", "State", "Reason"} | {"At loss"}


def key_figures(summary: FrontSummary) -> str:
    """Gain, the two times it is made of, and the target."""
    noise = summary.background.noise
    figures = [
        *_confirmed_gain(summary),
        (
            "Gain at target" if summary.background.confirmed is None else "Gain on one seed",
            form.gain(summary.gain) + ("×" if summary.gain is not None else ""),
        ),
        ("Front", form.seconds(summary.front_seconds)),
        ("Training for less", form.seconds(summary.control_seconds)),
        ("Target loss", form.loss(summary.target)),
        *([] if noise is None else [("Noise of a loss", f"± {noise.deviation:.2g}")]),
    ]
    return "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in figures
    )


def _confirmed_gain(summary: FrontSummary) -> list[tuple[str, str]]:
    """The winner's gain, or the best of those that did not win."""
    confirmed = summary.background.confirmed
    gains = [] if confirmed is None else [c for c in confirmed.candidates if c.gain is not None]
    if confirmed is None or not gains:
        return []
    best = max(gains, key=lambda c: (c.number == confirmed.winner, c.gain or 0.0))
    return [("Confirmed gain", f"{BOUNDS[best.bound]}{form.gain(best.gain)}×")]


def front_section(summary: FrontSummary) -> str:
    """Members of the front with their knobs; those off their default are set apart."""
    rows = [_trial_cells(row, summary) for row in rows_of(summary.front)]
    notes = filter(None, (noise_note(summary), unfrozen_note(summary), stopping_note(summary)))
    after = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    return table("Front, by seconds", TRIAL_HEADINGS, rows, figures=FIGURES, after=after)


def other_sections(summary: FrontSummary, frame: pd.DataFrame) -> str:
    """The control, the other finished trials, and those that did not finish with the reasons."""
    groups = (("Control runs", summary.control), ("Other finished trials", summary.others))
    parts = [
        _folded(title, [_trial_cells(r, summary) for r in _some(trials)])
        for title, trials in groups
    ]
    parts.append(_unfinished(frame))
    return "".join(parts)


def run_sections(summary: FrontSummary, run_info: Mapping[str, Any] | None) -> str:
    """Calibration with its check, and the other facts of the run, as far as they are known."""
    facts = {name: value for name, value in (run_info or {}).items() if name not in NOT_SHOWN}
    calibration = facts.pop("calibration", None)
    facts = {name: value for name, value in facts.items() if value not in (None, "", {})}
    parts = []
    if isinstance(calibration, Mapping):
        parts += [_calibration(calibration, clock_check(summary)), forms_section(calibration)]
    if facts:
        parts.append(f"<section><h2>Run</h2>{_facts(facts)}</section>")
    return "".join(parts)


def _trial_cells(row: Row, summary: FrontSummary) -> list[str]:
    facts = member(row, summary)
    texts = (
        f"{row['horizon']:.3g}",
        form.seconds(row["train_seconds"]),
        form.loss(row["val_loss"]),
        ("≈ " if facts["within_noise"] else "") + form.gain(facts["gain"]),
        form.amount(row.get("required_flops")),
        form.amount(row.get("effective_flops_per_second")),
        form.seconds(row.get("pipeline_overhead_seconds")),
    )
    number = (
        f'<button type="button" class="pick" data-trial="{row["number"]}">{row["number"]}</button>'
    )
    tag = f' <i class="tag">{NEVER_FROZE}</i>' if facts["never_froze"] else ""
    cells = [escape(text) for text in texts]
    if facts["within_noise"]:
        cells[GAIN_AT] = f'<span class="noise">{cells[GAIN_AT]}</span>'
    if facts["replicates"]:
        cells[LOSS_AT] += (
            f'<br><i class="tag">mean {escape(form.over_seeds(facts["val_loss_over_seeds"]))}</i>'
        )
    return [number, escape(recipe_of(row).name) + tag, *cells, _knob_cell(row)]


def _knob_cell(row: Row) -> str:
    """Changed knobs in full; those at their defaults only as a count."""
    changed, every = changed_knobs(row), knobs_of(row)
    if not every:
        return "" if recipe_of(row).is_control else "defaults"
    items = [f"<b>{escape(n)}</b>&nbsp;{escape(form.knob(v))}" for n, v in changed.items()]
    rest = len(every) - len(changed)
    if rest:
        items.append(f"<i>{rest} at default</i>")
    return '<span class="knobs">' + " ".join(f"<span>{item}</span>" for item in items) + "</span>"


def _unfinished(frame: pd.DataFrame) -> str:
    own = frame[(frame["state"] != "finished") & ~frame["origin"].isin(AGAIN)]
    cells = [
        [
            escape(str(row["number"])),
            escape(recipe_of(row).name),
            escape(str(row["state"])),
            escape(form.seconds(row.get("train_seconds"))),
            escape(form.loss(row.get("val_loss"))),
            escape(str(row.get("error") or "stopped before its horizon")),
        ]
        for row in _some(own)
    ]
    headings = ("#", "Policy", "State", "Seconds", "At loss", "Reason")
    return table("Stopped and failed trials", headings, cells, figures=FIGURES) if cells else ""


def _calibration(costs: Mapping[str, Any], check: str) -> str:
    """Cost of a step at each depth, with its spread, the costs that do not depend on depth, and
    their ``check``.
    """
    steps, flops = _by_depth(costs.get("step_seconds")), _by_depth(costs.get("step_flops"))
    spread = costs.get("spread") if isinstance(costs.get("spread"), Mapping) else {}
    parts = {part: _by_depth(seconds) for part, seconds in (costs.get("step_parts") or {}).items()}
    full = steps[max(steps)] if steps else None
    cells = [
        [
            str(depth),
            escape(form.seconds(cost)),
            f"{cost / full:.3f}" if full else form.NOTHING,
            escape(form.amount(flops.get(depth))),
            _percent((spread or {}).get(f"step_{depth}")),
            *(escape(form.seconds(seconds.get(depth))) for seconds in parts.values()),
        ]
        for depth, cost in sorted(steps.items())
    ]
    headings = (
        "Active blocks",
        "Step",
        "Share of a full step",
        "FLOP",
        "Spread",
        *map(str.capitalize, parts),
    )
    rest = {name: value for name, value in costs.items() if name not in IN_THE_TABLE}
    after = "".join(
        f'<p class="note">{text}</p>' for text in _calibration_notes(costs, check)
    ) + _facts(rest)
    return table(
        "Calibration", headings, cells, after=after, figures=frozenset(headings), kind="narrow"
    )


def _calibration_notes(costs: Mapping[str, Any], check: str) -> list[str]:
    """How it was measured, whether it was disturbed, how it was checked; HTML."""
    signs = costs.get("disturbances")
    company = (
        f"<strong>It was not alone:</strong> {escape('; '.join(signs))}."
        if signs
        else "Nothing was noticed that disturbed it."
    )
    how = (
        "Medians of interleaved rounds with the device to itself; spread is the relative "
        "interquartile range."
    )
    return [f"{how} {company}", f"<strong>Check.</strong> {escape(check)}"]


def _by_depth(table: object) -> dict[int, float]:
    """A cost by depth; JSON turned the depths into strings."""
    if not isinstance(table, Mapping):
        return {}
    return {int(depth): float(value) for depth, value in table.items()}


def _percent(value: object) -> str:
    return f"{100 * value:.1f} %" if isinstance(value, (int, float)) else form.NOTHING


def _facts(facts: Mapping[str, Any]) -> str:
    """Names and values as a description list; mappings nest."""
    items = "".join(
        f"<div><dt>{escape(_words(n))}</dt><dd>{_fact(v)}</dd></div>" for n, v in facts.items()
    )
    return f'<dl class="facts">{items}</dl>'


def _fact(value: Any) -> str:
    if isinstance(value, Mapping):
        return _facts(value) if value else "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(_fact(item) for item in value) or "none"
    if value is None:
        return form.NOTHING
    return escape(form.knob(value) if isinstance(value, (bool, float)) else str(value))


def _words(name: object) -> str:
    return str(name).replace("_", " ")


def _some(frame: pd.DataFrame) -> list[Row]:
    return rows_of(frame.head(MOST_ROWS))


def _folded(title: str, rows: list[list[str]]) -> str:
    if not rows:
        return ""
    shown = f"first {len(rows)}" if len(rows) == MOST_ROWS else str(len(rows))
    return folded(title, shown, grid(title, TRIAL_HEADINGS, rows, FIGURES))


HEADINGS = ("Form", "Full step", "Of a plain one", "FLOP of a plain one", "Entering it")


def forms_section(costs: Mapping[str, Any]) -> str:
    """One row a form; empty where a run met none.

    ``costs`` is a cost table as JSON, depths as text or numbers.
    """
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
        '<p class="note">Each was timed alone on the device when a trial first needed it, beside '
        "the workload’s own; "
        "entering is fitting matrices or compiling, and the way back.</p>"
    )
    figures = frozenset(HEADINGS) - {"Form"}
    return (
        table("Forms of the model", HEADINGS, cells, figures=figures, after=note, kind="narrow")
        if cells
        else ""
    )


def _full(costs: Mapping[str, Any]) -> tuple[float, float]:
    """(seconds, operations) of a full step."""
    full = int(costs["num_blocks"])
    return tuple(  # type: ignore[return-value]
        next((float(value) for depth, value in costs[name].items() if int(depth) == full), 0.0)
        for name in ("step_seconds", "step_flops")
    )
