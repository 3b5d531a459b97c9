"""What comes into a model after its updater was made, and modules that take no hooks."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from policies.apply import BlockUpdater
from tests.policies.nets import (
    WIDTH,
    Scripted,
    Tower,
    adamw,
    block,
    loss_of,
    same,
    tensors_of,
    tower,
    train,
)


def replaced(model: Tower, optimizer: AdamW) -> None:
    """Another tensor under the same name, which the optimizer is given."""
    weight = nn.Parameter(block(model, 0).linear.weight.detach() * 2)
    block(model, 0).linear.weight = weight
    optimizer.add_param_group({"params": [weight]})


def thawed(model: Tower, optimizer: AdamW) -> None:
    block(model, 1).linear.bias.requires_grad_(True)


def half_frozen() -> Tower:
    """A user's own choice: a bias in block 1 that is not trained."""
    model = tower(dropout=0.0)
    block(model, 1).linear.bias.requires_grad_(False)
    return model


@pytest.mark.parametrize(
    ("change", "name"),
    [(replaced, "blocks.0.linear.weight"), (thawed, "blocks.1.linear.bias")],
)
@pytest.mark.parametrize("script", ["2", "p 2 2 p 2 2 p"])
@pytest.mark.parametrize("at", [1, 4])
def test_what_nobody_would_hold_is_refused_in_the_first_frozen_step(
    change: Callable[[Tower, AdamW], None], name: str, script: str, at: int
) -> None:
    """Whenever it came, and whether or not the active blocks change; another updater takes it."""
    model = half_frozen()
    optimizer = AdamW(model.parameters(), lr=1e-2)
    updater = BlockUpdater(model, list(model.blocks), Scripted(script), optimizer, total_steps=9)
    for number in range(at):
        train(updater, optimizer, loss_of, model, number)
    change(model, optimizer)
    with pytest.raises(RuntimeError, match=rf"{name} is in a frozen block and the optimizer"):
        train(updater, optimizer, loss_of, model, at)
    updater.close()
    model.zero_grad()
    updater = BlockUpdater(model, list(model.blocks), Scripted("2"), optimizer, total_steps=9)
    before = tensors_of(model.blocks[0], optimizer)
    train(updater, optimizer, loss_of, model, at)
    assert same(before, tensors_of(model.blocks[0], optimizer))


def test_what_no_optimizer_holds_may_be_thawed() -> None:
    """As penalties on all of a model's slopes do; nothing of it moves."""
    model = half_frozen()
    optimizer = AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    updater = BlockUpdater(model, list(model.blocks), Scripted("2"), optimizer, total_steps=3)
    train(updater, optimizer, loss_of, model, 0)
    before = tensors_of(model.blocks[1], optimizer)
    model.requires_grad_(True)
    train(updater, optimizer, loss_of, model, 1)
    assert same(before, tensors_of(model.blocks[1], optimizer))


class Looks(nn.Module):
    """A block whose forward renormalizes the rows of an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Embedding(2, WIDTH, max_norm=0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.rows((x[:, 0] > 0).long())  # type: ignore[no-any-return]


def test_a_forward_that_writes_a_frozen_weight_is_told_from_the_optimizer() -> None:
    """An embedding with ``max_norm``, whose rows stick out since it was last trained."""
    model = tower(dropout=0.0)
    model.blocks[0] = Looks()
    optimizer = adamw(model)
    updater = BlockUpdater(model, list(model.blocks), Scripted("p 2"), optimizer, total_steps=3)
    train(updater, optimizer, loss_of, model, 0)
    with torch.no_grad():
        model.blocks[0].rows.weight.add_(1.0)  # type: ignore[operator, union-attr]
    with pytest.raises(RuntimeError, match=r"rows.weight is frozen .* the forward wrote to it \("):
        train(updater, optimizer, loss_of, model, 1)


def scripted(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(module)


def test_scripted_modules_beside_and_inside_blocks_are_frozen_like_others() -> None:
    """They take no hooks, which the step that finds out what runs when would set."""
    model = tower(dropout=0.0)
    model.stem = scripted(nn.Linear(3, WIDTH))  # type: ignore[assignment]
    model.blocks[0] = nn.Sequential(scripted(nn.Linear(WIDTH, WIDTH)), nn.Tanh())
    optimizer = adamw(model)
    updater = BlockUpdater(model, list(model.blocks), Scripted("2 p 2"), optimizer, total_steps=3)
    for number, moves in enumerate([False, True, False]):
        before = [tensors_of(part, optimizer) for part in (model.stem, model.blocks[0])]
        train(updater, optimizer, loss_of, model, number)
        now = [tensors_of(part, optimizer) for part in (model.stem, model.blocks[0])]
        assert [same(*pair) for pair in zip(before, now, strict=True)] == [not moves] * 2


def test_a_scripted_block_is_refused_by_what_to_do() -> None:
    model = tower()
    model.blocks[2] = scripted(nn.Linear(WIDTH, WIDTH))
    with pytest.raises(ValueError, match=r"block 2 is compiled by torch.jit.script, which allows"):
        BlockUpdater(model, list(model.blocks), Scripted("2"), adamw(model), total_steps=1)


def test_weights_without_a_shape_are_refused_by_what_to_do() -> None:
    model = tower()
    model.blocks[2] = nn.LazyLinear(WIDTH)
    with pytest.raises(ValueError, match=r"UninitializedParameter: it has no shape yet; run one"):
        BlockUpdater(model, list(model.blocks), Scripted("2"), adamw(tower()), total_steps=1)
