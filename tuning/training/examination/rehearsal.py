"""A few steps of a workload, trained as a trial trains them, to be compared with the same ones
trained again.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from models.workload import Workload
from policies.apply import Step
from policies.full_update import FullUpdate
from tuning.training.generators import generators_state
from tuning.training.loop import TrainingRun
from tuning.trial.clock import CostTable
from tuning.trial.record import Measurements

SEED = 0
WHOSE = {
    "rng": "torch's",
    "cuda_rng": "CUDA's",
    "python_rng": "Python's",
    "numpy_rng": "NumPy's",
}
"""Generators, as a message names them."""


@dataclass(frozen=True)
class Plan:
    """How a rehearsal goes; the same in every process.

    Attributes:
        blocks: how many blocks the model has.
        steps: how many steps are trained.
        saved_at: the step before which the run is saved.
        eval_every: steps between evaluations.
    """

    blocks: int
    steps: int
    saved_at: int
    eval_every: int

    @classmethod
    def of(cls, workload: Workload, blocks: int) -> Plan:
        """Six steps, or as many as there are, saved halfway and evaluated once after that."""
        steps = min(6, workload.steps)
        return cls(blocks, steps, steps // 2, steps // 2 + 1)


@dataclass
class Heard:
    """A recorder that keeps losses; see ``tuning.training.loop.Recorder``."""

    losses: list[float] = field(default_factory=list)

    def before(self, step: int, snapshot: Callable[[], dict[str, Any]]) -> None:
        """Do nothing."""

    def after_backward(
        self, loss: float, update: Step, relevance: Callable[[str], tuple[float, ...]]
    ) -> None:
        """Note the step's loss."""
        self.losses.append(loss)

    def finish(self, measured: Measurements) -> None:
        """Do nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Empty: only what is heard from now on is compared."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing."""


class Rehearsal:
    """One run of the plan's steps.

    Attributes:
        run: the training.
        start: a digest of the weights and buffers it began with.
        drawn: the state of each of the process's generators after the last training, by name.
    """

    def __init__(self, workload: Workload, plan: Plan, device: torch.device) -> None:
        longer = max(plan.steps + 1, workload.warmup_steps)  # one is left: no evaluation at the end
        own = dataclasses.replace(workload, steps=longer, eval_every=plan.eval_every)
        self._plan, self._heard, self._device = plan, Heard(), device
        self.run = TrainingRun(
            own,
            FullUpdate(),
            seed=SEED,
            horizon=1.0,
            costs=_steps_alone(plan.blocks),
            device=device,
            recorder=self._heard,
        )
        self.start = digest(self.run.model)
        self.drawn: dict[str, str] = {}

    def train(self, until: int | None = None) -> None:
        """Train up to a step, by default to the plan's end."""
        while self.run.steps < (self._plan.steps if until is None else until):
            self.run.advance()
        state = generators_state(self._device)
        self.drawn = {WHOSE[key]: _mark_of_state(value) for key, value in state.items()}

    @property
    def losses(self) -> list[float]:
        """Training losses of the steps that this process took."""
        return self._heard.losses

    @property
    def evaluations(self) -> dict[int, float]:
        """Validation losses by step, including those from before a load."""
        return {point.step: point.val_loss for point in self.run.curve}


def _mark_of_state(state: Any) -> str:
    if isinstance(state, Mapping):
        state = {key: _mark_of_state(value) for key, value in state.items()}
    plain = state.tolist() if hasattr(state, "tolist") else state
    return f"{zlib.crc32(repr(plain).encode()):08x}"


def _steps_alone(blocks: int) -> CostTable:
    """A clock on which a step takes a second, so that a horizon is a number of steps."""
    depths = dict.fromkeys(range(1, blocks + 1), 1.0)
    return CostTable(blocks, depths, depths, 0.0, 0.0, 0.0, 0.0, "none", 1)


def digest(model: nn.Module) -> str:
    """A digest of every weight and buffer, to the bit."""
    found = 0
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.layout is torch.strided and not tensor.is_meta:
            raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
            found = zlib.crc32(raw.tobytes(), zlib.crc32(name.encode(), found))
    return f"{found:08x}"
