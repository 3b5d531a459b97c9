"""Workloads that train in milliseconds: one that works, and faulty ones for tests of failures.

Each is a factory without required arguments, so ``tests.support.tiny:tiny`` names it on a command
line too. The faulty ones fail in ``batch_at`` at one step, so that building, calibrating on the
first steps and evaluating work, and they have a number as target, so that no run is needed to find
it.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW, Optimizer

from models.workload import Workload

WIDTH = 16
FEATURES = 8
BATCH = 32
FAULT_STEP = 10
HANG_FILE = "TINY_HANG_FILE"
"""Environment variable with a path.

While that file exists, ``hangs`` sleeps from ``FAULT_STEP`` on.
"""

Pair = tuple[Tensor, Tensor]


class ResidualBlock(nn.Module):
    """x + W2 gelu(W1 x): (batch, WIDTH) -> (batch, WIDTH)."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(WIDTH, 2 * WIDTH)
        self.down = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, of its input's shape."""
        return x + self.down(functional.gelu(self.up(x)))  # type: ignore[no-any-return]


class ResidualMLP(nn.Module):
    """Stem, ``depth`` residual blocks, head: (batch, FEATURES) -> (batch, 1)."""

    def __init__(self, depth: int = 4) -> None:
        super().__init__()
        self.stem = nn.Linear(FEATURES, WIDTH)
        self.blocks = nn.ModuleList(ResidualBlock() for _ in range(depth))
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Predict a value a row."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)  # type: ignore[no-any-return]


def make_model(seed: int, depth: int = 4) -> ResidualMLP:
    """Build a model whose weights depend on ``seed`` alone and leave torch's global generator
    untouched.
    """
    with torch.random.fork_rng(devices=[]):
        model = ResidualMLP(depth)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            scale = 1 / math.sqrt(parameter.shape[-1]) if parameter.dim() > 1 else 0.0
            parameter.normal_(0.0, 1.0, generator=generator).mul_(scale)
    return model


def blocks(model: nn.Module) -> Sequence[nn.Module]:
    """List the residual blocks in forward order."""
    assert isinstance(model.blocks, nn.ModuleList)
    return list(model.blocks)


def batch_at(seed: int, step: int) -> Pair:
    """Draw points and their values from (seed, step) alone: (BATCH, FEATURES), (BATCH, 1)."""
    random = np.random.default_rng((seed, step))
    x = torch.from_numpy(random.standard_normal((BATCH, FEATURES), dtype=np.float32))
    return x, torch.sin(2 * x[:, :1]) * x[:, 1:2] + 0.5 * x[:, 2:3]


EPOCH = 5
"""Steps after which ``again``'s examples come again."""


def examples_at(seed: int, step: int) -> Tensor:
    """Which of ``again``'s examples the batch of ``step`` holds, (BATCH,): each once an epoch."""
    epoch, place = divmod(step, EPOCH)
    order = np.random.default_rng((seed, epoch)).permutation(EPOCH * BATCH)
    return torch.from_numpy(order[place * BATCH : (place + 1) * BATCH])


@cache
def fixed(seed: int, count: int) -> tuple[Pair, ...]:
    """The first batches of a seed that no run trains on, drawn once: nobody writes to them."""
    return tuple(batch_at(seed, i) for i in range(count))


def again_at(seed: int, step: int) -> Pair:
    """``batch_at`` of as many fixed examples as an epoch has."""
    x, y = (torch.cat(each) for each in zip(*fixed(9, EPOCH), strict=True))
    ids = examples_at(seed, step)
    return x[ids], y[ids]


def shrink(batch: Pair, share: float) -> Pair:
    """The last of an example's features, which its value does not depend on, are left out."""
    x, y = batch
    kept = max(3, round(share * FEATURES))
    return torch.cat((x[:, :kept], torch.zeros_like(x[:, kept:])), dim=1), y


def loss(model: nn.Module, batch: Pair) -> Tensor:
    """Mean squared error."""
    x, y = batch
    return functional.mse_loss(model(x), y)


def evaluate(model: nn.Module) -> float:
    """Mean squared error of the points of eight batches that no run trains on."""
    device = next(model.parameters()).device
    x, y = (torch.cat(each).to(device) for each in zip(*fixed(2**31, 8), strict=True))
    with torch.no_grad():
        return float(loss(model, (x, y)))


def make_optimizer(model: nn.Module) -> Optimizer:
    """AdamW with weight decay, so that a frozen parameter which moves is seen."""
    return AdamW(model.parameters(), lr=1e-2, weight_decay=0.1, fused=True)


