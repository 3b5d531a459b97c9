"""What is trained: a workload is everything about a task that a training loop must be told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Batch = Any
"""A tensor, or a tuple, list or dict of tensors, on the CPU.

The training loop moves it to the device.
"""


@dataclass(frozen=True)
class Workload:
    """A task to train, by indexed batches, so that a run can be stopped, resumed or forked at any
    step.

    Attributes:
        name: as given to ``--workload``.
        make_model: seed -> model on the CPU, in training mode; the same seed gives the same weights
            to the bit.
        blocks: model -> its blocks in forward order (the units a policy may freeze).
        batch_at: (seed, step) -> the batch of that step; a pure function of its arguments.
        loss: (model, batch) -> scalar tensor to minimise.
        evaluate: model -> validation loss, lower is better; deterministic; called in evaluation
            mode.
        make_optimizer: model -> optimizer with its peak learning rates.
        steps: steps of the full-update baseline (a horizon of 1.0).
        eval_every: steps between evaluations; the last step is always evaluated.
        warmup_steps: steps of linear warm-up. Counted in steps, so that it is the same for every
            horizon.
        decay_fraction: last share of the horizon over which the learning rate falls linearly to
            zero.
        target: the loss that counts as reached, or ``auto``: the median final loss of full_update
            over seeds.
        fingerprint: identifies the data (a hash of the corpus), stored with the run.

    Raises:
        ValueError: a number is out of range; the message names every one that is.
    """

    name: str
    make_model: Callable[[int], nn.Module]
    blocks: Callable[[nn.Module], Sequence[nn.Module]]
    batch_at: Callable[[int, int], Batch]
    loss: Callable[[nn.Module, Batch], Tensor]
    evaluate: Callable[[nn.Module], float]
    make_optimizer: Callable[[nn.Module], Optimizer]
    steps: int
    eval_every: int
    warmup_steps: int = 0
    decay_fraction: float = 0.2
    target: float | Literal["auto"] = "auto"
    fingerprint: str = ""

    def __post_init__(self) -> None:
        """Refuse numbers no run could use."""
        rules = {
            f"steps >= 1 must hold, but got steps={self.steps}": self.steps >= 1,
            f"eval_every >= 1 must hold, but got eval_every={self.eval_every}": self.eval_every
            >= 1,
            f"0 <= warmup_steps <= steps must hold, but got warmup_steps={self.warmup_steps}": (
                0 <= self.warmup_steps <= self.steps
            ),
            f"0 <= decay_fraction <= 1 must hold, but got decay_fraction={self.decay_fraction}": (
                0 <= self.decay_fraction <= 1
            ),
        }
        if faults := [message for message, holds in rules.items() if not holds]:
            raise ValueError(f"workload {self.name!r}: " + "; ".join(faults))


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with every tensor in it (in tuples, lists and dicts too) on ``device``."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return type(batch)(to_device(value, device) for value in batch)
    return batch
