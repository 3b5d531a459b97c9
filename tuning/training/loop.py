"""The training loop: one run of one workload under one policy, on the solo clock.

Everything that decides what happens next (progress, learning rate, the policy's fractions, when to
stop) is read off the ledger and the calibrated cost table, never off a wall clock, so a run is the
same whatever ran beside it. A run that is stopped anywhere, saved with ``state_dict`` and loaded
into a new ``TrainingRun`` equals the straight run.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, Protocol, cast

import torch
from torch import nn

from models.application.averages import Average
from models.application.batches import Stream
from models.application.optimizers import Rates, make_optimizer
from models.application.prefix import Prefix, Visit
from models.batches import to_device
from models.levers.cached_prefix import CachedPrefix
from models.levers.depth import Depth
from models.levers.form import PLAIN, Form
from models.levers.levers import NO_LEVERS, Levers
from models.levers.optimizer import Optimization
from models.levers.planning import planned
from models.levers.shaping import Shaped, carry_moments, resting
from models.making import blocks_of, new_model, new_optimizer
from models.workload import Workload
from policies.apply import BlockUpdater, Step, trace_parts
from policies.base import UpdatePolicy, state_to_json
from tuning.training.attributes import Attributes, Path, restore
from tuning.training.encoding import PLAINLY, decode
from tuning.training.generators import (
    EVALUATION_SEED,
    generators_kept,
    generators_state,
    seed_all,
    set_generators,
)
from tuning.trial.clock import CostTable
from tuning.trial.course import Course, Timetable
from tuning.trial.metric import Metric
from tuning.trial.record import Measurements
from tuning.trial.replay import Standing
from tuning.trial.trial import CurvePoint

FITTED_ON = 8
"""Batches on which an approximation sees the inputs of the layers it replaces."""


class NonFiniteLossError(ArithmeticError):
    """The training or validation loss became NaN or infinite; the message names the step."""


def evaluate(workload: Workload, model: nn.Module) -> float:
    """Validation loss of ``model`` in evaluation mode without gradients; the mode is put back.

    So are the process's generators: what is drawn here changes nothing of the training. Of a metric
    to be maximised it is the negative: of all that is called a loss lower is better.

    What is compiled for training is not compiled again for this: evaluation is off the clock.
    """
    with generators_kept(), resting(model), torch.compiler.set_stance("force_eager"):
        seed_all(EVALUATION_SEED)
        return Metric.measured_by(workload).loss(float(workload.evaluate(model)))


def fitting_batches(workload: Workload, model: nn.Module, seed: int, step: int) -> None:
    """Run ``model`` on the last batches before ``step``, or the first, for its layers' inputs."""
    device = next(model.parameters()).device
    first = max(0, step - FITTED_ON)
    for index in range(first, first + FITTED_ON):
        workload.loss(model, to_device(workload.batch_at(seed, index), device))


def shown(workload: Workload, stream: Stream, position: Fraction, form: Form) -> Any:
    """The batch of a step in ``form`` that begins at ``position`` of the stream.

    Raises:
        ValueError: the workload's batches cannot be cut, joined or made smaller so.
    """
    batch = stream.take(position, form.batch)
    if form.input == 1:
        return batch
    if workload.shrink is None:
        raise ValueError(f"workload {workload.name!r} must have shrink for smaller examples")
    return workload.shrink(batch, form.input)


class Recorder(Protocol):
    """What a run is watched by: a trunk's, or a trial's that others may repeat."""

    def before(self, step: int, snapshot: Callable[[], dict[str, Any]]) -> None:
        """A step is about to be taken."""

    def after_backward(
        self, loss: float, update: Step, relevance: Callable[[str], tuple[float, ...]]
    ) -> None:
        """Its gradients are there, and ``update`` has observed.

        ``relevance(metric)`` reads one score a block.
        """

    def finish(self, evaluations: Mapping[int, float]) -> None:
        """The run is over; its validation losses by step."""

    def state_dict(self) -> dict[str, Any]:
        """What was recorded so far."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on recording where ``state`` was taken."""


