"""Several optimizers as one step as they would alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, Optimizer, SparseAdam

from models.several import SeveralOptimizers, as_one


class Words(nn.Module):
    """An embedding with sparse gradients and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(10, 4, sparse=True)
        self.out = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.embed(x).mean(1))  # type: ignore[no-any-return]


def parts(model: Words) -> tuple[Optimizer, Optimizer]:
    return SparseAdam(list(model.embed.parameters()), lr=0.1), Adam(model.out.parameters(), lr=0.1)


def train(model: Words, optimizers: tuple[Any, ...], steps: int) -> None:
    for step in range(steps):
        model(torch.tensor([[step % 10, 3]])).sum().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(mine, its) for mine, its in pairs)


def test_together_they_step_as_each_alone() -> None:
    """A sparse and a dense one, six steps, saved and loaded in the middle."""
    alone, together, later = Words(), Words(), Words()
    train(alone, parts(alone), 6)
    first = as_one(parts(together))
    train(together, (first,), 3)
    second = as_one(parts(later))
    later.load_state_dict(together.state_dict())
    second.load_state_dict(first.state_dict())
    for step in range(3, 6):
        later(torch.tensor([[step, 3]])).sum().backward()
        second.step()
        second.zero_grad()
    assert same(alone, later)


def test_groups_and_states_are_the_optimizers_own() -> None:
    """A rate set on the whole is the part's, and a state forgotten is forgotten there."""
    model = Words()
    sparse, dense = parts(model)
    several = SeveralOptimizers([sparse, dense])
    train(model, (several,), 1)
    several.param_groups[1]["lr"] = 0.5
    assert dense.param_groups[0]["lr"] == 0.5
    assert len(several.state) == 3
    weight = model.embed.weight
    assert weight in several.state
    several.state.pop(weight, None)
    assert weight not in sparse.state
    assert several.state.pop(torch.zeros(1), None) is None


def test_a_parameter_has_one_optimizer() -> None:
    """Two that hold the same are refused."""
    model = Words()
    with pytest.raises(ValueError, match="stepped by one optimizer"):
        as_one([SGD(model.parameters(), lr=1.0), SGD(model.out.parameters(), lr=1.0)])


def test_one_in_a_list_is_itself() -> None:
    """And what is no optimizer is handed back for others to name."""
    only = SGD(Words().parameters(), lr=1.0)
    assert as_one([only]) is only
    assert as_one((only, "scheduler")) == (only, "scheduler")
