"""Further optimizers in the place of a workload's own: who is compared with whom, at what cost."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import nn
from torch.optim import SGD, Optimizer

from benchmarks.quality.optimizers import muon, own, table
from models.workload import Workload
from tests.support import tiny


class Idle(SGD):
    """Trains nothing."""

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        """Leave all weights where they are."""


def idle(workload: Workload, factor: float) -> Workload:
    """An optimizer that is worse than any, whatever is to be had more or less of."""

    def made(model: nn.Module) -> Optimizer:
        return Idle(model.parameters(), lr=factor)

    return replace(workload, make_optimizer=made)


def test_all_are_compared_with_the_first_on_the_same_seeds() -> None:
    """Nothing is less than itself; what does not train ends higher, also where more is better."""
    torch.set_num_threads(1)
    kinds = {"own": own, "Muon": muon, "idle": idle}
    for workload in (tiny.tiny(), tiny.scored()):
        first, second, third = table(workload, kinds, range(2, 4), (1.0, 2.0), 2)
        assert (first["a step"], first["steps"], first["less own"]) == (1.0, workload.steps, 0.0)
        assert third["less own"] > 0.0
        assert second["n"] == 2
        assert math.isfinite(second["loss"])


def test_the_factor_is_the_best_of_those_tried() -> None:
    """A rate of nearly nothing is never it."""
    [row] = table(tiny.tiny(), {"own": own}, range(2, 3), (1e-3, 1.0), 1)
    assert row["factor"] == 1.0
