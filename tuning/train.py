"""The training loop: one run of one workload under one policy, on the solo clock.

Everything that decides what happens next (progress, learning rate, the policy's fractions, when to stop) is read off
the ledger and the calibrated cost table, never off a wall clock, so a run is the same whatever ran beside it. A run
that is stopped anywhere, saved with ``state_dict`` and loaded into a new ``TrainingRun`` equals the straight run.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from models.workload import Batch, Workload
from policies.apply import BlockUpdater
from policies.base import UpdatePolicy
from tuning.clock import CostTable, Ledger, baseline_seconds, charge
from tuning.learning_rate import wsd_factor
from tuning.outcome import Measurements
from tuning.trial import CurvePoint, Decision

FINISHED = 1 - 1e-9
"""A horizon counts as spent a rounding error short of it: 0.75 · (N · c) and (0.75 · N) · c can differ by an ulp."""


class NonFiniteLossError(ArithmeticError):
    """The training or validation loss became NaN or infinite; the message names the step."""


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with every tensor in it (in tuples, lists and dicts too) on ``device``."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return type(batch)(to_device(value, device) for value in batch)
    return batch


def evaluate(workload: Workload, model: nn.Module) -> float:
    """Validation loss of ``model``, measured in evaluation mode without gradients; the mode is put back."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return float(workload.evaluate(model))
    finally:
        model.train(was_training)


class TrainingRun:
    """One run, advanced a step at a time.

    Args:
        workload: what to train.
        policy: which blocks are updated when.
        seed: of the initial weights, the batches and dropout.
        horizon: how long to train, as a fraction of the full-update baseline's solo seconds.
        costs: the calibrated clock.
        device: where to train.

    Raises:
        NonFiniteLossError: from ``advance``, when a loss is not finite.

    """

    def __init__(
        self,
        workload: Workload,
        policy: UpdatePolicy[Any],
        *,
        seed: int,
        horizon: float,
        costs: CostTable,
        device: torch.device,
    ) -> None:
        torch.manual_seed(seed)
        self._workload, self._seed, self._costs, self._device = workload, seed, costs, device
        self._horizon_seconds = horizon * baseline_seconds(costs, workload.steps)
        self._model = workload.make_model(seed).to(device)
        self._optimizer = workload.make_optimizer(self._model)
        self._peak_rates = [float(group["lr"]) for group in self._optimizer.param_groups]
        self._updater = BlockUpdater(self._model, list(workload.blocks(self._model)), policy, self._optimizer)
        self._ledger = Ledger()
        self._curve: list[CurvePoint] = []
        self._decisions: list[Decision] = []

    @property
    def model(self) -> nn.Module:
        """The model being trained."""
        return self._model

    @property
    def steps(self) -> int:
        """Steps taken so far."""
        return self._ledger.steps

    @property
    def fraction(self) -> float:
        """Share of the horizon spent, in solo seconds."""
        return charge(self._costs, self._ledger).train_seconds / self._horizon_seconds

    @property
    def finished(self) -> bool:
        """Whether the horizon is spent."""
        return self.fraction >= FINISHED

    def measurements(self) -> Measurements:
        """What has been measured so far."""
        ledger = Ledger(dict(self._ledger.steps_at_depth), self._ledger.probes)
        return Measurements(ledger, tuple(self._curve), tuple(self._decisions))

    def advance(self) -> None:
        """Train one step; evaluate if one is due (every ``eval_every`` steps and after the last)."""
        step, fraction = self.steps, min(self.fraction, 1.0)
        self._set_learning_rate(step, fraction)
        batch = to_device(self._workload.batch_at(self._seed, step), self._device)
        with self._updater.step(fraction=fraction) as update:
            loss = self._workload.loss(self._model, batch)
            self._check_finite(loss.item(), "training loss", step)
            loss.backward()  # type: ignore[no-untyped-call]
            update.observe(loss)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._note(step, update.plan.active_blocks, update.plan.probe, update.plan.phase)
        if self.finished or self.steps % self._workload.eval_every == 0:
            self._evaluate()

    def _set_learning_rate(self, step: int, fraction: float) -> None:
        factor = wsd_factor(
            step,
            fraction,
            warmup_steps=self._workload.warmup_steps,
            decay_fraction=self._workload.decay_fraction,
        )
        for group, peak in zip(self._optimizer.param_groups, self._peak_rates, strict=True):
            group["lr"] = peak * factor

    def _note(self, step: int, active: tuple[int, ...], probe: bool, phase: str) -> None:
        # The clock is calibrated for suffixes; for any other set a charge would be a guess.
        if active != tuple(range(self._costs.num_blocks - len(active), self._costs.num_blocks)):
            raise ValueError(f"the clock charges suffixes (the top blocks) only, but got blocks {active}")
        self._ledger.record(len(active), probe=probe)
        if not self._decisions or (self._decisions[-1].active_blocks, self._decisions[-1].phase) != (
            len(active),
            phase,
        ):
            self._decisions.append(Decision(step, len(active), phase))

    def _evaluate(self) -> None:
        loss = evaluate(self._workload, self._model)
        self._check_finite(loss, "validation loss", self.steps)
        seconds = charge(self._costs, self._ledger).train_seconds
        self._curve.append(CurvePoint(self.steps, seconds, loss))

    @staticmethod
    def _check_finite(loss: float, what: str, step: int) -> None:
        if not math.isfinite(loss):
            raise NonFiniteLossError(f"{what} became {loss} at step {step}")

    def state_dict(self) -> dict[str, Any]:
        """Everything the run needs to go on elsewhere: tensors and JSON values only."""
        cuda = self._device.type == "cuda"
        return {
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "updater": self._updater.state_dict(),
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self._device) if cuda else None,
            "ledger": asdict(self._ledger),
            "curve": [asdict(point) for point in self._curve],
            "decisions": [asdict(decision) for decision in self._decisions],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where ``state`` was taken."""
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._updater.load_state_dict(state["updater"])
        torch.set_rng_state(state["rng"])
        if state["cuda_rng"] is not None:
            torch.cuda.set_rng_state(state["cuda_rng"], self._device)
        self._ledger = Ledger(**state["ledger"])
        self._curve = [CurvePoint(**point) for point in state["curve"]]
        self._decisions = [Decision(**decision) for decision in state["decisions"]]
