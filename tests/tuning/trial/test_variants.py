"""The tables of a clock, those of variants among them: which were not timed alone."""

from __future__ import annotations

from dataclasses import replace

from models.levers.form import Form
from tests.support.costs import made_up_costs
from tuning.trial.parts import composed
from tuning.trial.variants import (
    disturbed_forms,
    last_was_disturbed,
    noted,
    timed_alone,
    with_table,
)

PLAIN = made_up_costs()
SIGNS = ("half of the cores",)


def test_what_is_new_is_noted_as_disturbed() -> None:
    """Also within a variant; what was known before stays as it was."""
    variant = replace(PLAIN, forms={"muon 5": PLAIN})
    before = replace(PLAIN, forms={"batch 2": PLAIN, "width=64": variant})
    more = replace(variant, forms={**variant.forms, "batch 2": PLAIN})
    new = {"input 0.5": PLAIN, "width=64": more, "width=32": variant}
    found = disturbed_forms(noted(before, replace(before, forms={**before.forms, **new}), SIGNS))
    names = {"input 0.5", "width=64: batch 2", "width=32", "width=32: muon 5"}
    assert found == dict.fromkeys(names, SIGNS)


def test_what_was_disturbed_is_left_out_of_a_clock_timed_alone() -> None:
    """And nothing else."""
    company = replace(PLAIN, disturbances=SIGNS)
    variant = replace(PLAIN, forms={"muon 5": company, "batch 2": PLAIN})
    costs = replace(PLAIN, forms={"batch 2": company, "input 0.5": PLAIN, "width=64": variant})
    left = timed_alone(costs)
    assert left.forms.keys() == {"input 0.5", "width=64"}
    assert left.forms["width=64"].forms.keys() == {"batch 2"}
    assert disturbed_forms(left) == {}
    assert timed_alone(left) == left


def test_a_variant_that_was_timed_again_is_the_last() -> None:
    """Whether what was timed last was disturbed is told of it, and not of what came after it."""
    costs = replace(PLAIN, forms={"width=64": PLAIN, "muon 5": PLAIN})
    table = replace(PLAIN, forms={"batch 2": replace(PLAIN, disturbances=SIGNS)})
    assert last_was_disturbed(with_table(costs, "width=64", table))
    assert not last_was_disturbed(with_table(costs, "width=64", replace(PLAIN, forms={})))


def test_a_form_of_disturbed_parts_is_disturbed() -> None:
    """Whichever of them it was."""
    both = {"muon 5": replace(PLAIN, disturbances=SIGNS), "batch 2": PLAIN}
    costs = replace(PLAIN, forms=both)
    form = Form(optimizer="muon", newton_schulz_steps=5, batch=2.0)
    assert composed(costs, form).disturbances == SIGNS
