"""Small models, a policy that follows a script, and a training loop over both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, AdamW, Optimizer

from policies.apply import BlockUpdater, Step
from policies.base import Observation, Progress, StepPlan, UpdatePolicy

WIDTH = 8


@dataclass(frozen=True)
class ScriptedState:
    num_blocks: int
    losses: tuple[float, ...] = ()
    relevance: tuple[tuple[float, ...] | None, ...] = ()


@dataclass(frozen=True)
class Scripted(UpdatePolicy[ScriptedState]):
    """Follows ``script``, one word a step, the last one repeated: a depth, ``p`` for a probe, or
    ``b0+2`` for blocks by number.
    """

    name: ClassVar[str] = "scripted"
    State: ClassVar[type[ScriptedState]] = ScriptedState

    script: str = "p"
    metric: str = "ratio"

    def init(self, num_blocks: int) -> ScriptedState:
        return ScriptedState(num_blocks)

    def plan(self, state: ScriptedState, progress: Progress) -> StepPlan:
        words = self.script.split()
        word = words[min(progress.step, len(words) - 1)]
        if word.startswith("b"):
            named = tuple(int(number) for number in word[1:].split("+"))
            return StepPlan(named, False, "reduced", self.metric)
        depth = state.num_blocks if word == "p" else int(word)
        blocks = tuple(range(state.num_blocks - depth, state.num_blocks))
        return StepPlan(blocks, word == "p", "reduced", self.metric)

    def observe(self, state: ScriptedState, observation: Observation) -> ScriptedState:
        losses = (*state.losses, observation.loss)
        return ScriptedState(state.num_blocks, losses, (*state.relevance, observation.relevance))


class Residual(nn.Module):
    """A block with everything that may move on its own: batch statistics and dropout."""

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH)
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(torch.tanh(self.linear(self.norm(x))))  # type: ignore[no-any-return]


class Tower(nn.Module):
    """Stem, residual blocks and head over vectors."""

    def __init__(self, num_blocks: int = 4, dropout: float = 0.2) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(3, WIDTH), nn.BatchNorm1d(WIDTH))
        self.blocks = nn.ModuleList([Residual(dropout) for _ in range(num_blocks)])
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)  # type: ignore[no-any-return]


def tower(num_blocks: int = 4, dropout: float = 0.2) -> Tower:
    torch.manual_seed(0)
    return Tower(num_blocks, dropout)


def batch_at(step: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(step)
    x = torch.randn(16, 3, generator=draw)
    return x, x.sum(1, keepdim=True).sin()


def adamw(model: nn.Module) -> Optimizer:
    return AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)


def momentum(model: nn.Module) -> Optimizer:
    return SGD(model.parameters(), lr=1e-2, momentum=0.9, weight_decay=0.1)


OPTIMIZERS: dict[str, Callable[[nn.Module], Optimizer]] = {"adamw": adamw, "momentum": momentum}


def block(model: Tower, index: int) -> Residual:
    found = model.blocks[index]
    assert isinstance(found, Residual)
    return found


def backward(loss: Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]


def train(
    updater: BlockUpdater,
    optimizer: Optimizer | None,
    loss_of: Callable[..., Tensor],
    *inputs: object,
) -> Step:
    """One step on ``loss_of(*inputs)``; without an optimizer the gradients stay to be looked at."""
    with updater.step() as step:
        loss = loss_of(*inputs)
        backward(loss)
        step.observe(loss)
    if optimizer is not None:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return step


def loss_of(model: nn.Module, number: int = 0) -> Tensor:
    x, y = batch_at(number)
    return functional.mse_loss(model(x), y)


@dataclass
class Loop:
    """A model, its optimizer and updater, trained over ``batch_at``."""

    model: Tower
    optimizer: Optimizer
    updater: BlockUpdater
    set_to_none: bool = True

    def step(self, number: int) -> Step:
        step = train(self.updater, None, loss_of, self.model, number)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=self.set_to_none)
        return step

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "updater": self.updater.state_dict(),
            "rng": torch.get_rng_state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.updater.load_state_dict(state["updater"])
        torch.set_rng_state(state["rng"])


def loop(
    policy: UpdatePolicy[Any],
    optimizer: str = "adamw",
    steps: int = 20,
    dropout: float = 0.2,
    **options: Any,
) -> Loop:
    model = tower(dropout=dropout)
    made = OPTIMIZERS[optimizer](model)
    return Loop(
        model,
        made,
        BlockUpdater(model, list(model.blocks), policy, made, total_steps=steps, **options),
    )


def tensors_of(module: nn.Module, optimizer: Optimizer) -> list[Tensor]:
    """Copies of every weight, statistic and moment of ``module``."""
    moments = [
        value
        for parameter in module.parameters()
        for value in optimizer.state.get(parameter, {}).values()
        if isinstance(value, Tensor)
    ]
    return [tensor.detach().clone() for tensor in (*module.state_dict().values(), *moments)]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    """Whether two lists of tensors are equal to the last bit."""
    return len(first) == len(second) and all(map(torch.equal, first, second))
