"""The clock as the page shows it: the calibration, the forms of the model that it met, what is no
step, and what a confirmation timed again.

Cost tables are read as run.json has them, with depths as text or numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from models.levers.form import is_event
from tuning.findings import format as form
from tuning.findings.summary import FrontSummary
from tuning.report.cells import AnyCell, Note, Table
from tuning.report.confirmation import clock_check
from tuning.report.facts import facts_of
from tuning.trial.variants import name_in

Costs = Mapping[str, Any]
"""A cost table as JSON."""
NO_FACT = frozenset(
    {
        *("step_seconds", "step_flops", "step_parts", "spread", "disturbances"),  # in the table
        *("forms", "entry_seconds", "composed", "baseline_step_seconds"),  # of forms
    }
)
FORM_HEADINGS = ("Form", "Step", "Of a plain one", "FLOP of a plain one", "Entering it", "Found")
TIMED, COMPOSED, DISTURBED = "timed", "from parts", ", not alone"
AGAIN_HEADINGS = ("What", "By the search’s clock", "Found", "Timed again", "Of the clock’s")


def clock_tables(summary: FrontSummary, run_info: Mapping[str, Any] | None) -> list[Table]:
    """The table of the calibration with its check, and those of the other costs as far as there are
    any.
    """
    costs = (run_info or {}).get("calibration")
    if not isinstance(costs, Mapping):
        return []
    took, again = (run_info or {}).get("timing_seconds"), (run_info or {}).get("timed_again")
    rest = (_forms(costs), _events(costs), _again(costs, again or {}))
    notes = _calibration_notes(costs, clock_check(summary), took)
    return [_calibration(costs, notes), *(table for table in rest if table.rows)]


def _calibration(costs: Costs, notes: list[Note]) -> Table:
    """Cost of a step at each depth, with its spread, and the costs that do not depend on depth."""
    steps, flops = _by_depth(costs.get("step_seconds")), _by_depth(costs.get("step_flops"))
    spread = costs.get("spread") if isinstance(costs.get("spread"), Mapping) else {}
    parts = {part: _by_depth(seconds) for part, seconds in (costs.get("step_parts") or {}).items()}
    full = steps[max(steps)] if steps else None
    rows = [
        [
            str(depth),
            form.seconds(cost),
            f"{cost / full:.3f}" if full else form.NOTHING,
            form.amount(flops.get(depth)),
            _percent((spread or {}).get(f"step_{depth}")),
            *(form.seconds(seconds.get(depth)) for seconds in parts.values()),
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
    return Table(
        "Calibration",
        headings,
        rows,
        frozenset(headings),
        notes,
        facts_of({name: value for name, value in costs.items() if name not in NO_FACT}),
        kind="narrow",
    )


def _calibration_notes(costs: Costs, check: str, took: float | None) -> list[Note]:
    """How it was measured, whether it was disturbed, what that took, how it was checked."""
    signs = costs.get("disturbances")
    how = (
        "Medians of interleaved rounds with the device to itself; spread is the relative "
        "interquartile range."
    )
    company = (
        Note(how, "It was not alone:", f"{'; '.join(signs)}.")
        if signs
        else Note(f"{how} Nothing was noticed that disturbed it.")
    )
    spent = f"{form.seconds(took)} in all, with those of other forms of the model."
    return [company, *([Note("", "Time spent.", spent)] if took else []), Note("", "Check.", check)]


def _forms(costs: Costs) -> Table:
    """A row for each form: its costs at the most blocks that it updates."""
    plain, flop = _deepest(costs.get("step_seconds")), _deepest(costs.get("step_flops"))
    forms = {name: own for name, key, own in _met(costs) if not is_event(key)}
    rows: list[list[AnyCell]] = [
        [
            name,
            form.seconds(_deepest(own.get("step_seconds"))),
            _share(_deepest(own.get("step_seconds")), plain),
            _share(_deepest(own.get("step_flops")), flop),
            form.seconds(own.get("entry_seconds")),
            _found(own),
        ]
        for name, own in forms.items()
    ]
    together = sum(_found(own).startswith(COMPOSED) for own in forms.values())
    note = (
        f"A step at the most blocks that the form updates. {len(forms) - together} forms were "
        "timed alone on the device when a trial first needed them, beside the workload’s own, "
        f"and {together} were put together from the seconds of such. Entering is fitting matrices "
        "or compiling, and the way back."
    )
    return _table("Forms of the model", FORM_HEADINGS, rows, note, left={"Form", "Found"})


def _events(costs: Costs) -> Table:
    """What is charged beside the steps, with the seconds that each takes."""
    rows: list[list[AnyCell]] = [
        [name, form.seconds(own.get("entry_seconds"))]
        for name, key, own in _met(costs)
        if is_event(key)
    ]
    note = "Charged each time it happens; timed alone, beside the workload’s own step."
    return _table("What is no step", ("What", "Each time"), rows, note, left={"What"})


def _again(costs: Costs, again: Mapping[str, Any]) -> Table:
    """What a confirmation timed for longer, beside what the search’s clock says of it."""
    before = {name: own for name, _, own in _met(costs)}
    rows: list[list[AnyCell]] = []
    for name, key, own in _met({"forms": again}):
        then = before.get(name, {})
        old, new = _price(key, then), _price(key, own)
        rows.append([name, form.seconds(old), _found(then), form.seconds(new), _share(new, old)])
    note = (
        "A confirmation times what it trains whole and for longer, and charges its own runs by "
        "that. The trials of the search stay charged by the search’s clock."
    )
    left = {"What", "Found"}
    return _table("Timed again by the confirmation", AGAIN_HEADINGS, rows, note, left=left)


def _table(
    title: str,
    headings: tuple[str, ...],
    rows: list[list[AnyCell]],
    note: str,
    *,
    left: set[str],
) -> Table:
    figures = frozenset(headings) - left
    return Table(title, headings, rows, figures, [Note(note)], kind="narrow", count=str(len(rows)))


def _met(costs: Costs) -> Iterator[tuple[str, str, Costs]]:
    """(name among all, its own name, table) of every other form, and of the forms of the workload
    with other values of its own knobs.
    """
    for name, own in (costs.get("forms") or {}).items():
        yield name, name, own
        for inner, table in (own.get("forms") or {}).items():
            yield name_in(name, inner), inner, table


def _price(key: str, costs: Costs) -> float | None:
    return costs.get("entry_seconds") if is_event(key) else _deepest(costs.get("step_seconds"))


def _found(costs: Costs) -> str:
    if not costs:
        return form.NOTHING
    found = COMPOSED if costs.get("composed") else TIMED
    return found + DISTURBED if costs.get("disturbances") else found


def _deepest(table: object) -> float | None:
    """The cost of a step at the most blocks for which it is known; None where it is not known."""
    by_depth = _by_depth(table)
    return by_depth[max(by_depth)] if by_depth else None


def _share(cost: float | None, whole: float | None) -> str:
    return f"{cost / whole:.3f}" if cost is not None and whole else form.NOTHING


def _by_depth(table: object) -> dict[int, float]:
    """A cost by depth, as an int; JSON has turned the depths into strings."""
    if not isinstance(table, Mapping):
        return {}
    return {int(depth): float(value) for depth, value in table.items()}


def _percent(value: object) -> str:
    return f"{100 * value:.1f} %" if isinstance(value, (int, float)) else form.NOTHING
