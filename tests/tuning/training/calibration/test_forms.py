"""Timing the forms that levers give a model.

They are timed on the run's own clock, whatever the machine's speed is by then.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from models.levers.depth import Depth
from models.levers.form import PLAIN, Form
from models.levers.levers import Levers
from models.levers.optimizer import Optimization
from tests.support import tiny
from tests.support.costs import made_up_costs
from tuning.training.calibration.calibrate import Effort
from tuning.training.calibration.company import Lap
from tuning.training.calibration.forms import calibrate_form, ratios_to_plain
from tuning.training.calibration.known import Known
from tuning.trial.parts import composed

QUICK = Effort(min_rounds=3, max_rounds=3, seconds=0.0)
CPU = torch.device("cpu")
COSTS = made_up_costs()
SECONDS = st.floats(1e-6, 10)


def table(form: Form) -> object:
    return calibrate_form(tiny.tiny(), form, COSTS, device=CPU, effort=QUICK)


def test_table_has_every_depth_and_counts_fewer_operations() -> None:
    """Real steps are timed on the CPU.

    At rank 4 of 16 in each MLP a step has fewer operations at every depth.
    """
    found = calibrate_form(tiny.tiny(), Form("svd", 0.25, "mlp"), COSTS, device=CPU, effort=QUICK)
    plain = calibrate_form(tiny.tiny(), PLAIN, COSTS, device=CPU, effort=QUICK)
    assert found.step_seconds.keys() == COSTS.step_seconds.keys()
    assert all(seconds > 0 for seconds in found.step_seconds.values())
    assert all(found.step_flops[depth] < plain.step_flops[depth] for depth in plain.step_flops)
    assert found.entry_seconds > 0
    assert plain.entry_seconds == 0


@pytest.mark.parametrize("kind", ["svd", "data_aware", "low_rank_diagonal", "monarch"])
def test_steps_of_recovery_are_timed_and_counted(kind: str) -> None:
    """Real steps on the CPU in which only what replaced the matrices is trained, of a model whose
    layers have no biases, as most language models have none.

    They have fewer operations than steps in which everything is trained, as the head rests.
    """

    def without_biases(seed: int) -> nn.Module:
        model = tiny.tiny().make_model(seed)
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                layer.register_parameter("bias", None)
        return model

    workload = dataclasses.replace(tiny.tiny(), make_model=without_biases)
    recovering, whole = (
        calibrate_form(
            workload, Form(kind, 0.5, "mlp", recovering=each), COSTS, device=CPU, effort=QUICK
        )
        for each in (True, False)
    )
    assert recovering.step_seconds.keys() == recovering.step_flops.keys() == {1, 2, 3, 4}
    assert all(recovering.step_flops[depth] <= whole.step_flops[depth] for depth in range(1, 5))
    assert recovering.step_flops[4] < whole.step_flops[4]
    assert recovering.entry_seconds > 0


def test_what_the_form_does_not_change_is_the_runs_own() -> None:
    """Data, device and threads are those of the clock that the form's costs are added to."""
    found = calibrate_form(
        tiny.tiny(), Form("monarch", 0.5, "all"), COSTS, device=CPU, effort=QUICK
    )
    for name in ("num_blocks", "data_seconds", "evaluation_seconds", "device", "threads"):
        assert getattr(found, name) == getattr(COSTS, name)
    assert not found.forms


def test_an_optimizers_own_products_are_counted() -> None:
    """Real steps of Muon on the CPU.

    Each Newton–Schulz step of the blocks' eight matrices of 16 × 32 is three products in one stack,
    counted by hand; at a depth of one block there are two of them.
    """
    found = {
        steps: calibrate_form(
            tiny.tiny(),
            Form(optimizer="muon", newton_schulz_steps=steps),
            COSTS,
            device=CPU,
            effort=QUICK,
        )
        for steps in (2, 3)
    }
    one_more = {depth: found[3].step_flops[depth] - found[2].step_flops[depth] for depth in (1, 4)}
    one_matrix = 2 * (16 * 16 * 32) + 2 * 16**3 + 2 * (16 * 16 * 32)
    assert one_more == {1: 2 * one_matrix, 4: 8 * one_matrix}
    assert found[2].entry_seconds == 0


