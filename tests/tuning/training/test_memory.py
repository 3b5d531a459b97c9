"""How many models there are at once: on a GPU that decides what fits."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from models import left_over
from models.levers.form import Form
from models.workload import Workload
from tests.support import tiny
from tests.support.costs import TWO_ROUNDS, made_up_costs
from tests.support.searches import config_of, search
from tuning.training.calibrate_forms import calibrate_form
from tuning.training.hindsight import hidden, refuse_another_beginning

CPU = torch.device("cpu")
made: list[weakref.ref[nn.Module]] = []
beside: list[int] = []
"""How many others there were when each was made."""
no_room: list[int] = []
"""Numbers of those for which there is no memory."""


@pytest.fixture(autouse=True)
def _counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """However small they are, models that nobody holds go before the next one is made."""
    monkeypatch.setattr(left_over, "ROOM", -1)
    gc.collect()
    for each in (made, beside, no_room):
        each.clear()
    yield


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
    """A second beginning, and one that goes on from a snapshot: checks, without which it goes on."""
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
