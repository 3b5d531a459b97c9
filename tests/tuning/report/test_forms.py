"""The tables of forms, of what is no step and of what was timed again on the report page."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from models.levers.form import GROWTH, filling
from tests.support.costs import made_up_costs
from tests.support.frames import search_frame
from tuning.findings.summary import summary
from tuning.report.clock_tables import clock_tables
from tuning.report.page import page_text
from tuning.trial.clock import CostTable

PLAIN = made_up_costs()


def test_each_form_stands_beside_the_plain_one() -> None:
    """By hand: a form of half the seconds and a quarter of the operations, through JSON as a run
    holds it.
    """
    own = dataclasses.replace(
        PLAIN,
        step_seconds={d: s / 2 for d, s in PLAIN.step_seconds.items()},
        step_flops={d: f / 4 for d, f in PLAIN.step_flops.items()},
        entry_seconds=0.3,
    )
    costs = json.loads(
        json.dumps(dataclasses.asdict(dataclasses.replace(PLAIN, forms={"svd <0.25>": own})))
    )
    shown = page(costs)
    for text in ("svd &lt;0.25&gt;", "0.00500 s", "0.500", "0.250", "0.300 s"):
        assert text in shown


def test_a_run_without_forms_has_no_such_table() -> None:
    """Nothing is shown where no lever was pulled."""
    assert "Forms of the model" not in page(dataclasses.asdict(PLAIN))


def test_a_form_is_priced_at_the_most_blocks_it_updates() -> None:
    """One with fewer blocks present has no price at the model's depth."""
    few = made_up({2: 0.004, 1: 0.003})
    rows = rows_under("Forms of the model", {"calibration": with_forms({"present 2": few})})
    assert rows == [["present 2", "0.00400 s", f"{0.004 / FULL:.3f}", "0.250", "0.00 s", "timed"]]


def test_it_is_said_which_forms_were_put_together() -> None:
    """And how many were timed, those of a variant among them; and which not alone."""
    variant = dataclasses.replace(made_up({8: 0.02}), forms={"batch 2": made_up({8: 0.04})})
    forms = {
        "muon 5": dataclasses.replace(made_up({8: 0.02}), disturbances=("company",)),
        "muon 5, batch 2": dataclasses.replace(made_up({8: 0.04}), composed=True),
        "width=64": variant,
    }
    info = {"calibration": with_forms(forms)}
    found = {row[0]: row[-1] for row in rows_under("Forms of the model", info)}
    assert found == {
        "muon 5": "timed, not alone",
        "muon 5, batch 2": "from parts",
        "width=64": "timed",
        "width=64: batch 2": "timed",
    }
    assert "3 forms were timed alone" in page(info["calibration"])
    assert "and 1 were put together" in page(info["calibration"])


def test_what_is_no_step_stands_apart() -> None:
    """Its table repeats the workload's own steps, whose price it does not have."""
    event = dataclasses.replace(PLAIN, entry_seconds=0.0002)
    forms = {GROWTH: event, "width=64": dataclasses.replace(PLAIN, forms={filling(2): event})}
    info = {"calibration": with_forms(forms)}
    assert [row[0] for row in rows_under("Forms of the model", info)] == ["width=64"]
    assert rows_under("What is no step", info) == [
        [GROWTH, "0.000200 s"],
        [f"width=64: {filling(2)}", "0.000200 s"],
    ]


def test_what_a_confirmation_timed_again_stands_beside_the_clock() -> None:
    """A row each, also of what the search's clock did not have, and no heap of facts."""
    event = dataclasses.replace(PLAIN, entry_seconds=0.0002)
    again = {
        "batch 2": made_up({8: 0.022}),
        "batch 0.5": made_up({8: 0.012}),
        GROWTH: dataclasses.replace(event, entry_seconds=0.0003),
    }
    before = {
        "batch 2": dataclasses.replace(made_up({8: 0.02}), composed=True),
        GROWTH: event,
    }
    known = {name: dataclasses.asdict(costs) for name, costs in again.items()}
    info = {"calibration": with_forms(before), "timed_again": known}
    assert rows_under("Timed again by the confirmation", info) == [
        ["batch 2", "0.0200 s", "from parts", "0.0220 s", "1.100"],
        ["batch 0.5", "–", "–", "0.0120 s", "–"],
        [GROWTH, "0.000200 s", "timed", "0.000300 s", "1.500"],
    ]
    assert "timed again" not in page_text(summary(search_frame()), search_frame(), info)


FULL = PLAIN.step_cost(PLAIN.num_blocks)


def made_up(seconds: dict[int, float]) -> CostTable:
    """The table of a form with a quarter of the operations."""
    flops = dict.fromkeys(seconds, PLAIN.flops(PLAIN.num_blocks) / 4)
    return dataclasses.replace(PLAIN, step_seconds=seconds, step_flops=flops, entry_seconds=0.0)


def with_forms(forms: dict[str, CostTable]) -> dict[str, Any]:
    """A cost table that knows them, through JSON as a run holds it."""
    costs = dataclasses.replace(PLAIN, forms=forms)
    made: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(costs)))
    return made


def rows_under(title: str, info: dict[str, Any]) -> list[list[str]]:
    """The cells of the table with that title, by row."""
    (table,) = [t for t in clock_tables(summary(search_frame()), info) if t.title == title]
    assert table.count == str(len(table.rows))
    return [[str(cell) for cell in row] for row in table.rows]


def page(costs: dict[str, Any]) -> str:
    """From the table of forms on, where there is one."""
    text = page_text(summary(search_frame()), search_frame(), {"calibration": costs})
    return text[text.find("Forms of the model") :]
