"""A workload's examples for the loaders of other loops."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info

from models.application.batches import batch_size
from models.batches import map_tensors
from models.workload import Workload


class TrialOrder(IterableDataset[Any]):
    """The examples that a trial sees, one by one in its order and without end.

    A loader of the trial's batch size gives the trial's batches: ``Trainer`` takes it for its data
    set, ``DataLoader(TrialOrder(workload, seed), batch_size=8)`` is one for Lightning.

    Args:
        workload: whose batches hold examples along the first dimension of their tensors.
        seed: the trial's.
    """

    def __init__(self, workload: Workload, seed: int = 0) -> None:
        self._batch_at, self._seed = workload.batch_at, seed

    def __iter__(self) -> Iterator[Any]:
        """One example after the other.

        Raises:
            ValueError: several loader processes ask, of which each would give all of them; or a
                batch is of another size, from which on a loader's batches would not be the trial's.
        """
        found = get_worker_info()
        if found is not None and found.num_workers > 1:
            raise ValueError(
                "examples in a trial's order must come from one process, but got "
                f"num_workers={found.num_workers}: give the loader 0 or 1"
            )
        whole = 0
        for step in itertools.count():
            batch = self._batch_at(self._seed, step)
            rows = batch_size(batch)
            whole = rows if step == 0 else whole
            if rows != whole:
                raise ValueError(
                    "examples in a trial's order must come in batches of one size, but batch "
                    f"{step} has {rows} and the first {whole}: bring a DataLoader with "
                    "drop_last=True, or train with the workload's batch_at in a plain loop"
                )
            for row in range(rows):
                yield map_tensors(batch, operator.itemgetter(row))
