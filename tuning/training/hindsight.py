"""What a whole training shows that the few steps of an examination did not.

State that comes late: a queue that begins at the hundredth step, a level that rises once the loss
has fallen. What a snapshot cannot hold is no longer saved from there on; what no model holds goes
on from one training to the next, so after the first whole one a second one is begun and has to go
as the first did.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from models.frames import told
from models.workload import Workload
from policies.full_update import FullUpdate
from tuning.errors import SearchFailed
from tuning.training.examination.again import NOISE, WAY_OUT
from tuning.training.examination.rehearsal import Heard
from tuning.training.loop import TrainingRun
from tuning.trial.clock import CostTable

STEPS = 3
"""Of the second training."""
_MUST = (
    "two trainings from one seed must be the same, but after a whole one in the same process "
    "another"
)
_WHY = (
    "Something that no model holds goes on from one training to the next: a global, what a "
    f"function closes over, a batch that is changed in place, a cache, a file. {WAY_OUT}"
)


def refuse_another_beginning(
    workload: Workload, seed: int, costs: CostTable, device: torch.device, losses: Sequence[float]
) -> None:
    """Begin a training of the workload's own recipe again, in the process that has just ended one.

    Args:
        workload: what was trained.
        seed: on which.
        costs: the clock.
        device: where.
        losses: of the steps of the first training.

    Raises:
        SearchFailed: the second one does not begin as the first did.
    """
    heard = Heard()
    again = TrainingRun(
        workload, FullUpdate(), seed=seed, horizon=1.0, costs=costs, device=device, recorder=heard
    )
    try:
        while again.steps < min(STEPS, len(losses)) and not again.finished:
            again.advance()
    except torch.OutOfMemoryError:
        return  # of the first model some may still be there
    except Exception as fault:
        raise SearchFailed(f"{_MUST} raised {told(fault)}. {_WHY}") from fault
    for step, (first, second) in enumerate(zip(losses, heard.losses, strict=False)):
        apart = abs(first - second) / max(abs(first), abs(second), torch.finfo(torch.float64).tiny)
        if apart > (0.0 if device.type == "cpu" else NOISE):
            raise SearchFailed(
                f"{_MUST} did not begin as it had: the loss of step {step} was {first!r} and then "
                f"{second!r}. {_WHY}"
            )
