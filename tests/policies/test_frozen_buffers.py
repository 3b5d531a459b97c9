"""Frozen modules do not train on their own: modes and buffers, whatever loop and forward do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from policies.apply import BlockUpdater, trace_parts
from tests.policies.nets import (
    WIDTH,
    Scripted,
    Tower,
    adamw,
    backward,
    batch_at,
    block,
    loop,
    loss_of,
    same,
    tensors_of,
    tower,
    train,
)


def dropped(drops: list[bool], _: nn.Module, args: tuple[Tensor], out: Tensor) -> None:
    drops.append(bool((args[0] != out).any()))


@pytest.mark.parametrize("wrapped", [False, True])
def test_train_inside_a_step_wakes_nothing_frozen(wrapped: bool) -> None:
    """As trainers begin a step, on the model or what holds it: statistics stand still, no dropout.

    Afterwards the model is in training mode.
    """
    model = tower(dropout=0.5)
    outer = nn.Sequential(model)
    optimizer = adamw(model)
    updater = BlockUpdater(model, list(model.blocks), Scripted("2"), optimizer, total_steps=3)
    model.eval()
    frozen = [model.stem, *model.blocks[:2]]
    for number in range(3):
        before = [tensors_of(part, optimizer) for part in frozen]
        drops: list[bool] = []
        look = partial(dropped, drops)
        hooks = [block(model, i).dropout.register_forward_hook(look) for i in (0, 1)]
        with updater.step() as step:
            (outer if wrapped else model).train()
            loss = loss_of(outer if wrapped else model, number)
            backward(loss)
            step.observe(loss)
        for hook in hooks:
            hook.remove()
        optimizer.step()
        assert drops == [False, False]
        assert all(
            same(b, tensors_of(part, optimizer)) for part, b in zip(frozen, before, strict=True)
        )
        assert all(module.training for module in model.modules())


class Counting(nn.Module):
    """A block that writes to its buffers whatever its mode, in each way there is."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.register_buffer("average", torch.zeros(WIDTH))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("last", torch.zeros(WIDTH), persistent=False)
        self.register_buffer("strided", torch.zeros(WIDTH, 2)[:, 0])
        self.register_buffer("cache", torch.zeros(0), persistent=False)

    average: Tensor
    calls: Tensor
    last: Tensor
    strided: Tensor
    cache: Tensor

    def forward(self, x: Tensor) -> Tensor:
        self.average.lerp_(x.detach().mean(0), 0.1)
        self.calls = self.calls + 1
        self.last.data.copy_(x[0].detach())
        self.strided.data.add_(1)
        if len(self.cache) < len(x):
            self.cache = torch.ones(len(x))
        return x + torch.tanh(self.linear(x))


def counting() -> Tower:
    model = tower(dropout=0.0)
    model.blocks = nn.ModuleList([Counting() for _ in range(3)])
    return model


def test_buffers_that_a_forward_writes_are_put_back() -> None:
    """Averages, counters and what is not saved stand still in a frozen block; a cache may grow."""
    model = counting()
    optimizer = adamw(model)
    updater = BlockUpdater(model, list(model.blocks), Scripted("p 1 1 p"), optimizer, total_steps=4)
    kept = ("average", "calls", "last", "strided")
    for number in range(4):
        before = [{key: getattr(b, key).clone() for key in kept} for b in model.blocks]
        active = train(updater, optimizer, loss_of, model, number).plan.active_blocks
        for index, each in enumerate(model.blocks):
            moved = {key for key in kept if not torch.equal(before[index][key], getattr(each, key))}
            assert moved == (set(kept) if index in active else set())
            assert len(each.get_buffer("cache")) == 16


def test_a_training_forward_between_steps_is_refused_by_the_buffer_it_moved() -> None:
    """A validation without ``eval()``, say."""
    run = loop(Scripted("2"))
    run.step(0)
    run.model(batch_at(5)[0])
    with pytest.raises(RuntimeError, match=r"stem\.1\.running_mean is frozen but changed"):
        run.step(1)


