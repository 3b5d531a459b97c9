"""A model under a policy and levers, one step at a time: what our loop and a user's share.

Who holds a ``Levered`` brings batches and runs forward and backward; what else a step is (the
form, the rates, which blocks are there and trained, the kept prefix, the average, the clock's
ledger) is done here, so that a recipe in a user's loop cannot differ from the trial it comes from.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from models.application.averages import Average
from models.application.batches import Stream
from models.application.optimizers import Rates, make_optimizer
from models.application.prefix import Prefix, Visit, example_numbers
from models.batches import Batch, to_device
from models.identity import kind_of
from models.left_over import left_over
from models.levers.averaging import Averaging
from models.levers.cached_prefix import CachedPrefix
from models.levers.depth import Depth
from models.levers.form import PLAIN, Form
from models.levers.levers import Levers
from models.levers.optimizer import Optimization
from models.levers.planning import planned
from models.levers.shaping import Shaped, carry_moments
from policies.apply import BlockUpdater, Step, trace_parts
from policies.base import StepPlan, UpdatePolicy
from tuning.training.generators import generators_state, set_generators
from tuning.training.state.attributes import Attributes, Leaf, restore, written
from tuning.training.state.encoding import PLAINLY, decode
from tuning.training.state.paths import Path, told
from tuning.trial.course import Course

FITTED_ON = 8
"""The number of batches on which an approximation sees the inputs of the layers it replaces."""
Shrink = Callable[[Batch, float], Batch]
UNSAVED = "unsaved"
"""The entry of a snapshot with the names of what changed since the run began and no snapshot can
hold. Where there are any, a run that goes on from the snapshot comes out differently.
"""


@dataclass(frozen=True)
class Subject:
    """The model that is trained, and its data.

    Attributes:
        model: changed in place.
        blocks: model -> its blocks in forward order.
        own_optimizer: makes the model's own optimizer for the parameters that it then has.
        batch_at: step -> the batch of that step; None where batches cannot be asked for again.
        examples_at: step -> the ids of the batch's examples; None where they are not known.
        shrink: makes a batch's examples smaller; None where that cannot be done.
        loss: one training forward of a batch; None where only the loop knows.
        name: what messages call it.
    """

    model: nn.Module
    blocks: Callable[[nn.Module], Sequence[nn.Module]]
    own_optimizer: Callable[[], Optimizer]
    batch_at: Callable[[int], Batch] | None = None
    examples_at: Callable[[int], torch.Tensor] | None = None
    shrink: Shrink | None = None
    loss: Callable[[Batch], Any] | None = None
    name: str = "the model"

    @property
    def device(self) -> torch.device:
        """The device that the model is on."""
        return next(self.model.parameters()).device

    def forward(self, number: int) -> Any:
        """Run the model on one batch.

        Raises:
            ValueError: it is not known how, or on what.
        """
        if self.loss is None or self.batch_at is None:
            raise ValueError(f"{self.name} must have batch_at and loss for matrices to be fitted")
        return self.loss(to_device(self.batch_at(number), self.device))

    def fitting(self, step: int) -> None:
        """Run the model on the last batches before ``step``, or on the first ones, so that layers
        show their inputs.
        """
        # The data that the layers have just seen; never batches to come, which training is yet to
        # learn from.
        first = max(0, step - FITTED_ON)
        for number in range(first, first + FITTED_ON):
            self.forward(number)

    @property
    def traceable(self) -> bool:
        """Whether it can be seen before the first step which parts of the model run when."""
        return self.loss is not None and self.batch_at is not None


class Levered:
    """A model in training under a policy and levers.

    Args:
        subject: the model and its data.
        policy: which blocks are updated when.
        levers: what else is done.
        course: where the run stands; this is its only writer.
        seed: of the run, from which layer dropout draws.

    Raises:
        ValueError: the optimizer cannot be turned as the levers ask; or, from ``prepare``, the
            model cannot take a form that they give it.
    """

    def __init__(
        self,
        subject: Subject,
        policy: UpdatePolicy[Any],
        levers: Levers,
        course: Course,
        seed: int,
    ) -> None:
        self.subject, self.course, self.model = subject, course, subject.model
        self._policy = planned(policy, levers, course.num_blocks, seed)
        ids = subject.examples_at
        self._ids = None if ids is None else Stream(lambda step: example_numbers(ids(step)))
        self._shaped = Shaped(self.model, subject.blocks, PLAIN)
        self._average = Average(self.model)
        self._cached: CachedPrefix = levers.of(CachedPrefix)
        self._prefix: Prefix | None = None
        self._taken: tuple[StepPlan, Visit] | None = None  # gradients that are yet to be stepped
        self._optimization = levers.of(Optimization)
        self._averaging = levers.of(Averaging)
        self._stage_of = levers.of(Depth).stage_of(course.num_blocks)
        self._equip()
        self._attributes = Attributes(self.model, self.optimizer)

    def _equip(self) -> None:
        """Make the optimizer and the updater for the modules that the model now has."""
        subject, blocks = self.subject, self.blocks
        with self._shaped.awake():  # factories ask what is to be trained, and moments are kept
            self.optimizer = make_optimizer(
                self.model, blocks, subject.own_optimizer(), self._optimization, self._stage_of
            )
        self._rates = Rates(self.optimizer)
        places = (
            trace_parts(self.model, blocks, lambda: subject.forward(0))
            if subject.traceable
            else None
        )
        self.updater = BlockUpdater(self.model, blocks, self._policy, self.optimizer, stem=places)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The model's blocks in forward order."""
        return self.subject.blocks(self.model)

    def prepare(self) -> Form:
        """Bring the model into the form of the next step, which is returned."""
        form = self.course.form
        if form.lasting != self._shaped.form:
            self._change(form.lasting)
        return form

    def batch(self, stream: Stream) -> Batch:
        """What the next step sees of ``stream``, on the model's device.

        Raises:
            ValueError: its batches cannot be cut, joined or made smaller so.
        """
        form, subject = self.course.form, self.subject
        whole = stream.take(self.course.position, form.batch)
        return to_device(shown(whole, form, subject.shrink, subject.name), subject.device)

    @contextlib.contextmanager
    def step(self, scaler: Any = None) -> Iterator[Step]:
        """Take the next step. Forward, backward and ``observe`` go inside the block; all else is
        done here.

        ``prepare`` has to be called before. If the block raises, weights and course stay where they
        were.

        Args:
            scaler: a ``torch.amp.GradScaler`` by which the loss was multiplied; it steps the
                optimizer, or skips it.
        """
        try:
            with self.gradients() as update:
                yield update
        except BaseException:
            self.optimizer.zero_grad(set_to_none=True)  # or the next try would add to them
            raise
        if scaler is None:
            self.optimizer.step()
        else:
            scaler.step(self.optimizer)
            scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.stepped()

    @contextlib.contextmanager
    def gradients(self) -> Iterator[Step]:
        """The part of a step before the optimizer's; ``stepped`` comes after that."""
        course = self.course
        self._rates.set(course.rate_factor, course.rate_of_stage)
        with (
            self.updater.step(fraction=course.fraction) as update,
            self._shaped.computing(),
            self._prefix_kept(course.form) as visit,
        ):
            yield update
        self._taken = update.plan, visit

    def stepped(self) -> None:
        """Enter the step whose ``gradients`` the optimizer has just taken."""
        assert self._taken is not None, "gradients() comes first"
        (plan, visit), self._taken = self._taken, None
        # Entered only now: a step that raised before the optimizer took it has not happened.
        self.course.step(plan, cached=visit.served, kept=visit.kept)
        if self.course.average_weight is not None:
            self._average.take(self.course.average_weight)

    def _prefix_kept(self, form: Form) -> contextlib.AbstractContextManager[Visit]:
        """A context for the next step's forward in which the prefix's activations are kept or
        served, while the lever says so.
        """
        lever = self._cached
        if not lever.on or form.input != 1 or self.course.fraction >= lever.prefix_until:
            self._prefix = None
            return contextlib.nullcontext(Visit())
        if self._ids is None:
            raise ValueError(f"{self.subject.name} must have examples_at for a prefix to be kept")
        if self._prefix is None:
            self._prefix = self._new_prefix()
        return self._prefix.around(self._ids.take(self.course.position, form.batch))

    def _new_prefix(self) -> Prefix:
        def settled() -> bool:  # where nothing can be traced the first step has all in its graph
            return self.subject.traceable or self.course.steps > 0

        return Prefix(self.blocks, self._cached, settled)

    def _change(self, form: Form) -> None:
        """Bring the model into ``form``. Parameters that stay keep their moments, and the policy
        its state.
        """
        before, policy_state = self.optimizer, self.updater.state_dict()
        left_over.made(self.model)  # a user's own was not counted when it was made
        self.updater.close()
        self._shaped.change(form, lambda: self.subject.fitting(self.course.steps))
        self._equip()
        carry_moments(before, self.optimizer)
        self.updater.load_state_dict(policy_state)
        del before
        left_over.let_go()  # the moments and modules of the form before, which hold one another
        left_over.made(self.model)

    def other_rate(self) -> tuple[float, float] | None:
        """A learning rate that the loop has set since a step began, and the recipe's; None where it
        has set none.
        """
        return self._rates.other()

    @property
    def averaging(self) -> bool:
        """Whether an average of the weights is evaluated sooner or later."""
        return self._averaging.on

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Within the block the model has the weights that are evaluated: the average's, where one
        has begun.
        """
        return self._average.in_place() if self.course.averages else contextlib.nullcontext()

    def settle(self) -> None:
        """Leave the model with the weights that are evaluated, once the run is over."""
        if self.course.averages:
            self._average.put()

    def snapshot(self) -> dict[str, Any]:
        """What a run at this step has in common whatever its policy is: weights, moments, random
        state, and what model and optimizer keep outside of their own state.
        """
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **generators_state(self.subject.device),
        }
        changed = self._attributes.changed(self.model, self.optimizer)
        return {
            **{name: PLAINLY.encode(part, name) for name, part in state.items()},
            "attributes": written(changed),
            UNSAVED: [*map(told, self._lost(changed))],
        }

    def unsaved(self) -> list[Path]:
        """Paths of what changed since the run began and no snapshot can hold."""
        return self._lost(self._attributes.changed(self.model, self.optimizer))

    def _lost(self, changed: Iterable[Leaf]) -> list[Path]:
        names = self.updater.switched_elsewhere()
        flags: list[Path] = [(("module", name), ("attribute", "requires_grad")) for name in names]
        return [*(leaf.path for leaf in changed if leaf.lost), *flags]

    def state_dict(self) -> dict[str, Any]:
        """Everything the run needs to go on elsewhere: tensors and JSON values only."""
        return {**self.snapshot(), **self.progress(), "form": asdict(self._shaped.form)}

    def terms(self) -> dict[str, Any]:
        """What a run that goes on from this one must have in common with it, by name."""
        return {
            "optimizer": kind_of(self.optimizer),
            "peak rates": self._rates.peaks,
            "length in solo seconds": self.course.horizon_seconds,
        }

    def progress(self) -> dict[str, Any]:
        """What has to be saved beside model, optimizer and generators, by a loop that saves those
        itself.
        """
        return {
            "updater": self.updater.state_dict(),
            "course": self.course.state_dict(),
            "average": self._average.state_dict(),
            "prefix": None if self._prefix is None else self._prefix.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where ``state`` was taken, in a run that has not begun."""
        # The form that the weights had; a user's loop may have asked for the next batch since.
        form = Form(**state.get("form", state["course"]["form"]))
        # The modules first: a state fits only a model that has the same ones.
        if form != self._shaped.form:
            self.updater.close()
            self._shaped = Shaped(self.model, self.subject.blocks, form)
            self._equip()
        self.load_snapshot(state)
        self.load_progress(state)

    def load_progress(self, state: dict[str, Any]) -> None:
        """Go on from where ``progress`` was taken; model and optimizer are there already."""
        self.updater.load_state_dict(state["updater"])
        self.course.load_state_dict(state["course"])
        self._average.load_state_dict(state["average"])
        if state["prefix"] is not None:
            self._prefix = self._new_prefix()
            self._prefix.load_state_dict(state["prefix"])

    def load_snapshot(self, state: dict[str, Any]) -> None:
        """Bring model, optimizer and generators to where ``snapshot`` was taken."""
        self._rates.forget()
        restore(state.get("attributes", []), self.model, self.optimizer)
        self.model.load_state_dict(decode(state["model"]))
        self.optimizer.load_state_dict(decode(state["optimizer"]))
        set_generators(state, self.subject.device)


def shown(batch: Batch, form: Form, shrink: Shrink | None, name: str) -> Batch:
    """A batch with examples of the size that ``form`` has.

    Raises:
        ValueError: they cannot be made smaller.
    """
    if form.input == 1:
        return batch
    if shrink is None:
        raise ValueError(f"{name} must have shrink for smaller examples")
    return shrink(batch, form.input)
