"""A classifier with two knobs of its own, which every space then searches beside its own.

python -m tuning.check  --workload examples/own_knobs.py:make
python -m tuning.search --workload examples/own_knobs.py:make --run runs/knobs
"""

from __future__ import annotations

from typing import Annotated

import torch
from sklearn.datasets import load_digits
from torch import nn

from models.adapters import Examples, accuracy, bring, supervised
from models.knobs import Choice, Float
from models.workload import Workload


def make(
    *,
    dropout: Annotated[float, Float(0.0, 0.5, changes_cost=False)] = 0.1,
    width: Annotated[int, Choice((32, 64, 128), meaning="units of a layer")] = 64,
) -> Workload:
    """Which digit a picture shows."""
    digits = load_digits()
    rows = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)

    def net() -> nn.Module:
        layers = ([nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout)] for _ in range(4))
        blocks = [nn.Sequential(*each) for each in layers]
        return nn.Sequential(nn.Linear(64, width), *blocks, nn.Linear(width, 10))

    loss = supervised(nn.functional.cross_entropy)
    data = Examples(rows, held_out=0.3, batch_size=64)
    return bring("own_knobs", net, data, steps=200, optimizer=2e-3, loss=loss, score=accuracy)
