"""What runs that are over hold is let go of before another model is made."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from models import left_over
from models.making import new_model
from policies.registry import make_policy
from tests.support.costs import made_up_costs
from tests.support.tiny import tiny
from tuning.training.loop import TrainingRun


@pytest.fixture(autouse=True)
def _no_other_looks() -> Iterator[None]:
    """Python itself looks for no garbage meanwhile."""
    gc.disable()
    yield
    gc.enable()


def trained() -> weakref.ref[nn.Module]:
    """The model of a run that is over."""
    full = make_policy("full_update", {})
    cpu, costs = torch.device("cpu"), made_up_costs()
    run = TrainingRun(tiny(), full, seed=0, horizon=0.2, costs=costs, device=cpu)
    while not run.finished:
        run.advance()
    return weakref.ref(run.model)


def test_models_of_runs_that_are_over_do_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five trainings with room for one: when a model is made, none but the last is left."""
    monkeypatch.setattr(left_over, "ROOM", 1)
    ended = [trained() for _ in range(5)]
    left = new_model(tiny(), 0)
    assert [each() for each in ended] == [None] * 5
    assert isinstance(left, nn.Module)


def test_small_models_are_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look takes longer than they do."""
    monkeypatch.setattr(gc, "collect", lambda: pytest.fail("looked"))
    counting = left_over.LeftOver()
    for _ in range(100):
        counting.made(nn.Linear(16, 16))
        counting.let_go()
