"""How many models there are at once: on a GPU that decides what fits."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from models import left_over
from models.levers.form import Form
from models.workload import Workload
from policies.rules import Scalar
from tests.support import tiny
from tests.support.costs import TWO_ROUNDS, made_up_costs, with_every_form
from tests.support.searches import config_of, prepared, search
from tests.tuning.training.examination.test_examine import Here, examined
from tuning.training import clock_tasks, worker
from tuning.training.calibration.forms import calibrate_form
from tuning.training.calibration.light import calibrate_light
from tuning.training.hindsight import hidden, refuse_another_beginning
from tuning.training.loop import TrainingRun
from tuning.training.place import CONTEXT_BYTES
from tuning.trial.clock import CostTable
from tuning.trial.recipe import Recipe
from tuning.trial.task import Ending

CPU = torch.device("cpu")
GIB = 2**30
made: list[weakref.ref[nn.Module]] = []
beside: list[int] = []
"""How many others there were when each was made."""
no_room: list[int] = []
"""Numbers of those for which there is no memory."""


@pytest.fixture(autouse=True)
def _counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small they are, models that nobody holds go before the next one is made.

    What other tests loaded is set apart: each look for garbage would go through all of it.
    """
    monkeypatch.setattr(left_over, "ROOM", -1)
    gc.collect()
    gc.freeze()
    for each in (made, beside, no_room):
        each.clear()


def make_model(seed: int) -> nn.Module:
    """A model that is counted, where there is room for it."""
    if len(made) in no_room:
        no_room.remove(len(made))
        raise torch.OutOfMemoryError("CUDA out of memory")
    beside.append(sum(each() is not None for each in made))
    model = tiny.make_model(seed)
    made.append(weakref.ref(model))
    return model


def counted() -> Workload:
    """``tiny`` with its models counted."""
    return replace(tiny.tiny(), make_model=make_model)


def test_a_search_has_one_model_at_a_time(tmp_path: Path) -> None:
    """Its reference run, what is tried after that, its trials."""
    search(config_of(tmp_path / "run", workload=f"{__name__}:counted", trials=2))
    assert len(beside) > 4
    assert set(beside) == {0}


def test_what_is_tried_after_the_first_run_may_lack_memory(tmp_path: Path) -> None:
    """A second beginning, and one that goes on from a snapshot: a search can do without."""
    run = tmp_path / "run"
    search(config_of(run, workload=f"{__name__}:counted", trials=1))
    no_room.extend([len(made)] * 2)
    refuse_another_beginning(counted(), 0, made_up_costs(), CPU, [1.0])
    assert hidden(counted(), 0, made_up_costs(), CPU, run / "trunk" / "seed-0") == []
    assert not no_room


def test_a_form_is_timed_with_two_models() -> None:
    """The workload's own and the form's, side by side; operations are counted after that."""
    calibrate_form(counted(), Form(batch=2), made_up_costs(), device=CPU, effort=TWO_ROUNDS)
    assert max(beside) == 1


def test_a_form_that_is_not_taken_leaves_no_model_beside_the_others() -> None:
    """Why is told in words: an exception holds what it was raised in."""

    def loss(model: nn.Module, batch: tiny.Pair) -> Tensor:
        if len(batch[0]) > tiny.BATCH:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return tiny.loss(model, batch)

    forms = [Form(batch=2), Form(batch=4), Form(batch=0.5)]
    workload = replace(counted(), loss=loss)
    costs = made_up_costs()
    tables = calibrate_light(workload, forms, [], costs, device=CPU, effort=TWO_ROUNDS)
    assert [isinstance(each, CostTable) for each in tables.values()] == [False, False, True]
    assert beside == [0, 0, 0]


