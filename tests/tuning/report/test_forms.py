"""The table of forms on the report page."""

from __future__ import annotations

import dataclasses
import json

from tests.support.costs import made_up_costs
from tuning.report.sections import forms_section

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
    shown = forms_section(costs)
    for text in ("svd &lt;0.25&gt;", "0.00500 s", "0.500", "0.250", "0.300 s"):
        assert text in shown


def test_a_run_without_forms_has_no_such_table() -> None:
    """Nothing is shown where no lever was pulled."""
    assert forms_section(dataclasses.asdict(PLAIN)) == ""
