"""A workload's examples for the loaders of other loops."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from torch.utils.data import IterableDataset, default_collate, get_worker_info

from models.application.batches import OfSeed, Stream, batch_size, example
from models.batches import Batch, same_values
from models.workload import Workload


class TrialOrder(IterableDataset[Any]):
    """The examples that a trial sees, one by one in its order and without end.

    A loader of the trial's batch size gives the trial's batches: ``Trainer`` takes it for its data
    set, ``DataLoader(TrialOrder(workload, seed), batch_size=8)`` is one for Lightning.

    Args:
        workload: whose batches hold examples along the first dimension of their tensors.
        seed: the trial's.
        batch_factor: what a step of the trial takes, in batches of the workload
            (``recipe.batch_factor``): texts are padded to those of their own step.

    Attributes:
        batch_factor: the same.
    """

    def __init__(self, workload: Workload, seed: int = 0, batch_factor: float = 1.0) -> None:
        self._batches = OfSeed(workload.batch_at, seed)
        self.batch_factor = batch_factor

    def __iter__(self) -> Iterator[Any]:
        """One example after the other.

        Raises:
            ValueError: several loader processes ask, of which each would give all of them; a
                batch is of another size, from which on a loader's batches would not be the trial's;
                or torch's own collate makes another thing of the examples than their batch.
        """
        found = get_worker_info()
        if found is not None and found.num_workers > 1:
            raise ValueError(
                "examples in a trial's order must come from one process, but got "
                f"num_workers={found.num_workers}: give the loader 0 or 1"
            )
        stream, whole = Stream(self._batches), 0
        for step in itertools.count():
            batch = stream.take(step * Fraction(self.batch_factor), self.batch_factor)
            rows = batch_size(batch)
            examples = [example(batch, row, rows) for row in range(rows)]
            if step == 0:
                whole = rows
                _refuse_others(batch, examples)
            if rows != whole:
                raise ValueError(
                    "examples in a trial's order must come in batches of one size, but batch "
                    f"{step} has {rows} and the first {whole}: bring a DataLoader with "
                    "drop_last=True, or train with the workload's batch_at in a plain loop"
                )
            yield from examples


def _refuse_others(batch: Batch, examples: list[Any]) -> None:
    """Raise where a loader would make something else of a batch's examples.

    Raises:
        ValueError: it would; something in the batch belongs to no one example.
    """
    try:
        stacked = same_values(batch, default_collate(examples))
    except (TypeError, ValueError, RuntimeError):
        stacked = False
    if not stacked:
        raise ValueError(
            "examples in a trial's order must make their batch by torch's own collate, but of "
            "batch 0 they make another: something in it belongs to no one example, or is no "
            "tensor; train with the workload's batch_at in a plain loop"
        )