def test_what_a_form_had_goes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moments and modules of each form but the last, also of a model that nobody counted."""
    monkeypatch.setattr(left_over, "ROOM", 1)
    optimizers: list[weakref.ref[Optimizer]] = []

    def make_optimizer(model: nn.Module) -> Optimizer:
        optimizer = tiny.make_optimizer(model)
        optimizers.append(weakref.ref(optimizer))
        return optimizer

    knobs: dict[str, Scalar] = {
        "approximation": "svd",
        "approximation_start": 0.3,
        "dense_from": 0.7,
    }
    policy, levers = Recipe("full_update", 1.0, knobs).policy_and_levers()
    costs = with_every_form(made_up_costs())
    workload = replace(tiny.tiny(), make_optimizer=make_optimizer)
    gc.disable()
    try:
        run = TrainingRun(
            workload, policy, seed=0, horizon=1.0, costs=costs, device=CPU, levers=levers
        )
        monkeypatch.setattr(left_over.left_over, "_bytes", 0)
        while not run.finished:
            run.advance()
            assert [each() is None for each in optimizers] == [
                *[True] * (len(optimizers) - 1),
                False,
            ]
        assert len(optimizers) > 2
    finally:
        gc.enable()


COUNTER = {"calls": 0}
"""Stays as it is from one training to the next."""
room = [1]
"""How many models can be trained at once."""


def narrow_loss(model: nn.Module, batch: tiny.Pair) -> Tensor:
    """A loss where there is not room for many models."""
    if torch.is_grad_enabled():
        COUNTER["calls"] += 1
        if sum(each() is not None for each in made) > room[0]:
            raise torch.OutOfMemoryError("CUDA out of memory")
    return tiny.loss(model, batch)


class OnAnotherCard(Here):
    """Another process, which has room of its own."""

    def ask(self, request: dict[str, Any]) -> None:
        room[0] = 2
        super().ask(request)
        room[0] = 1
        gc.collect()


class OnTheSameCard(Here):
    """Another process, which has no room beside this one."""

    def ask(self, request: dict[str, Any]) -> None:
        """Nothing comes of it."""

    def answer(self) -> dict[str, Any]:
        return {"error": "CUDA out of memory"}


@pytest.mark.parametrize("elsewhere", [OnAnotherCard, OnTheSameCard])
def test_a_workload_of_which_one_model_fits_is_not_refused(elsewhere: type[Here]) -> None:
    """What takes two trainings at once cannot be seen, so that trials train alone."""
    workload = replace(counted(), loss=narrow_loss)
    found = examined(workload, elsewhere(workload))
    assert not found.refusals
    assert not found.forks
    assert any("does not fit into the memory" in text for text in found.warnings)


class Card:
    """Stands in for ``torch.cuda``: a GPU whose memory this process keeps for later."""

    def __init__(self) -> None:
        self.reserved = self.peak = 0
        self.cap = 0.25

    def take(self, count: int) -> None:
        """A task needs so much."""
        self.reserved = max(self.reserved, count)
        self.peak = max(self.peak, self.reserved)

    def empty_cache(self) -> None:
        self.reserved = 0

    def reset_peak_memory_stats(self) -> None:
        self.peak = self.reserved

    def set_per_process_memory_fraction(self, share: float) -> None:
        self.cap = share

    def is_available(self) -> bool:
        return True

    def memory_reserved(self) -> int:
        return self.reserved

    def max_memory_reserved(self) -> int:
        return self.peak

    def mem_get_info(self) -> tuple[int, int]:
        return 0, 24 * GIB


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    card = Card()
    for name in (name for name in dir(Card) if not name.startswith("_") and name != "take"):
        monkeypatch.setattr(torch.cuda, name, getattr(card, name))
    for module in (worker, clock_tasks):
        monkeypatch.setattr(module, "run_device", lambda: CPU)
    return card


def test_an_examination_is_no_part_of_what_a_trial_takes(
    card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has several models at once, in the process that then sets the clock."""

    def calibrate(*_: object, **__: object) -> CostTable:
        card.take(2 * GIB)
        return made_up_costs()

    monkeypatch.setattr(clock_tasks, "calibrate", calibrate)
    store = prepared(config_of(tmp_path / "run"))
    card.take(7 * GIB)
    clock_tasks.calibrate_run(store)
    assert store.info.memory is not None
    assert store.info.memory.trial_bytes == 2 * GIB + CONTEXT_BYTES


@pytest.mark.parametrize("task", ["clock", "calibrate-3"])
@pytest.mark.parametrize(("share", "cap"), [(0.25, 1.0), (1.0, 0.25)])
def test_what_runs_alone_has_the_whole_memory(
    card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, share: float, cap: float
) -> None:
    """A worker that has trained a trial within its share times a form after it; where trials have
    the whole card, a bound that the process has is a user's, and left.
    """
    monkeypatch.setattr(worker, "memory_share", lambda info: share)
    caps: list[float] = []

    def heard(*_: object) -> Ending:
        caps.append(card.cap)
        return Ending.DONE

    for name in ("set_clock", "calibrate_forms"):
        monkeypatch.setattr(worker, name, heard)
    store = prepared(config_of(tmp_path / "run"))
    worker.execute(str(store.path), task, 0)
    assert caps == [cap]


def test_a_task_that_is_over_leaves_the_memory_to_others(
    card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside workers that wait one of them times a form."""

    def train(*_: object) -> Ending:
        card.take(5 * GIB)
        return Ending.DONE

    monkeypatch.setattr(worker, "_execute", train)
    store = prepared(config_of(tmp_path / "run"))
    worker.execute(str(store.path), "3", 0)
    assert card.reserved == 0
