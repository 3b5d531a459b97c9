"""An updater that was left, closed or not: what the next one of the same blocks finds."""

from __future__ import annotations

import gc
import warnings
import weakref
from typing import Any

import pytest
import torch
from torch import nn

from policies.apply import BlockUpdater
from policies.base import StepPlan
from tests.policies.nets import Scripted, adamw, backward, loss_of, tower

ALL = Scripted("4")


class Shorter(Scripted):
    """The model has two of its blocks."""

    def plan(self, state: object, progress: object) -> StepPlan:
        """All that there are."""
        return StepPlan((0, 1), probe=False, phase="full", model_blocks=2)


def updater_of(model: nn.Module, policy: Scripted, optimizer: Any = None) -> BlockUpdater:
    blocks = list(model.get_submodule("blocks").children())
    return BlockUpdater(model, blocks, policy, optimizer or adamw(model), total_steps=3)


def step_of(model: nn.Module, updater: BlockUpdater) -> None:
    with updater.step() as step:
        loss = loss_of(model)
        backward(loss)
        step.observe(loss)


@pytest.mark.parametrize("gone", [False, True])
def test_what_an_updater_left_frozen_is_trained_by_the_next(gone: bool) -> None:
    """Whether or not it is there still; what was frozen before it stays so."""
    model = tower()
    next(model.stem.parameters()).requires_grad_(False)
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    left = updater_of(model, Scripted("1"))
    step_of(model, left)
    assert {name: p.requires_grad for name, p in model.named_parameters()} != before
    if gone:
        del left
        gc.collect()
    with pytest.warns(UserWarning, match="still frozen by an earlier updater"):
        updater_of(model, ALL)
    assert {name: p.requires_grad for name, p in model.named_parameters()} == before


def test_one_that_is_left_takes_no_gradients_from_the_next() -> None:
    """Both watch the same optimizer."""
    model = tower()
    optimizer = adamw(model)
    left = updater_of(model, Scripted("1"), optimizer)
    step_of(model, left)
    optimizer.step()
    optimizer.zero_grad()
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.warns(UserWarning, match="still frozen"):
        new = updater_of(model, ALL, optimizer)
    step_of(model, new)
    optimizer.step()
    assert not any(map(torch.equal, before, model.parameters()))
    with pytest.raises(RuntimeError, match="a model has one at a time"), left.step():
        pass


@pytest.mark.parametrize("gone", [False, True])
def test_blocks_that_one_left_out_run_again(gone: bool) -> None:
    """The next has the whole model."""
    model, ran = tower(), []
    for block in model.blocks:
        block.get_submodule("linear").register_forward_hook(lambda *_: ran.append(1))
    left = updater_of(model, Shorter("4"))
    step_of(model, left)
    ran.clear()
    loss_of(model)
    assert len(ran) == 2
    if gone:
        del left
        gc.collect()
    with pytest.warns(UserWarning, match="still frozen"):
        updater_of(model, ALL)
    loss_of(model)
    assert len(ran) == 2 + 4


def test_a_closed_one_leaves_nothing_to_tell() -> None:
    """What is frozen since is frozen by the user."""
    model = tower()
    first = updater_of(model, Scripted("1"))
    step_of(model, first)
    first.close()
    model.stem.requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        updater_of(model, ALL)
    assert not any(p.requires_grad for p in model.stem.parameters())


def test_no_model_is_kept_alive() -> None:
    """By what is remembered of its blocks."""
    model = tower()
    updater = updater_of(model, Scripted("1"))
    step_of(model, updater)
    seen = weakref.ref(model)
    del model, updater
    gc.collect()
    assert seen() is None
