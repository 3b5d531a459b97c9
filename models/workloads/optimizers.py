"""The optimizer of the embedded workloads."""

from __future__ import annotations

from torch import nn
from torch.optim import AdamW, Optimizer


def fused_adamw(
    model: nn.Module,
    learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.95),
) -> Optimizer:
    """AdamW in one kernel: its plain form takes as long as a block of these small models."""
    return AdamW(
        model.parameters(),
        lr=learning_rate,
        betas=betas,
        weight_decay=weight_decay,
        fused=True,
    )
