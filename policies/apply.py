"""Applies a policy's plans to a model, in anyone's training loop.

::

    updater = BlockUpdater(model, blocks, policy, optimizer, total_steps=10_000)
    for x, y in batches:
        with updater.step() as step:
            loss = loss_fn(model(x), y)
            loss.backward()
            step.observe(loss)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

While a block is frozen its parameters have ``requires_grad=False`` and ``grad=None``, so that no
optimizer moves them or their moments; its modules are in evaluation mode, so that dropout is off
and running statistics stand still; a buffer that its forward writes to is put back. Whatever moves
something frozen all the same (an optimizer that needs no gradient, averaged weights left in place)
is refused by name at once. The optimizer's ``param_groups`` are never edited.

Gradients are exact: those that ``requires_grad=False`` on the frozen parameters alone would give.
Where nothing below the lowest active block is trained neither graph nor backward reaches there.
Where something is (an embedding tied to the output projection, queries added to every block's
input), both do.

What is trained when: a block's parameters when the plan names it; the stem's (an embedding) with
block 0; the head's always. What is used in several places outside the blocks is trained wherever
one of them is, so a tied embedding is the head's; name its parameter in ``stem`` to freeze it with
block 0 instead. Parameters that are frozen when the updater is made stay frozen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from policies.applying.copying import Made, Travelling
from policies.applying.faults import checked_blocks
from policies.applying.freezing import Freezer
from policies.applying.habits import refuse_without_gradients as refuse_without_gradients
from policies.applying.habits import stepped_nowhere as stepped_nowhere
from policies.applying.holding import TAKEN, take
from policies.applying.moments import reset_faults
from policies.applying.outside import Outside
from policies.applying.parts import Places, places_from_json, places_to_json
from policies.applying.presence import Presence as Presence
from policies.applying.presence import begin_as as begin_as
from policies.applying.reaching import Reaching
from policies.applying.reading import has_gradients, relevance
from policies.applying.step import Step as Step
from policies.applying.tracing import trace_parts as trace_parts
from policies.base import (
    MOMENTS_ON_THAW,
    Observation,
    Progress,
    StepPlan,
    UpdatePolicy,
    state_from_json,
    state_to_json,
)
from policies.settings import knobs_of


class BlockUpdater(Travelling):
    """Freezes and thaws the blocks of a model as a policy plans.

    It can be pickled and deep-copied between steps, together with model and optimizer.

    Args:
        model: any module. Train the bare module: wrappers that own its gradients (DDP, FSDP) are
            refused.
        blocks: a list of its blocks in forward order, each a submodule of ``model`` that is called
            (not its ``forward``), named once however often it runs.
        policy: decides; see ``policies.registry.make_policy`` and
            ``policies.settings.load_policy``.
        optimizer: holds the moments that ``moments_on_thaw`` is about; several in a list or
            mapping, or what wraps them.
        total_steps: steps of the run, from which a step's progress follows; later steps count as
            the end. Without it every ``step`` is given its ``fraction``.
        stem: modules and parameters below the first block, or what ``trace_parts`` found. Without
            it the first step shows what runs when; that one keeps the graph of a full step.
        moments_on_thaw: ``keep`` a thawing block's optimizer state or ``reset`` it, as if it had
            never been stepped; a probe thaws too. Without it the policy's own setting.
        accumulate: ``step()`` contexts per optimizer step. All of them follow one plan; the policy
            sees their mean loss, and a probe reads the gradients they add up to. Steps and
            ``total_steps`` count optimizer steps. Where the optimizer steps before there were so
            many, at the end of an epoch, that ends the step.

    Raises:
        ValueError: arguments that do not fit together or a model that cannot be frozen; names every
            reason.
    """

    # Each of the arguments decides on its own; a bundle of them would have to be built first.
    def __init__(
        self,
        model: nn.Module,
        blocks: Sequence[nn.Module],
        policy: UpdatePolicy[Any],
        optimizer: Any,
        *,
        total_steps: int | None = None,
        stem: Iterable[nn.Module | nn.Parameter] | Places | None = None,
        moments_on_thaw: str | None = None,
        accumulate: int = 1,
    ) -> None:
        moments = policy.moments_at_thaw if moments_on_thaw is None else moments_on_thaw
        self._reset_moments = moments == "reset"
        _refuse_bad_numbers(total_steps, moments, accumulate, optimizer)
        told = stem if stem is None or isinstance(stem, Places) else tuple(stem)
        checked = checked_blocks(model, blocks, told)
        self._blocks, self._num_blocks = checked, len(checked)
        self._presence: Presence | None = None  # where blocks may be left out
        self._policy = policy
        self._total_steps = total_steps
        self._accumulate = accumulate
        self._state = policy.init(self._num_blocks)
        self._step = 0
        self._plan: StepPlan | None = None  # of the optimizer step under way
        self._losses: list[Callable[[], float]] = []  # of its micro-steps so far
        self._seen: Callable[[], Observation] | None = (
            None  # the last step's, until its loss has arrived
        )
        self._previous: tuple[int, ...] | None = None  # blocks active in the last step
        self._inside = False
        self._hold = take(checked, self._let_go)
        self._freezer = freezer = Freezer(model, checked, told, optimizer, self._optimizer_steps)
        self._reaching = reaching = Reaching(model, checked, freezer)
        self._outside = Outside(freezer.parameters, lambda: reaching.parameters, accumulate > 1)
        self._arguments = (model, checked, policy, optimizer)
        self._options = {
            "total_steps": total_steps,
            "stem": told,
            "moments_on_thaw": moments,
            "accumulate": accumulate,
        }

    @contextlib.contextmanager
    def step(self, fraction: float | None = None) -> Iterator[Step]:
        """Train one step as planned: ``optimizer.step()`` goes after it, all else inside.

        A body that raises leaves the policy where it was: the next step is planned as this one.

        Args:
            fraction: the run's progress in [0, 1], where ``total_steps`` was not given.

        Raises:
            ValueError: ``fraction`` is missing, unexpected or out of range.
            RuntimeError: ``step.observe(loss)`` was not called, came before the backward, or steps
                were nested; the forward ran before it; something frozen was moved since the last
                one began.
        """
        if self._inside:
            raise RuntimeError("updater.step() must not be entered inside another one")
        if self._hold.taken:
            raise RuntimeError(TAKEN)
        # Micro-steps of one optimizer step follow one plan.
        plan = self._plan or self._next_plan(fraction)
        # A probe reads the gradients that all micro-steps have added up to.
        last = len(self._losses) + 1 == self._accumulate
        read = partial(self._relevance, plan.metric) if plan.probe and last else None
        step = Step(plan, read, self._saw)
        if self._reset_moments and self._previous is not None:
            self._freezer.forget_moments(self._previous, plan.active_blocks)
        self._outside.begin()
        self._inside = True
        try:
            with self._present(plan), self._freezer.step(plan.active_blocks):
                yield step
                self._check(step)
        finally:
            self._inside = False
            self._hold.still = self._freezer.still
        self._finish(plan, step)

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs beside model and optimizer, as JSON values.

        Raises:
            RuntimeError: between the micro-steps of one optimizer step: gradients so far would be
                lost.
        """
        if self._plan is not None:
            raise RuntimeError(
                f"state_dict() must follow a whole optimizer step, but got {len(self._losses)} of "
                f"{self._accumulate} accumulated steps"
            )
        self._settle()
        places = self._freezer.places
        progress = {
            "step": self._step,
            "previous": self._previous,
            "waited": self._reaching.state(),
            "state": state_to_json(self._state),
        }
        return {
            **self._identity(),
            **progress,
            "places": None if places is None else places_to_json(places),
            "model_blocks": None if self._presence is None else self._presence.count,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was taken; load the model's and the optimizer's state as well.

        Raises:
            ValueError: the state is of another policy, other settings or another number of blocks.
        """
        differences = [
            f"{key} must be {mine!r} as here, but the state has {state.get(key)!r}"
            for key, mine in self._identity().items()
            if state.get(key) != mine
        ]
        if differences:
            raise ValueError("; ".join(differences))
        self._state = state_from_json(self._policy, state["state"])
        self._step = state["step"]
        self._previous = None if state["previous"] is None else tuple(state["previous"])
        self._reaching.load(state.get("waited", ()))
        self._plan, self._losses, self._seen = None, [], None
        if (places := state.get("places")) is not None:
            self._freezer.settle(places_from_json(places))
        if (count := state.get("model_blocks")) is not None:
            self._presence = Presence(self._blocks, count)
        # Weights are loaded after this or before it; either way what is there then is right.
        self._freezer.forget()

    def read_relevance(self, metric: str) -> tuple[float, ...]:
        """One score a block, the bottom block first, from the gradients that there are now."""
        return self._relevance(metric, 1.0)

    def switched_elsewhere(self) -> list[str]:
        """Names of parameters that the model or the loop has frozen or thawed by itself.

        Neither the updater's ``state_dict`` nor the model's holds that.
        """
        return self._freezer.switched_elsewhere()

    @property
    def model_blocks(self) -> int:
        """How many blocks the model has for now, the lowest; the others hand on what they get."""
        return self._num_blocks if self._presence is None else self._presence.count

    def thaw(self) -> None:
        """Leave nothing frozen, the last step being taken: to be fine-tuned, say, by another loop.

        A block that the model does not have stays out of it.
        """
        self._freezer.thaw()
        self._hold.still, self._hold.absent = (), False

    def close(self) -> None:
        """Give the model back, to another updater say: as it was found, without hooks.

        Blocks that it did not have yet run again.
        """
        self._freezer.close()
        self._hold.still = ()
        self._let_in()

    def _let_go(self) -> None:
        """Let go of the blocks: another updater has them."""
        self._freezer.let_go()
        if self._hold.absent:
            self._let_in()

    def _let_in(self) -> None:
        if self._presence is not None:
            self._presence.have(self._num_blocks)
            self._presence = None

    def _made(self) -> Made:
        if self._inside:
            raise RuntimeError("an updater must be copied between steps, but it is inside one")
        return Made(self._arguments, self._options, tuple(self._reaching.parameters))

    @contextlib.contextmanager
    def _present(self, plan: StepPlan) -> Iterator[None]:
        """Let the model have the blocks that the plan gives it, without those that this step leaves
        out.
        """
        count = self._num_blocks if plan.model_blocks is None else plan.model_blocks
        if self._presence is None and (count < self._num_blocks or plan.left_out):
            self._presence = Presence(self._blocks, count)
        self._hold.absent = self._presence is not None
        if self._presence is None:
            yield
            return
        # Never shrinks: a block that came in stays, and a step that leaves it out says so by
        # itself.
        if count > self._presence.count:
            self._freezer.expect_change()
            self._presence.grow(count, plan.new_blocks, frozenset(self._reaching.parameters))
        with self._presence.leaving_out(plan.left_out):
            yield

    def _identity(self) -> dict[str, Any]:
        return {
            "policy": self._policy.name,
            "knobs": knobs_of(self._policy),
            "num_blocks": self._num_blocks,
            "accumulate": self._accumulate,
        }

    def _next_plan(self, fraction: float | None) -> StepPlan:
        self._settle()
        plan = self._policy.plan(self._state, Progress(self._step, self._fraction(fraction)))
        active, present = plan.active_blocks, plan.present_blocks(self._num_blocks)
        if not active or not set(active) <= set(present):
            raise ValueError(
                f"a plan must name blocks of {present or f'0..{self._num_blocks - 1}'}, but got "
                f"{active}"
            )
        return plan

    def _fraction(self, given: float | None) -> float:
        if (given is None) == (self._total_steps is None):
            raise ValueError(
                "exactly one of BlockUpdater(total_steps=...) and step(fraction=...) must be "
                f"given, but got total_steps={self._total_steps}, fraction={given}"
            )
        if given is None:
            return min(1.0, self._step / (self._total_steps or 1))
        if not 0 <= given <= 1:
            raise ValueError(f"0 <= fraction <= 1 must hold, but got fraction={given!r}")
        return given

    def _saw(self, loss: Tensor | float) -> None:
        """Take in a loss, and what has gradients now: the loop may step and drop them itself."""
        self._outside.saw(loss)
        self._freezer.saw(loss)
        self._reaching.look()

    def _optimizer_steps(self) -> None:
        """End the step where the optimizer steps before its last micro-step, as with an epoch's
        rest.

        What a probe would have read is not known then.
        """
        self._outside.stepped()
        if self._losses and not self._inside and self._plan is not None:
            self._end(self._plan, self._losses, None)

    def _check(self, step: Step) -> None:
        """Raise where the body of a step has not done what it must."""
        if step.loss is None:
            raise RuntimeError(
                "step.observe(loss) must be called inside 'with updater.step() as step', "
                "but was not (continue, break and return leave it, too)"
            )
        self._reaching.refuse_nothing()
        if len(self._losses) + 1 == self._accumulate:
            self._reaching.refuse_unreached(step.plan.active_blocks)

    def _finish(self, plan: StepPlan, step: Step) -> None:
        """Take in what a step showed; after the last micro-step hand it to the policy."""
        assert step.loss is not None
        self._plan, self._losses = plan, [*self._losses, step.loss]
        if len(self._losses) == self._accumulate:
            self._end(plan, self._losses, step.relevance)

    def _end(
        self,
        plan: StepPlan,
        losses: Sequence[Callable[[], float]],
        relevance: tuple[float, ...] | None,
    ) -> None:
        """Enter an optimizer step."""
        number = self._step
        # Called by the next plan: a device has computed the loss by then, so that no step waits for
        # it.
        self._seen = lambda: Observation(
            number,
            _mean(losses),
            relevance,
            phase=plan.phase,
            model_blocks=plan.model_blocks,
        )
        self._previous, self._plan, self._losses = plan.active_blocks, None, []
        self._step += 1

    def _settle(self) -> None:
        """Let the policy observe the last step, whose loss may have been on its way."""
        if self._seen is not None:
            self._state = self._policy.observe(self._state, self._seen())
            self._seen = None

    def _relevance(self, metric: str, grad_scale: float) -> tuple[float, ...]:
        blocks = [self._freezer.parts[index].parameters for index in range(self._num_blocks)]
        if not has_gradients(self._reaching.parameters):
            raise RuntimeError(
                "loss.backward() must come before step.observe(loss), but nothing has a gradient"
            )
        return tuple(score / grad_scale for score in relevance(blocks, metric))


def _mean(losses: Sequence[Callable[[], float]]) -> float:
    return sum(loss() for loss in losses) / len(losses)


def _refuse_bad_numbers(
    total_steps: int | None, moments: str, accumulate: int, optimizer: Any
) -> None:
    faults = []
    if total_steps is not None and total_steps < 1:
        faults.append(f"total_steps >= 1 must hold, but got total_steps={total_steps}")
    if moments not in MOMENTS_ON_THAW:
        faults.append(
            f"moments_on_thaw must be one of {list(MOMENTS_ON_THAW)}, but got {moments!r}"
        )
    if moments == "reset":
        faults.extend(reset_faults(optimizer))
    if accumulate < 1:
        faults.append(f"accumulate >= 1 must hold, but got accumulate={accumulate}")
    if faults:
        raise ValueError("; ".join(faults))
