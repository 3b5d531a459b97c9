"""Whether a model comes with its weights, as one that was trained before does."""

from __future__ import annotations

from models.making import blocks_of, new_model
from models.workload import Workload
from tuning.training.examination.subject import mark_of

SEEDS = (0, 1)


def is_pretrained(workload: Workload) -> bool:
    """Whether the blocks begin with the same weights for every seed; False where one of the seeds
    makes no model.

    A model that seeds itself with a fixed number is taken for a pretrained one. That costs a search
    an order of its first trials that suits it less.
    """
    try:
        first, other = (_marks_of_blocks(workload, seed) for seed in SEEDS)
    except Exception:  # whatever a user's code says of a seed: a trial of that seed will tell
        return False
    return bool(first) and first == other


def _marks_of_blocks(workload: Workload, seed: int) -> list[str]:
    """Marks of the blocks' initial weights. They are compared in place of weights so that only one
    model is in memory at a time.
    """
    blocks = blocks_of(workload, new_model(workload, seed))
    return [mark_of(parameter) for block in blocks for parameter in block.parameters()]
