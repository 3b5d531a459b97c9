"""A small model whose steps take a share of the card's memory beside, as a knob says: who takes
more than a trial's cap must fail alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from torch import Tensor, nn

from models.batches import Batch
from models.knobs import Choice
from models.workload import Workload
from models.workloads.teacher_student import teacher_student

TOO_MUCH = 0.7


def make(
    *,
    share: Annotated[
        float, Choice((0.0, TOO_MUCH), meaning="of the card's memory", changes_cost=False)
    ] = 0.0,
) -> Workload:
    """The teacher and student, and ``share`` of the card for the time of each loss."""
    plain = teacher_student()

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        device = next(model.parameters()).device
        if share and device.type == "cuda":
            size = share * torch.cuda.get_device_properties(device).total_memory
            torch.empty(int(size), dtype=torch.uint8, device=device)
        return plain.loss(model, batch)

    return replace(plain, name="hungry", loss=loss)
