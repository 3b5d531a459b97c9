"""The training loop: one run of one workload under one policy, on the solo clock.

Everything that decides what happens next (progress, learning rate, the policy's fractions, when to
stop) is read off the ledger and the calibrated cost table, never off a wall clock, so a run is the
same whatever ran beside it. A run that is stopped anywhere, saved with ``state_dict`` and loaded
into a new ``TrainingRun`` equals the straight run.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, Protocol

import torch
from torch import nn

from models.application.batches import OfSeed, Stream
from models.late_dynamo import uncompiled
from models.levers.form import Form
from models.levers.levers import NO_LEVERS, Levers
from models.levers.shaping import resting
from models.making import blocks_of, new_model, new_optimizer
from models.measuring import loss_of, metric_of, metrics_of
from models.workload import Workload
from policies.apply import Step
from policies.base import UpdatePolicy, state_to_json
from tuning.training import levered
from tuning.training.generators import EVALUATION_SEED, generators_kept, seed_all
from tuning.training.levered import Levered, Subject
from tuning.training.state.paths import Path
from tuning.trial.clock import CostTable
from tuning.trial.course import Course, Timetable
from tuning.trial.metric import Metric
from tuning.trial.record import Measurements
from tuning.trial.replay import Standing
from tuning.trial.trial import CurvePoint


class NonFiniteLossError(ArithmeticError):
    """The training or validation loss became NaN or infinite; the message names the step."""


def evaluate(workload: Workload, model: nn.Module) -> float:
    """Validation loss of ``model``, in evaluation mode and without gradients. The mode is restored
    afterwards.

    So are the process's generators: what is drawn here does not affect the training. For a metric
    to be maximised it is the negative, because lower is better for all that is called a loss.

    What is compiled for training is not compiled again for this: evaluation is off the clock.
    """
    with _evaluating(model):
        return Metric.measured_by(workload).loss(metric_of(workload, model))


def further_metrics(workload: Workload, model: nn.Module) -> dict[str, float]:
    """The workload's further metrics by name, each measured as ``evaluate`` is. Metrics that are
    not finite are left out, and are null in the record.
    """
    with _evaluating(model):
        found = metrics_of(workload, model)
    return {name: value for name, value in found.items() if math.isfinite(value)}


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    with generators_kept(), resting(model), uncompiled():
        seed_all(EVALUATION_SEED)
        yield


def fitting_batches(workload: Workload, model: nn.Module, seed: int, step: int) -> None:
    """Run ``model`` on the last batches before ``step``, or on the first ones, so that its layers
    show their inputs.
    """
    subject_of(workload, model, seed).fitting(step)


def shown(workload: Workload, stream: Stream, position: Fraction, form: Form) -> Any:
    """The batch of a step in ``form`` that begins at ``position`` of the stream.

    Raises:
        ValueError: the workload's batches cannot be cut, joined or made smaller so.
    """
    batch = stream.take(position, form.batch)
    return levered.shown(batch, form, workload.shrink, f"workload {workload.name!r}")


def subject_of(workload: Workload, model: nn.Module, seed: int) -> Subject:
    """A workload's model and data, for one seed."""
    ids = workload.examples_at
    return Subject(
        model,
        blocks=partial(blocks_of, workload),
        own_optimizer=lambda: new_optimizer(workload, model),
        batch_at=OfSeed(workload.batch_at, seed),
        examples_at=None if ids is None else partial(ids, seed),
        shrink=workload.shrink,
        loss=partial(workload.loss, model),
        name=f"workload {workload.name!r}",
    )


class Recorder(Protocol):
    """Records a run while it trains: as a trunk, or as a trial that others may repeat."""

    def before(self, step: int, snapshot: Callable[[], dict[str, Any]]) -> None:
        """Called before each step; ``snapshot`` returns the run's state."""

    def after_backward(
        self, loss: float, update: Step, relevance: Callable[[str], tuple[float, ...]]
    ) -> None:
        """Called once the step's gradients are there and ``update`` has observed the loss.
        ``relevance(metric)`` returns one score for each block.
        """

    def finish(self, measured: Measurements) -> None:
        """Called when the run is over, with its measurements."""

    def state_dict(self) -> dict[str, Any]:
        """What was recorded so far."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on recording where ``state`` was taken."""


def timetable(workload: Workload) -> Timetable:
    """The numbers of a workload that a run's course depends on."""
    return Timetable(
        workload.steps,
        workload.eval_every,
        workload.warmup_steps,
        workload.decay_fraction,
        workload.decay_shape,
    )