def test_a_form_the_model_cannot_take_is_refused() -> None:
    """The workload's blocks have no attention; the message says what they have."""
    with pytest.raises(ValueError, match="placement 'attention' must match"):
        calibrate_form(tiny.tiny(), Form("svd", 0.5, "attention"), COSTS, device=CPU, effort=QUICK)


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=9), st.floats(0.1, 10))
def test_a_slower_machine_changes_no_ratio(
    rounds: list[tuple[float, float]], slower: float
) -> None:
    """Property: with every lap of a series slower by one factor, the ratios are the same up to
    rounding.
    """

    def laps(factor: float) -> dict[str, list[Lap]]:
        return {
            "step_4": [Lap(own * factor, 0.0) for own, _ in rounds],
            "plain": [Lap(unit * factor, 0.0) for _, unit in rounds],
        }

    before, after = (
        ratios_to_plain(laps(factor), on_cpu=False)["step_4"] for factor in (1.0, slower)
    )
    assert after == pytest.approx(before)


def test_own_form_is_the_unit() -> None:
    """By hand: a step that takes twice the plain one's seconds in each round is charged two units,
    drift or not.
    """
    laps = {"step_4": [Lap(2.0, 0.0), Lap(6.0, 0.0)], "plain": [Lap(1.0, 0.0), Lap(3.0, 0.0)]}
    assert ratios_to_plain(laps, on_cpu=False) == {"step_4": [2.0, 2.0]}


def test_costs_are_added_to_the_clock_by_name() -> None:
    """A table with a form charges steps in it by the form's costs and refuses one it does not
    know.
    """
    from tuning.trial.clock import Ledger, UnknownForm, charge

    form = Form("svd", 0.25)
    own = dataclasses.replace(COSTS, step_seconds={4: 0.002}, entry_seconds=0.5)
    costs = dataclasses.replace(COSTS, forms={form.key: own})
    ledger = Ledger()
    ledger.record(4, probe=False)
    ledger.enter(form.key)
    ledger.record(4, probe=False, form=form.key)
    data = COSTS.data_seconds
    assert charge(costs, ledger).train_seconds == pytest.approx(
        COSTS.step_cost(4) + 0.002 + 2 * data + 0.5
    )
    assert ledger.steps == 2
    with pytest.raises(
        UnknownForm, match=r"calibrated for the form 'svd 0.25 mlp', but knows \[\]"
    ):
        charge(COSTS, ledger)


@pytest.mark.parametrize("ids", [torch.arange(tiny.BATCH), list(range(tiny.BATCH))])
def test_a_kept_prefix_is_timed_for_as_many_rounds_as_there_are(ids: Any) -> None:
    """No step of it is said to train the blocks that it does not reach, which were an error."""
    effort = Effort(min_rounds=20, max_rounds=20, seconds=0.0)
    task = dataclasses.replace(tiny.tiny(), examples_at=lambda seed, step: ids)
    found = calibrate_form(task, Form(cached=2), COSTS, device=CPU, effort=effort)
    assert found.step_seconds.keys() == {1, 2}


def test_what_no_parts_can_give_is_measured_whole() -> None:
    """Parts that were measured in company may come to less than nothing; then the form itself is
    timed, and no trial fails for it.
    """
    form = Form(optimizer="adamw", present=2)
    light = dataclasses.replace(COSTS, step_seconds=dict.fromkeys(COSTS.step_seconds, 1e-9))
    parts = {"adamw": light, "present 2": light}
    known = Known(tiny.tiny(), dataclasses.replace(COSTS, forms=parts))
    with pytest.raises(ValueError, match="must come to positive seconds"):
        composed(known.costs, form)
    levers = Levers(Optimization("adamw"), Depth(depth_start=0.5, depth_end=0.5))
    assert not known.find(levers)
    assert known.costs.forms[form.key].step_cost(2) > 0
