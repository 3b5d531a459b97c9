"""Timing light forms and what is no form: together, on one model, as they are each alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from models.levers.form import AVERAGING, GROWTH, Form, filling
from tests.support import tiny
from tests.support.costs import made_up_costs
from tests.support.hosts import TICK, ScriptedHost
from tuning.training.calibration.calibrate import Effort
from tuning.training.calibration.forms import calibrate_form
from tuning.training.calibration.light import calibrate_light
from tuning.trial.clock import CostTable

QUICK = Effort(min_rounds=3, max_rounds=3, seconds=0.0)
CPU = torch.device("cpu")
COSTS = made_up_costs()
LIGHT = [Form(present=2), Form(present=1, batch=2.0), Form(batch=0.5), Form(batch=2.0, input=0.5)]


def found(forms: list[Form], events: list[str], **changes: Any) -> dict[str, CostTable | str]:
    task = dataclasses.replace(tiny.tiny(), shrink=lambda batch, share: batch)
    return calibrate_light(
        dataclasses.replace(task, **changes), forms, events, COSTS, device=CPU, effort=QUICK
    )


def test_forms_have_the_table_that_each_has_alone() -> None:
    """Real steps on the CPU. The same depths and, whatever was timed beside, the same operations as
    on a model of the form's own.
    """
    tables = found(LIGHT, [])
    assert list(tables) == [form.key for form in LIGHT]
    for form in LIGHT:
        table = tables[form.key]
        task = dataclasses.replace(tiny.tiny(), shrink=lambda batch, share: batch)
        alone = calibrate_form(task, form, COSTS, device=CPU, effort=QUICK)
        assert isinstance(table, CostTable)
        assert table.step_flops == alone.step_flops
        assert table.step_seconds.keys() == alone.step_seconds.keys()
        assert (table.probe_seconds, table.entry_seconds) == (alone.probe_seconds, 0.0)
        assert (table.data_seconds == COSTS.data_seconds) == (form.batch == form.input == 1)


def test_seconds_are_in_plain_steps() -> None:
    """On a machine on which every piece of work takes one tick, each costs what a full step does on
    the run's clock.
    """
    tables = calibrate_light(
        tiny.tiny(),
        [Form(present=2)],
        [GROWTH, AVERAGING],
        COSTS,
        device=CPU,
        effort=QUICK,
        host=ScriptedHost(),
    )
    full = COSTS.step_cost(COSTS.num_blocks)
    assert full != TICK
    assert set(tables) == {"present 2", GROWTH, AVERAGING}
    for name, table in tables.items():
        assert isinstance(table, CostTable)
        seconds = [table.entry_seconds] if name in (GROWTH, AVERAGING) else table.step_seconds
        assert list(seconds.values() if isinstance(seconds, dict) else seconds) == pytest.approx(
            [full] * len(seconds)
        )


def test_what_the_model_does_not_take_is_told_and_the_others_are_found() -> None:
    """A loss that cannot do with less input, and a place for activations that no block has."""

    def shrink(batch: Any, share: float) -> Any:
        raise ValueError("no smaller picture")

    events = [GROWTH, filling(9)]
    tables = found([Form(present=2), Form(input=0.5)], events, shrink=shrink)
    assert "ValueError before training: no smaller picture (" in str(tables["input 0.5"])
    assert "in shrink" in str(tables["input 0.5"])
    assert str(tables[filling(9)]).startswith("IndexError")
    assert isinstance(tables["present 2"], CostTable)
    assert isinstance(tables[GROWTH], CostTable)


def test_nothing_to_time_makes_no_model() -> None:
    """No form and no event: the workload is not asked for a model."""
    assert found([], [], make_model=lambda seed: pytest.fail("a model was made")) == {}


def _shallow_raises(model: Any, batch: Any) -> torch.Tensor:
    if len(batch[0]) < tiny.BATCH and not model.blocks[0].up.weight.requires_grad:
        raise RuntimeError("not so")
    return tiny.loss(model, batch)


def test_what_fails_in_the_midst_of_the_rounds_is_told_as_well() -> None:
    """A form whose deepest step works and a shallower one does not: the other form is found."""
    tables = found([Form(present=2), Form(batch=0.5)], [GROWTH], loss=_shallow_raises)
    assert str(tables["batch 0.5"]).startswith("RuntimeError before training: not so (")
    assert isinstance(tables["present 2"], CostTable)
    assert isinstance(tables[GROWTH], CostTable)


def test_a_plain_step_that_fails_is_told_of_all() -> None:
    """A loss that ends after some calls, say: there is nothing to time the forms beside."""

    def loss(model: Any, batch: Any) -> torch.Tensor:
        if len(batch[0]) == tiny.BATCH:
            raise RuntimeError("no more")
        return tiny.loss(model, batch)

    tables = found([Form(batch=0.5), Form(batch=2.0)], [], loss=loss)
    assert set(tables) == {"batch 0.5", "batch 2"}
    assert all("no more" in str(each) for each in tables.values())


def test_a_block_that_cannot_be_copied_is_let_in() -> None:
    """What a forward made of a parameter (weight_norm) or kept refuses ``copy.deepcopy``."""

    class Keeping(tiny.ResidualBlock):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.kept = super().forward(x)
            return self.kept

    def make_model(seed: int) -> torch.nn.Module:
        model = tiny.make_model(seed)
        model.blocks = torch.nn.ModuleList(Keeping() for _ in model.blocks)
        return model

    tables = found([Form(present=2)], [GROWTH], make_model=make_model)
    assert isinstance(tables[GROWTH], CostTable)