def timetable(workload: Workload) -> Timetable:
    """The numbers of a workload that a run's course depends on."""
    return Timetable(
        workload.steps, workload.eval_every, workload.warmup_steps, workload.decay_fraction
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

    # A recipe's policy and levers come apart here, as benchmarks train policies that have no name.
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
        self._workload, self._seed, self._device = workload, seed, device
        self._policy = planned(policy, levers, costs.num_blocks, seed)
        self._course = Course(timetable(workload), costs, horizon, levers)
        self._stream = Stream(partial(workload.batch_at, seed))
        ids = workload.examples_at
        self._ids = None if ids is None else Stream(partial(ids, seed))
        self._model = new_model(workload, seed, device)
        self._shaped = Shaped(self._model, workload.blocks, PLAIN)
        self._average = Average(self._model)
        self._cached, self._prefix = levers.of(CachedPrefix), cast(Prefix | None, None)
        self._optimization = levers.of(Optimization)
        self._stage_of = levers.of(Depth).stage_of(costs.num_blocks)
        self._equip()
        self._attributes = Attributes(self._model, self._optimizer)
        self.recorder = recorder

    def _equip(self) -> None:
        """Make the optimizer and the updater for the modules that the model now has."""
        blocks = blocks_of(self._workload, self._model)
        own = new_optimizer(self._workload, self._model)
        self._optimizer = make_optimizer(
            self._model, blocks, own, self._optimization, self._stage_of
        )
        self._rates = Rates(self._optimizer)
        batch = to_device(self._workload.batch_at(self._seed, 0), self._device)
        places = trace_parts(self._model, blocks, lambda: self._workload.loss(self._model, batch))
        self._updater = BlockUpdater(
            self._model, blocks, self._policy, self._optimizer, stem=places
        )

    @property
    def model(self) -> nn.Module:
        """The model being trained."""
        return self._model

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
        step = self.steps
        form = self._course.form
        if form.lasting != self._shaped.form:
            self._change(form.lasting)
        if self.recorder is not None:
            self.recorder.before(step, self.snapshot)
        self._rates.set(self._course.rate_factor, self._course.rate_of_stage)
        batch = self._batch(form)
        with (
            self._updater.step(fraction=self._course.fraction) as update,
            self._shaped.computing(),
            self._prefix_kept(form) as visit,
        ):
            loss = self._workload.loss(self._model, batch)
            self._check_finite(loss.item(), "training loss", step)
            loss.backward()  # type: ignore[no-untyped-call]
            update.observe(loss)
            if self.recorder is not None:
                self.recorder.after_backward(loss.item(), update, self._updater.read_relevance)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._course.step(update.plan, cached=visit.served, kept=visit.kept)
        if self._course.average_weight is not None:
            self._average.take(self._course.average_weight)
        if self._course.evaluation_due:
            self._evaluate()

    def _batch(self, form: Form) -> Any:
        """What the next step sees, on the device."""
        return to_device(
            shown(self._workload, self._stream, self._course.position, form), self._device
        )

    def _prefix_kept(self, form: Form) -> contextlib.AbstractContextManager[Visit]:
        """The next step's forward, its prefix kept or served while the lever says so."""
        lever = self._cached
        if not lever.on or form.input != 1 or self._course.fraction >= lever.prefix_until:
            self._prefix = None
            return contextlib.nullcontext(Visit())
        if self._ids is None:
            raise ValueError(
                f"workload {self._workload.name!r} must have examples_at for a prefix to be kept"
            )
        if self._prefix is None:
            self._prefix = Prefix(blocks_of(self._workload, self._model), lever)
        return self._prefix.around(self._ids.take(self._course.position, form.batch))

    def _change(self, form: Form) -> None:
        """Bring the model into ``form``; what stays keeps its moments, and the policy its state."""
        before, policy_state = self._optimizer, self._updater.state_dict()
        self._updater.close()
        self._shaped.change(
            form, lambda: fitting_batches(self._workload, self._model, self._seed, self.steps)
        )
        self._equip()
        carry_moments(before, self._optimizer)
        self._updater.load_state_dict(policy_state)

    def _evaluate(self) -> None:
        averaged = self._average.in_place() if self._course.averages else contextlib.nullcontext()
        with averaged:
            loss = evaluate(self._workload, self._model)
        metric = Metric.measured_by(self._workload)
        self._check_finite(metric.of(loss), metric.name, self.steps)
        self._course.evaluated(loss)

    @staticmethod
    def _check_finite(loss: float, what: str, step: int) -> None:
        if not math.isfinite(loss):
            raise NonFiniteLossError(f"{what} became {loss} at step {step}")

    def snapshot(self) -> dict[str, Any]:
        """What a run at this step has whatever its policy is: weights, moments, random state, and
        what the model and the optimizer keep outside of their own.
        """
        state = {
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            **generators_state(self._device),
        }
        attributes = self._attributes.state(self._model, self._optimizer)
        return {
            **{name: PLAINLY.encode(part, name) for name, part in state.items()},
            "attributes": attributes,
        }

    def unsaved(self) -> list[Path]:
        """Paths of what changed since the run began and no snapshot can hold."""
        changed = self._attributes.changed(self._model, self._optimizer)
        return [leaf.path for leaf in changed if not leaf.saveable]

    def state_dict(self) -> dict[str, Any]:
        """Everything the run needs to go on elsewhere: tensors and JSON values only."""
        recorded = {} if self.recorder is None else {"recorder": self.recorder.state_dict()}
        return {
            **self.snapshot(),
            "updater": self._updater.state_dict(),
            "course": self._course.state_dict(),
            "average": self._average.state_dict(),
            "prefix": None if self._prefix is None else self._prefix.state_dict(),
            **recorded,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where ``state`` was taken, in a run that has not begun."""
        form = Form(**state["course"]["form"])
        if form != self._shaped.form:
            self._updater.close()
            self._shaped = Shaped(self._model, self._workload.blocks, form)
            self._equip()
        self._load_snapshot(state)
        self._updater.load_state_dict(state["updater"])
        self._course.load_state_dict(state["course"])
        self._average.load_state_dict(state["average"])
        if state["prefix"] is not None:
            self._prefix = Prefix(blocks_of(self._workload, self._model), self._cached)
            self._prefix.load_state_dict(state["prefix"])
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
        self._load_snapshot(snapshot)
        blocks = range(len(blocks_of(self._workload, self._model)))
        trained = {
            "step": standing.step,
            "previous": tuple(blocks),
            "state": state_to_json(standing.state),
        }
        self._updater.load_state_dict({**self._updater.state_dict(), **trained})

    def _load_snapshot(self, state: dict[str, Any]) -> None:
        restore(state.get("attributes", []), self._model, self._optimizer)
        self._model.load_state_dict(decode(state["model"]))
        self._optimizer.load_state_dict(decode(state["optimizer"]))
        set_generators(state, self._device)
