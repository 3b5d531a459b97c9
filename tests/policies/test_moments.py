"""``moments_on_thaw`` acts on every optimizer that a loop hands over, however it holds them."""

from __future__ import annotations

import contextlib
import copy
import re
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adagrad, AdamW, Optimizer

from policies.apply import BlockUpdater
from policies.applying.moments import optimizers_in
from tests.policies.nets import Scripted, Tower, backward, batch_at, loss_of, tower, train


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

    @pytest.mark.parametrize("called", [True, False])
    def test_a_stem_that_is_registered_last_stays_in_the_first_step(self, called: bool) -> None:
        """Found by a forward that only looks, dropout being drawn once; refused where the model
        itself is not called.
        """
        model = tower()
        model.stem = model._modules.pop("stem")  # type: ignore[assignment]
        updater = BlockUpdater(
            model, list(model.blocks), Scripted("2"), self.fused(model), total_steps=2
        )
        before, x = copy.deepcopy(model.stem.state_dict()), batch_at(0)[0]
        twin = copy.deepcopy(model)
        torch.manual_seed(0)
        refused = pytest.raises(RuntimeError, match=r"moved stem\.0\.weight before it")
        with contextlib.nullcontext() if called else refused, updater.step() as step:
            loss = (model if called else model.forward)(x).square().mean()
            backward(loss)
            step.observe(loss)
        same = [torch.equal(before[key], now) for key, now in model.stem.state_dict().items()]
        assert all(same) == called
        drawn = torch.rand(1)
        for part in (twin.stem, *twin.blocks[:2]):
            part.eval()
        torch.manual_seed(0)
        twin(x)
        assert torch.equal(drawn, torch.rand(1))

    def test_a_probe_says_that_it_cannot_read_them(self) -> None:
        """By the name of the hook, with what to do."""
        model = tower()
        updater = BlockUpdater(
            model, list(model.blocks), Scripted("p"), self.fused(model), total_steps=1
        )
        with pytest.raises(RuntimeError, match="register_post_accumulate_grad_hook took them away"):
            train(updater, None, loss_of, model)


class Plain:
    """Steps as an optimizer does, and shows nothing."""

    def __init__(self, inner: Optimizer) -> None:
        self.step, self.zero_grad = inner.step, inner.zero_grad


def test_reset_is_refused_where_one_of_several_shows_no_state() -> None:
    """Beside one that does, at once and by its class; a queue of two that do is none."""
    model = tower()
    first, second = optimizers_of(model)
    with pytest.raises(ValueError, match="the state of every optimizer, but a Plain shows none"):
        resetting(model, Several(first, Plain(second)))  # type: ignore[arg-type]
    resetting(model, deque([first, second]))


def resetting(model: Tower, optimizer: Any) -> BlockUpdater:
    return BlockUpdater(
        model,
        list(model.blocks),
        Scripted("2"),
        optimizer,
        total_steps=3,
        moments_on_thaw="reset",
    )


class Elsewhere(Optimizer):
    """Momentum that is kept where ``keep`` says, of each parameter or of all together."""

    def __init__(self, parameters: Any, keep: Callable[[Any, Any, torch.Tensor], None]) -> None:
        super().__init__(parameters, {"lr": 1e-2})
        self.named = list(self.param_groups[0]["params"])
        self.table: dict[Any, Any] = {}
        self.series: list[Any] = []
        self.keep = keep

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for parameter in self.named:
            if parameter.grad is not None:
                self.keep(self, parameter, parameter.grad.clone())
                parameter.sub_(parameter.grad, alpha=1e-2)


PLACES: dict[str, tuple[Callable[[Any, Any, torch.Tensor], Any], str]] = {
    "a table of its own": (lambda o, p, g: o.table.update({p: g}), "table"),
    "tables in a table": (lambda o, p, g: o.table.update({id(p): {"m": g}}), "table"),
    "a list of its own": (lambda o, p, g: o.series.append(g), "series"),
    "one for all": (lambda o, p, g: o.state.update(flat=g), "state['flat']"),
}


@pytest.mark.parametrize("place", PLACES)
def test_reset_is_refused_where_moments_are_not_by_parameter(place: str) -> None:
    """As soon as there are some: in the second step, with where they are."""
    keep, name = PLACES[place]
    model = tower()
    optimizer = Elsewhere(model.parameters(), keep)
    updater = resetting(model, optimizer)
    train(updater, optimizer, loss_of, model)
    with pytest.raises(RuntimeError, match=re.escape(f"Elsewhere keeps tensors in {name}; keep")):
        train(updater, optimizer, loss_of, model)


class Filled(SGD):
    """Begins its moments when it is made."""

    def __init__(self, parameters: Any, lr: float, value: float = 2.0) -> None:
        super().__init__(parameters, lr=lr)
        for parameter in self.param_groups[0]["params"]:
            self.state[parameter]["sum"] = torch.full_like(parameter, value)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        super().step()
        for parameter in self.param_groups[0]["params"]:
            if parameter.grad is not None:
                self.state[parameter]["sum"].add_(1.0)


@pytest.mark.parametrize(
    ("make", "began"),
    [(partial(Adagrad, initial_accumulator_value=0.5), 0.5), (Filled, 2.0)],
)
def test_moments_that_a_constructor_begins_begin_so_again(make: Any, began: float) -> None:
    """Beside those of a block that was trained all along."""
    model = tower(dropout=0.0)
    optimizer = make(model.parameters(), lr=1e-2)
    blocks = list(model.blocks)
    updater = BlockUpdater(
        model, blocks, Scripted("p 2 2 p"), optimizer, total_steps=4, moments_on_thaw="reset"
    )
    for number in range(3):
        train(updater, optimizer, loss_of, model, number)
    train(updater, None, loss_of, model, 3)
    for block, fresh in ((blocks[0], True), (blocks[3], False)):
        for parameter in block.parameters():
            assert bool((optimizer.state[parameter]["sum"] == began).all()) == fresh
    optimizer.step()


def test_reset_takes_moments_that_are_by_parameter() -> None:
    """Of an optimizer of one's own, which lists its parameters besides."""
    model = tower()
    optimizer = Elsewhere(model.parameters(), lambda o, p, g: o.state[p].update(m=g))
    updater = resetting(model, optimizer)
    for _ in range(3):
        train(updater, optimizer, loss_of, model)