def test_an_evaluation_between_steps_is_allowed() -> None:
    """In evaluation mode and back."""
    run = loop(Scripted("2"))
    for number in range(2):
        run.step(number)
        run.model.eval()
        run.model(batch_at(5)[0])
        run.model.train()


class Begins(nn.Module):
    """A block with statistics that its first forward makes."""

    mean: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.register_buffer("mean", None)

    def forward(self, x: Tensor) -> Tensor:
        now = x.detach().mean(0)
        self.mean = now if self.mean is None else 0.9 * self.mean + 0.1 * now
        return x + torch.tanh(self.linear(x - self.mean))


@pytest.mark.parametrize("traced", [True, False])
def test_statistics_that_begin_while_frozen_stay_as_they_began(traced: bool) -> None:
    """A block that never trained: its buffer, None at first, is what its first forward made."""
    torch.manual_seed(0)
    model = Tower()
    model.blocks[0] = Begins()
    blocks, optimizer = list(model.blocks), adamw(model)
    stem = trace_parts(model, blocks, lambda: loss_of(model)) if traced else None
    updater = BlockUpdater(model, blocks, Scripted("1"), optimizer, total_steps=4, stem=stem)
    seen = []
    for number in range(4):
        train(updater, optimizer, loss_of, model, number)
        seen.append(model.blocks[0].mean.clone())  # type: ignore[operator]
    assert all(torch.equal(each, seen[0]) for each in seen)


class Makes(nn.Module):
    """A block that makes its norm, or its average, at its first forward."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.linear, self.kind = nn.Linear(WIDTH, WIDTH), kind

    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, self.kind):
            if self.kind == "norm":
                self.norm = nn.BatchNorm1d(x.shape[1], affine=False)
            else:
                self.register_buffer("mean", x.detach().mean(0))
        if self.kind == "norm":
            return x + torch.tanh(self.linear(self.norm(x)))
        self.get_buffer("mean").lerp_(x.detach().mean(0), 0.1)
        return x + torch.tanh(self.linear(x))


@pytest.mark.parametrize("kind", ["norm", "mean"])
@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize("script", ["1 1 1 1", "p 1 1 1"])
def test_what_a_first_forward_makes_in_a_block_is_frozen_with_it(
    script: str, traced: bool, kind: str
) -> None:
    """A module or a buffer of which the updater could not know, whether or not its block was
    trained first: from then on it stays.
    """
    torch.manual_seed(0)
    model = Tower()
    model.blocks[0] = Makes(kind)
    blocks, optimizer = list(model.blocks), adamw(model)
    stem = None if traced else [model.stem]
    updater = BlockUpdater(model, blocks, Scripted(script), optimizer, total_steps=4, stem=stem)
    seen = []
    for number in range(4):
        train(updater, optimizer, loss_of, model, number)
        seen.append({name: b.clone() for name, b in model.blocks[0].named_buffers()})
        assert all(module.training for module in model.blocks[0].modules())
    assert seen[0]
    assert all(each[name].equal(seen[0][name]) for each in seen for name in seen[0])


class Neighbours(nn.Module):
    """A matrix of neighbours that is written to while it trains; kept as ``keep`` says."""

    near: Tensor

    def __init__(self, keep: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.register_buffer("near", keep(torch.eye(16)))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.near.mul_(0.5)
        return self.linear(self.near @ x)  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("keep", [Tensor.to_sparse, Tensor.to_sparse_csr])
def test_sparse_buffers_of_a_frozen_block_stay(keep: Callable[[Tensor], Tensor]) -> None:
    """They lie at no one address. Those of a trained block go on."""
    model = nn.Sequential(*[Neighbours(keep) for _ in range(3)])
    optimizer = adamw(model)
    updater = BlockUpdater(model, list(model), Scripted("2 p 1"), optimizer, total_steps=3)
    for _ in range(3):
        train(updater, optimizer, lambda: model(torch.ones(16, WIDTH)).square().mean())
    kept = [float(each.near.to_dense()[0, 0]) for each in model.children()]  # type: ignore[operator]
    assert kept == [0.5, 0.25, 0.125]
