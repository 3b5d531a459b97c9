"""A model under an updater is still a model: it can be copied, pickled, saved, averaged and
exported.
"""

from __future__ import annotations

import copy
import gc
import io
import pickle
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from policies.apply import BlockUpdater
from tests.policies.nets import (
    Loop,
    Scripted,
    backward,
    batch_at,
    loop,
    loss_of,
    same,
    tensors_of,
)


def saved(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded: nn.Module = torch.load(file, weights_only=False)
    return loaded


def pickled(model: nn.Module) -> nn.Module:
    copied: nn.Module = pickle.loads(pickle.dumps(model))
    return copied


def averaged(model: nn.Module) -> nn.Module:
    return AveragedModel(model).module


WAYS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "deepcopy": copy.deepcopy,
    "pickle": pickled,
    "save": saved,
    "average": averaged,
}


def assert_plain(model: nn.Module) -> None:
    """No hooks, nothing of an updater, training modes as outside a step, and gradients for all."""
    for module in model.modules():
        assert module.training
        assert not module._forward_pre_hooks
        assert not module._forward_hooks
        assert "__reduce_ex__" not in vars(module)
    model.requires_grad_(True).zero_grad()
    backward(loss_of(model))
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_copy_between_steps_is_a_plain_model(way: str, steps: int) -> None:
    """Before the first step, after the traced one and later; with the weights of the original."""
    run = loop(Scripted("2"))
    for number in range(steps):
        run.step(number)
    made = WAYS[way](run.model)
    assert all(map(torch.equal, made.state_dict().values(), run.model.state_dict().values()))
    assert_plain(made)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("steps", [0, 2])
def test_a_copy_inside_a_step_is_what_it_is_outside(way: str, steps: int) -> None:
    """Before the forward and after the backward; the step goes on as if nothing had been copied."""
    run, undisturbed = loop(Scripted("2"), dropout=0.0), loop(Scripted("2"), dropout=0.0)
    for number in range(steps):
        run.step(number)
        undisturbed.step(number)
    with run.updater.step() as step:
        first = WAYS[way](run.model)
        loss = loss_of(run.model, steps)
        backward(loss)
        step.observe(loss)
        second = WAYS[way](run.model)
    run.optimizer.step()
    undisturbed.step(steps)
    pairs = zip(run.model.parameters(), undisturbed.model.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    assert all(module.training for module in run.model.modules())
    for made in (first, second):
        assert_plain(made)


def test_parts_of_a_model_and_what_holds_it_are_copied_alike() -> None:
    """A block alone, and a wrapper around the model, inside a step."""
    run = loop(Scripted("1"))
    run.step(0)
    outer = nn.Sequential(run.model)
    with run.updater.step() as step:
        block, whole = copy.deepcopy(run.model.blocks[0]), copy.deepcopy(outer)
        loss = loss_of(outer, 1)
        backward(loss)
        step.observe(loss)
    assert all(module.training for made in (block, whole) for module in made.modules())
    assert_plain(whole[0])


def test_hooks_of_the_user_go_along() -> None:
    """Ours are left out of a copy, theirs are not."""
    run = loop(Scripted("1"))
    run.model.head.register_forward_pre_hook(looked)
    run.model.blocks[0].register_forward_hook(looked)
    with run.updater.step() as step:
        made = copy.deepcopy(run.model)
        loss = loss_of(run.model)
        backward(loss)
        step.observe(loss)
    assert list(made.head._forward_pre_hooks.values()) == [looked]
    assert list(made.blocks[0]._forward_hooks.values()) == [looked]


def looked(*_: object) -> None:
    """A hook that only looks."""


def test_a_copy_is_exported() -> None:
    """The graph of a copy in evaluation mode computes what the model does."""
    run = loop(Scripted("2"))
    for number in range(2):
        run.step(number)
    made = copy.deepcopy(run.model).eval()
    x = batch_at(9)[0]
    exported = torch.export.export(made, (x,)).module()
    torch.testing.assert_close(exported(x), run.model.eval()(x))


def test_neither_a_copy_nor_the_model_keeps_the_updater_alive() -> None:
    """Drop the updater and the optimizer: they are collected while the model lives on."""
    run = loop(Scripted("2"))
    run.step(0)
    model, made, updater = run.model, copy.deepcopy(run.model), weakref.ref(run.updater)
    del run
    gc.collect()
    assert updater() is None
    assert_plain(made)
    assert all(module.training for module in model.modules())


def copied(run: Loop) -> Loop:
    return copy.deepcopy(run)


def pickled_whole(run: Loop) -> Loop:
    made: Loop = pickle.loads(pickle.dumps(run))
    return made


@pytest.mark.parametrize("way", [copied, pickled_whole])
@pytest.mark.parametrize("script", ["2", "p 1 3 p 2 1", "4 2 1"])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_an_updater_travels_with_its_model(
    way: Callable[[Loop], Loop], script: str, steps: int
) -> None:
    """The copy, from here or another process, goes on as the original does, and the original as if
    there were none: weights, moments and the policy's state, to the bit. The two share nothing.
    """
    run, undisturbed = loop(Scripted(script)), loop(Scripted(script))
    for number in range(steps):
        torch.manual_seed(number)
        run.step(number)
        torch.manual_seed(number)
        undisturbed.step(number)
    made = way(run)
    for number in range(steps, steps + 4):
        for each in (made, run, undisturbed):
            torch.manual_seed(number)
            each.step(number)
    states = [each.updater.state_dict() for each in (made, run, undisturbed)]
    assert states[0] == states[1] == states[2]
    tensors = [tensors_of(each.model, each.optimizer) for each in (made, run, undisturbed)]
    assert same(tensors[0], tensors[1])
    assert same(tensors[1], tensors[2])
    mine = {parameter.data_ptr() for parameter in made.model.parameters()}
    assert mine.isdisjoint(parameter.data_ptr() for parameter in run.model.parameters())


def test_what_was_frozen_before_an_updater_stays_so_in_a_copy() -> None:
    """A block's weight that the user froze, beside those that the policy freezes."""
    model = loop(Scripted("1")).model
    frozen = next(model.blocks[3].parameters())
    frozen.requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    updater = BlockUpdater(model, list(model.blocks), Scripted("1 4"), optimizer, total_steps=20)
    run = Loop(model, optimizer, updater)
    run.step(0)
    made = copy.deepcopy(run)
    made.step(1)
    names = {n for n, p in made.model.named_parameters() if not p.requires_grad}
    assert names == {n for n, p in model.named_parameters() if p is frozen}


def test_no_copy_of_an_updater_inside_a_step_nor_without_its_model() -> None:
    """Each is refused in one message, and the step goes on."""
    run = loop(Scripted("2"))
    with run.updater.step() as step:
        with pytest.raises(RuntimeError, match="between steps"):
            copy.deepcopy(run.updater)
        loss = loss_of(run.model)
        backward(loss)
        step.observe(loss)
    with pytest.raises(TypeError, match="copies them together"):
        copy.copy(run.updater)
    split = loop(Scripted("2"), accumulate=2)
    with split.updater.step() as step:
        loss = loss_of(split.model)
        backward(loss)
        step.observe(loss)
    with pytest.raises(RuntimeError, match="1 of 2 accumulated steps"):
        pickle.dumps(split.updater)
