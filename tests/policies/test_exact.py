"""Gradients are those that ``requires_grad=False`` on what is frozen gives, whatever the model's
shape.
"""

from __future__ import annotations

import copy

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from policies.apply import BlockUpdater, trace_parts
from tests.policies.nets import Scripted, adamw, backward
from tests.policies.shapes import Model, Shape, loss_of, shapes


@st.composite
def plans(draw: st.DrawFn) -> tuple[Shape, list[set[int]]]:
    """A shape and the blocks to train in each of three steps."""
    shape = draw(shapes())
    block = st.integers(0, shape.num_blocks - 1)
    return shape, draw(st.lists(st.sets(block, min_size=1), min_size=3, max_size=3))


def plain(
    model: Model, frozen: set[str], modes: list[bool], number: int
) -> dict[str, Tensor | None]:
    """The gradients of a copy in which nothing but ``requires_grad`` is touched."""
    twin = copy.deepcopy(model)
    for module, training in zip(twin.modules(), modes, strict=True):
        module.training = training
    for name, parameter in twin.named_parameters():
        parameter.requires_grad_(name not in frozen)
        parameter.grad = None
    torch.manual_seed(number)
    backward(loss_of(twin, number))
    return {name: parameter.grad for name, parameter in twin.named_parameters()}


@settings(max_examples=50, deadline=None)
@given(plans(), st.booleans())
def test_gradients_are_those_of_plain_freezing(
    drawn: tuple[Shape, list[set[int]]], traced: bool
) -> None:
    """Three steps, each beside a twin that is frozen by hand in the same modes: equal gradients;
    the frozen parameters are those of the idle blocks and of what runs below the first block alone.
    """
    shape, steps = drawn
    torch.manual_seed(0)
    model = Model(shape)
    script = " ".join("b" + "+".join(map(str, sorted(active))) for active in steps)
    blocks = list(model.blocks)
    stem = trace_parts(model, blocks, lambda: loss_of(model, 0)) if traced else None
    optimizer = adamw(model)
    updater = BlockUpdater(model, blocks, Scripted(script), optimizer, total_steps=3, stem=stem)
    for number, active in enumerate(steps):
        before = copy.deepcopy(model)
        torch.manual_seed(number)
        with updater.step() as step:
            loss = loss_of(model, number)
            modes = [module.training for module in model.modules()]
            backward(loss)
            step.observe(loss)
        frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
        assert frozen == expected_frozen(model, active)
        expected = plain(before, frozen, modes, number)
        for name, parameter in model.named_parameters():
            same(name, parameter.grad, expected[name])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def expected_frozen(model: Model, active: set[int]) -> set[str]:
    """What must rest, said by the shape and not by what ran."""
    shape = model.shape
    idle = set(range(shape.num_blocks)) - active
    frozen = {
        f"blocks.{index}.{name}"
        for index in idle
        for name, _ in model.blocks[index].named_parameters()
    }
    below = {"table"} if shape.table else set()
    if shape.side == "module":
        below |= {"condition.weight", "condition.bias"}
    stem = {"stem.weight", "stem.bias"} - ({"stem.weight"} if shape.tied else set())
    if 0 in idle:
        frozen |= below
    if stem_with(shape) in idle:
        frozen |= stem
    # Every block has the query, so it is trained with the top one.
    if shape.num_blocks - 1 in idle:
        frozen |= {"parameter": {"query"}, "embedding": {"queries.weight"}}.get(shape.side, set())
    return frozen


def stem_with(shape: Shape) -> int:
    """The block with which the stem is trained: the highest that has run when it last runs."""
    if not shape.shared or shape.num_blocks == 1:
        return 0
    return shape.num_blocks // 2 - 1 if shape.passes == 1 else shape.num_blocks - 1


def same(name: str, mine: Tensor | None, plain: Tensor | None) -> None:
    assert (mine is None) == (plain is None), name
    if mine is not None and plain is not None:
        torch.testing.assert_close(
            mine, plain, rtol=1e-5, atol=1e-7, msg=lambda text: f"{name}: {text}"
        )
