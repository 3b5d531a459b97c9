"""``moments_on_thaw`` acts on every optimizer that a loop hands over, however it holds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from policies.apply import BlockUpdater
from policies.applying.moments import optimizers_in
from tests.policies.nets import Scripted, Tower, backward, loss_of, tower, train


class Several:
    """Several optimizers that step together, as recipes with a matrix optimizer have them."""

    def __init__(self, *optimizers: Optimizer) -> None:
        self.optimizers = list(optimizers)


class Slotted:
    """A wrapper without a ``__dict__``."""

    __slots__ = ("inner",)

    def __init__(self, inner: Any) -> None:
        self.inner = inner


class Wrapping(Optimizer):
    """An optimizer around another one, sharing its groups and its state."""

    def __init__(self, inner: Optimizer) -> None:
        self.optimizer = inner

    @property
    def state(self) -> Any:  # type: ignore[override]
        return self.optimizer.state

    @property
    def param_groups(self) -> Any:  # type: ignore[override]
        return self.optimizer.param_groups


HOLDERS: dict[str, Callable[..., Any]] = {
    "list": lambda *optimizers: list(optimizers),
    "tuple": lambda *optimizers: optimizers,
    "mapping": lambda *optimizers: dict(enumerate(optimizers)),
    "object": Several,
    "nested": lambda *optimizers: {"all": [Several(*optimizers)]},
    "slots": lambda *optimizers: Slotted(Several(*optimizers)),
    "wrapped": lambda *optimizers: [Wrapping(each) for each in optimizers],
}


def optimizers_of(model: Tower) -> list[Optimizer]:
    """Matrices to one, the rest to another."""
    matrices = [p for p in model.parameters() if p.dim() == 2]
    rest = [p for p in model.parameters() if p.dim() != 2]
    return [SGD(matrices, lr=1e-2, momentum=0.9), AdamW(rest, lr=1e-2)]


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("moments", ["keep", "reset"])
def test_moments_of_a_thawed_block_are_reset_in_all_of_them(holder: str, moments: str) -> None:
    """Look at the state that each optimizer steps with after a block thawed."""
    model = tower(dropout=0.0)
    optimizers = optimizers_of(model)
    updater = BlockUpdater(
        model,
        list(model.blocks),
        Scripted("p 2 2 p"),
        HOLDERS[holder](*optimizers),
        total_steps=4,
        moments_on_thaw=moments,
    )
    for number in range(4):
        with updater.step() as step:
            loss = loss_of(model, number)
            backward(loss)
            step.observe(loss)
        if number == 3:
            break
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    for block, kept in ((model.blocks[0], moments == "keep"), (model.blocks[3], True)):
        held = [p in optimizer.state for optimizer in optimizers for p in block.parameters()]
        assert sum(held) == (len(list(block.parameters())) if kept else 0)


def test_each_optimizer_is_found_once() -> None:
    """In a list that names one twice, beside things that are none."""
    first, second = optimizers_of(tower())
    given = [
        first,
        {"a": first, "b": second, "c": "text", "d": torch.ones(3)},
        None,
        list(range(9)),
    ]
    assert optimizers_in(given) == [first, second]


def test_long_lists_are_not_searched() -> None:
    """They are data: a wrapper may hold its data set."""
    assert optimizers_in([0] * 1001) == []


@pytest.mark.parametrize("given", [None, [], object(), nn.Linear(1, 1), SGD])
def test_reset_without_an_optimizer_is_refused_at_once(given: Any) -> None:
    """Before anything is done to the model; ``keep`` needs none."""
    model = tower()
    options: dict[str, Any] = {"total_steps": 1}
    with pytest.raises(
        ValueError, match=r"moments_on_thaw='reset' needs an optimizer .* found none"
    ):
        BlockUpdater(
            model, list(model.blocks), Scripted("2"), given, moments_on_thaw="reset", **options
        )
    assert all(p.requires_grad for p in model.parameters())
    BlockUpdater(model, list(model.blocks), Scripted("2"), given, **options)


class TestFusedSteps:
    """Optimizers that step inside the backward, one a parameter, and drop the gradient."""

    def fused(self, model: Tower) -> dict[nn.Parameter, Optimizer]:
        optimizers: dict[nn.Parameter, Optimizer] = {
            p: SGD([p], lr=1e-2, momentum=0.9) for p in model.parameters()
        }

        def step(parameter: torch.Tensor) -> None:
            assert isinstance(parameter, nn.Parameter)
            optimizers[parameter].step()
            optimizers[parameter].zero_grad()

        for parameter in model.parameters():
            parameter.register_post_accumulate_grad_hook(step)  # type: ignore[no-untyped-call]
        return optimizers

    @pytest.mark.parametrize("script", ["4 2", "2"])
    def test_they_train_what_the_plan_names(self, script: str) -> None:
        """No gradient is left to be seen; what is frozen does not move, in the first step too."""
        model = tower(dropout=0.0)
        updater = BlockUpdater(
            model, list(model.blocks), Scripted(script), self.fused(model), total_steps=4
        )
        for number in range(3):
            before = {name: p.detach().clone() for name, p in model.named_parameters()}
            with updater.step() as step:
                loss = loss_of(model, number)
                backward(loss)
                step.observe(loss)
            moved = {n for n, p in model.named_parameters() if not torch.equal(before[n], p)}
            bottom = any(name.startswith(("blocks.0", "stem")) for name in moved)
            assert bottom == (0 in step.plan.active_blocks)
            assert any(name.startswith("blocks.3") for name in moved)

    def test_a_probe_says_that_it_cannot_read_them(self) -> None:
        """By the name of the hook, with what to do."""
        model = tower()
        updater = BlockUpdater(
            model, list(model.blocks), Scripted("p"), self.fused(model), total_steps=1
        )
        with pytest.raises(RuntimeError, match="register_post_accumulate_grad_hook took them away"):
            train(updater, None, loss_of, model)