def tiny(*, steps: int = 20, target: float | Literal["auto"] = "auto") -> Workload:
    """Train a four-block residual MLP on a synthetic regression for ``steps`` steps.

    It is evaluated every five steps.
    """
    return Workload(
        name="tiny",
        make_model=make_model,
        blocks=blocks,
        batch_at=batch_at,
        loss=loss,
        evaluate=evaluate,
        make_optimizer=make_optimizer,
        steps=steps,
        eval_every=5,
        warmup_steps=2,
        target=target,
        fingerprint="tiny",
    )


def again() -> Workload:
    """``tiny`` on fixed examples in several epochs, which may be made smaller: all levers go."""
    return replace(
        tiny(),
        name="again",
        batch_at=again_at,
        examples_at=examples_at,
        shrink=shrink,
        fingerprint="again",
    )


def scored() -> Workload:
    """``tiny`` with a score that is to be maximised: one less its error."""
    return replace(
        tiny(),
        name="scored",
        evaluate=lambda model: float(1 - evaluate(model)),
        metric="score",
        maximize=True,
    )


def weight(model: nn.Module) -> float:
    """The sum of the head's weights, which every step changes."""
    head = model.get_submodule("head")
    return float(sum(float(p.detach().sum()) for p in head.parameters()))


METRICS: dict[str, Callable[[nn.Module], float]] = {
    "error": evaluate,
    "Weight, drawn": lambda model: weight(model) + float(torch.rand(())),
}
"""Further metrics: what ``evaluate`` measures again, and one that draws."""


def metered() -> Workload:
    """``tiny`` with further metrics, one of which is never finite."""
    return replace(
        tiny(), name="metered", metrics={**METRICS, "never": lambda model: weight(model) * math.nan}
    )


def score_negated() -> Workload:
    """What a user without ``maximize`` does: the negative of the same score as a loss."""
    score = scored().evaluate
    return replace(tiny(), name="scored", evaluate=lambda model: -score(model))


def score_becomes(value: float) -> Workload:
    """``scored`` with ``value`` as what every evaluation of a trained model returns."""
    return replace(scored(), evaluate=lambda model: float(value), target=0.5)


def score_nan() -> Workload:
    """``scored``, not a number from the first evaluation on."""
    return score_becomes(math.nan)


def score_infinite() -> Workload:
    """``scored``, infinite from the first evaluation on."""
    return score_becomes(math.inf)


def _with_fault(name: str, fault: Callable[[int, Pair], Pair]) -> Workload:
    """``tiny`` with each batch passed through ``fault(step, batch)``."""
    return replace(
        tiny(target=1.0),
        name=name,
        batch_at=lambda seed, step: fault(step, batch_at(seed, step)),
        fingerprint=name,
    )


def raises_at_step(at: int = FAULT_STEP) -> Workload:
    """Raise RuntimeError when the batch of step ``at`` is asked for."""

    def fault(step: int, batch: Pair) -> Pair:
        if step == at:
            raise RuntimeError(f"no batch at step {step}")
        return batch

    return _with_fault("raises_at_step", fault)


def nan_loss(at: int = FAULT_STEP) -> Workload:
    """Make the training loss of step ``at`` NaN."""
    return _with_fault(
        "nan_loss", lambda step, batch: (batch[0], batch[1] * math.nan) if step == at else batch
    )


def infinite_loss(at: int = FAULT_STEP) -> Workload:
    """Make the training loss of step ``at`` infinite."""
    return _with_fault(
        "infinite_loss",
        lambda step, batch: (batch[0], batch[1] + math.inf) if step == at else batch,
    )


def out_of_memory(at: int = FAULT_STEP) -> Workload:
    """Raise MemoryError at step ``at``."""

    def fault(step: int, batch: Pair) -> Pair:
        if step == at:
            raise MemoryError("no memory for a batch")
        return batch

    return _with_fault("out_of_memory", fault)


def dies(at: int = FAULT_STEP) -> Workload:
    """End the process at step ``at`` without a word, as the kernel does when memory runs out."""

    def fault(step: int, batch: Pair) -> Pair:
        if step == at:
            os._exit(137)
        return batch

    return _with_fault("dies", fault)


def hangs(at: int = FAULT_STEP) -> Workload:
    """Sleep from step ``at`` on while the file that ``TINY_HANG_FILE`` names exists.

    Without the file, it trains.
    """

    def fault(step: int, batch: Pair) -> Pair:
        flag = os.environ.get(HANG_FILE)
        while step >= at and flag and Path(flag).exists():
            time.sleep(0.05)
        return batch

    return _with_fault("hangs", fault)


def not_a_workload() -> dict[str, int]:
    """Return the wrong thing."""
    return {"steps": 20}