class TrainingRun:
    """One run, advanced a step at a time.

    Args:
        workload: what to train.
        policy: which blocks are updated when.
        seed: of the initial weights, the batches and dropout.
        horizon: how long to train, as a fraction of the full-update baseline's solo seconds.
        costs: the calibrated clock.
        device: where to train.
        levers: what is done to the model beside the schedule.
        recorder: told of every step.

    Raises:
        NonFiniteLossError: from ``advance``, when a loss is not finite.
        ValueError: the workload's optimizer cannot be turned as the levers ask; or, from
            ``advance``, the model cannot take a form that they give it.

    """

    # Policy and levers are given apart, because benchmarks train policies that have no name.
    def __init__(
        self,
        workload: Workload,
        policy: UpdatePolicy[Any],
        *,
        seed: int,
        horizon: float,
        costs: CostTable,
        device: torch.device,
        levers: Levers = NO_LEVERS,
        recorder: Recorder | None = None,
    ) -> None:
        seed_all(seed)
        model = new_model(workload, seed, device)
        seed_all(seed)  # dropout, say, does not hang on how many numbers making the model took
        self._workload = workload
        self._course = Course(timetable(workload), costs, horizon, levers)
        self._stream = Stream(OfSeed(workload.batch_at, seed))
        subject = subject_of(workload, model, seed)
        self._levered = Levered(subject, policy, levers, self._course, seed)
        self.recorder = recorder

    @property
    def model(self) -> nn.Module:
        """The model being trained."""
        return self._levered.model

    @property
    def steps(self) -> int:
        """Steps taken so far."""
        return self._course.steps

    @property
    def finished(self) -> bool:
        """Whether the horizon is spent."""
        return self._course.finished

    @property
    def curve(self) -> Sequence[CurvePoint]:
        """The evaluations so far."""
        return self._course.curve

    def measurements(self) -> Measurements:
        """What has been measured so far."""
        return self._course.measurements()

    def advance(self) -> None:
        """Train one step; evaluate every ``eval_every`` steps and after the last."""
        step, run = self.steps, self._levered
        run.prepare()
        if self.recorder is not None:
            self.recorder.before(step, self.snapshot)
        batch = run.batch(self._stream)
        with run.step() as update:
            loss = loss_of(self._workload, run.model, batch)
            self._check_finite(loss.item(), "training loss", step)
            loss.backward()  # type: ignore[no-untyped-call]
            update.observe(loss)
            if self.recorder is not None:
                self.recorder.after_backward(loss.item(), update, run.updater.read_relevance)
        if self._course.evaluation_due:
            self._evaluate()

    def _evaluate(self) -> None:
        with self._levered.averaged():
            loss = evaluate(self._workload, self.model)
            if self.finished:
                # At the end alone: they cost as much as an evaluation each, and no decision reads
                # them.
                self._course.measured(further_metrics(self._workload, self.model))
        metric = Metric.measured_by(self._workload)
        self._check_finite(metric.of(loss), metric.name, self.steps)
        self._course.evaluated(loss)

    @staticmethod
    def _check_finite(loss: float, what: str, step: int) -> None:
        if not math.isfinite(loss):
            raise NonFiniteLossError(f"{what} became {loss} at step {step}")

    def snapshot(self) -> dict[str, Any]:
        """What a run at this step has in common whatever its policy is: weights, moments, random
        state, and what model and optimizer keep outside of their own state.
        """
        return self._levered.snapshot()

    def unsaved(self) -> list[Path]:
        """Paths of what changed since the run began and no snapshot can hold."""
        return self._levered.unsaved()

    def state_dict(self) -> dict[str, Any]:
        """Everything the run needs to go on elsewhere: tensors and JSON values only."""
        recorded = {} if self.recorder is None else {"recorder": self.recorder.state_dict()}
        return {**self._levered.state_dict(), **recorded}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where ``state`` was taken, in a run that has not begun."""
        self._levered.load_state_dict(state)
        if self.recorder is not None:
            self.recorder.load_state_dict(state["recorder"])

    def fork(self, standing: Standing[Any], snapshot: dict[str, Any] | None) -> None:
        """Go on from a trunk's ``snapshot`` as if this run had trained up to there itself.

        Without a snapshot the run is over: it never departed from the trunk, whose measurements are
        its own.
        """
        self._course.load_state_dict(standing.course)
        if snapshot is None:
            return
        self._levered.load_snapshot(snapshot)
        trained = {
            "step": standing.step,
            # The trunk updates all blocks in every step.
            "previous": tuple(range(self._course.num_blocks)),
            "state": state_to_json(standing.state),
        }
        updater = self._levered.updater
        updater.load_state_dict({**updater.state_dict(), **trained})
