"""A small conv net that tells handwritten digits apart, judged by its accuracy.

python -m tuning.check  --workload examples/conv_digits.py:make
python -m tuning.search --workload examples/conv_digits.py:make --run runs/digits
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from models.adapters import Examples, accuracy, bring, supervised
from models.workload import Workload


class Block(nn.Module):
    """x + relu(norm(conv(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, width, height, width in pixels) -> the same shape."""
        return x + torch.relu(self.norm(self.conv(x)))


def net() -> nn.Module:
    """Pictures (rows, 1, 8, 8) -> logits (rows, 10)."""
    blocks = [Block(32) for _ in range(4)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)]
    return nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), *blocks, *head)


def make() -> Workload:
    """Which digit a picture shows."""
    digits = load_digits()
    pictures = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    return bring(
        "conv_digits",
        model=net,
        data=Examples((pictures, torch.tensor(digits.target)), held_out=0.3, batch_size=64),
        loss=supervised(nn.functional.cross_entropy),
        score=accuracy,
        optimizer=3e-3,
        steps=150,
    )
