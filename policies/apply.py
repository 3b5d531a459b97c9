"""Applies a policy's plans to a model, in anyone's training loop; all that touches ``requires_grad``.

::

    updater = BlockUpdater(model, blocks, policy, optimizer, total_steps=10_000)
    for x, y in batches:
        with updater.step() as step:
            loss = loss_fn(model(x), y)
            loss.backward()
            step.observe(loss)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

While a block is frozen its parameters have ``requires_grad=False`` and ``grad=None``, so that no optimizer
moves them or their moments; its modules are in evaluation mode, so that dropout is off and running statistics
stand still; and its inputs are detached, so that neither graph nor backward reaches below the lowest active
block. The optimizer's ``param_groups`` are never edited.

What is trained when: a block's parameters when the plan names it; the stem's (an embedding) with block 0; the
head's always. An embedding tied to the output projection is the head's: while block 0 is frozen it learns
from the output side alone. Parameters that are frozen when the updater is made stay frozen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from policies.base import (
    MOMENTS_ON_THAW,
    Observation,
    Progress,
    StepPlan,
    UpdatePolicy,
    state_from_json,
    state_to_json,
)
from policies.parts import STEM
from policies.reading import later, relevance
from policies.resting import asleep, detached, drop_gradients, in_reentrant_checkpoint
from policies.settings import knobs_of
from policies.wiring import Part, divide


class Step:
    """One step (with ``accumulate``, one micro-step) of a training loop.

    Attributes:
        plan: what the step does.
        relevance: after ``observe`` on a probe one score a block, the bottom block first; otherwise None.
    """

    def __init__(self, plan: StepPlan, read: Callable[[float], tuple[float, ...]] | None) -> None:
        self.plan = plan
        self.relevance: tuple[float, ...] | None = None
        self.loss: Callable[[], float] | None = None
        self._read = read

    def observe(self, loss: Tensor | float, *, grad_scale: float = 1.0) -> None:
        """Report the step's loss; on a probe, read the relevance of every block from its gradients.

        Call it once, after ``loss.backward()`` and before gradients are clipped. Without a probe it does not
        wait for the device; the loss is read when the next step is planned.

        Args:
            loss: a scalar, not multiplied by a gradient scaler's factor.
            grad_scale: the factor by which the gradients still are multiplied (``scaler.get_scale()``).
        """
        self.loss = later(loss)
        if self._read is not None:
            self.relevance = self._read(grad_scale)


class BlockUpdater:
    """Freezes and thaws the blocks of a model as a policy plans.

    Args:
        model: any module. Train the bare module: wrappers that own its gradients (DDP, FSDP) are refused.
        blocks: its blocks in forward order, each a submodule of ``model`` that is called (not its
            ``forward``).
        policy: decides; see ``policies.registry.make_policy`` and ``policies.settings.load_policy``.
        optimizer: holds the moments that ``moments_on_thaw`` is about.
        total_steps: steps of the run, from which a step's progress follows; later steps count as the end.
            Without it every ``step`` is given its ``fraction``.
        stem: modules and parameters below the first block. Without it the order of registration decides, and
            parameters of ``model`` itself are stem (see ``policies.parts``).
        moments_on_thaw: ``keep`` a thawing block's optimizer state or ``reset`` it, as if it had never been
            stepped; a probe thaws too. Without it the policy's own setting.
        accumulate: ``step()`` contexts per optimizer step. All of them follow one plan; the policy sees their
            mean loss, and a probe reads the gradients they add up to. Steps and ``total_steps`` count
            optimizer steps.

    Raises:
        ValueError: arguments that do not fit together or a model that cannot be frozen; names every reason.
    """

    def __init__(
        self,
        model: nn.Module,
        blocks: Sequence[nn.Module],
        policy: UpdatePolicy[Any],
        optimizer: Optimizer,
        *,
        total_steps: int | None = None,
        stem: Iterable[nn.Module | nn.Parameter] | None = None,
        moments_on_thaw: str | None = None,
        accumulate: int = 1,
    ) -> None:
        moments = policy.moments_at_thaw if moments_on_thaw is None else moments_on_thaw
        _refuse_bad_numbers(total_steps, moments, accumulate)
        self._parts = divide(model, blocks, None if stem is None else tuple(stem))
        self._num_blocks = len(blocks)
        self._policy = policy
        self._optimizer = optimizer
        self._total_steps = total_steps
        self._reset_moments = moments == "reset"
        self._accumulate = accumulate
        self._state = policy.init(self._num_blocks)
        self._step = 0
        self._plan: StepPlan | None = None  # of the optimizer step under way
        self._losses: list[Callable[[], float]] = []  # of its micro-steps so far
        self._seen: Callable[[], Observation] | None = None  # the last step's, until its loss has arrived
        self._previous: tuple[int, ...] | None = None  # blocks active in the last step
        self._applied: tuple[int, ...] | None = None  # blocks that requires_grad stands for now
        self._cut: int | None = None  # inputs of blocks up to this one are detached; None outside a step
        self._hooks = [
            block.register_forward_pre_hook(partial(self._before_block, index), with_kwargs=True)
            for index, block in enumerate(blocks)
        ]

    @contextlib.contextmanager
    def step(self, fraction: float | None = None) -> Iterator[Step]:
        """Train one step as planned: forward, backward and ``observe`` go inside, ``optimizer.step()`` after.

        A body that raises leaves the policy where it was: the next step is planned as this one.

        Args:
            fraction: the run's progress in [0, 1], where ``total_steps`` was not given.

        Raises:
            ValueError: ``fraction`` is missing, unexpected or out of range.
            RuntimeError: ``step.observe(loss)`` was not called, came before the backward, or steps were
                nested.
        """
        if self._cut is not None:
            raise RuntimeError("updater.step() must not be entered inside another one")
        plan = self._plan or self._next_plan(fraction)
        last = len(self._losses) + 1 == self._accumulate
        step = Step(plan, partial(self._relevance, plan.metric) if plan.probe and last else None)
        frozen = self._freeze(plan)
        try:
            with asleep(frozen):
                self._cut = min(plan.active_blocks) or -1
                yield step
            self._finish(plan, step)
        finally:
            self._cut = None
            drop_gradients(frozen)

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs, as JSON values, beside the model's and the optimizer's own state.

        Raises:
            RuntimeError: between the micro-steps of one optimizer step: gradients so far would be lost.
        """
        if self._plan is not None:
            raise RuntimeError(
                f"state_dict() must follow a whole optimizer step, but got {len(self._losses)} of "
                f"{self._accumulate} accumulated steps"
            )
        self._settle()
        progress = {"step": self._step, "previous": self._previous, "state": state_to_json(self._state)}
        return {**self._identity(), **progress}

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
        self._applied, self._plan, self._losses, self._seen = None, None, [], None

    def read_relevance(self, metric: str) -> tuple[float, ...]:
        """One score a block, the bottom block first, from the gradients there are now; see ``policies.reading``."""
        return self._relevance(metric, 1.0)

    def close(self) -> None:
        """Give the model back, to another updater say: hooks removed, ``requires_grad`` as it was found."""
        for hook in self._hooks:
            hook.remove()
        self._require_grad(tuple(range(self._num_blocks)))

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
        active = plan.active_blocks
        if not active or not set(active) <= set(range(self._num_blocks)):
            raise ValueError(f"a plan must name blocks of 0..{self._num_blocks - 1}, but got {active}")
        return plan

    def _fraction(self, given: float | None) -> float:
        if (given is None) == (self._total_steps is None):
            raise ValueError(
                "exactly one of BlockUpdater(total_steps=...) and step(fraction=...) must be given, "
                f"but got total_steps={self._total_steps}, fraction={given}"
            )
        if given is None:
            return min(1.0, self._step / (self._total_steps or 1))
        if not 0 <= given <= 1:
            raise ValueError(f"0 <= fraction <= 1 must hold, but got fraction={given!r}")
        return given

    def _freeze(self, plan: StepPlan) -> list[Part]:
        """Bring ``requires_grad``, gradients and moments in line with a plan; the parts that rest."""
        active = plan.active_blocks
        if active != self._applied:
            if self._reset_moments and self._previous is not None:
                self._forget_moments(thawed=self._resting(self._previous), resting=self._resting(active))
            self._require_grad(active)
        frozen = [self._parts[index] for index in self._resting(active)]
        drop_gradients(frozen)
        return frozen

    def _resting(self, active: tuple[int, ...]) -> list[int]:
        """The parts that are not trained while ``active`` blocks are; the head always is."""
        blocks = set(range(self._num_blocks)).difference(active)
        return sorted(blocks | {STEM} if 0 in blocks else blocks)

    def _require_grad(self, active: tuple[int, ...]) -> None:
        resting = set(self._resting(active))
        for index, part in self._parts.items():
            for parameter in part.parameters:
                parameter.requires_grad_(index not in resting)
        self._applied = active

    def _forget_moments(self, thawed: Iterable[int], resting: Iterable[int]) -> None:
        for index in set(thawed).difference(resting):
            for parameter in self._parts[index].parameters:
                self._optimizer.state.pop(parameter, None)

    def _before_block(
        self, index: int, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Forward pre-hook of block ``index``: cut the graph below the lowest active block."""
        if self._cut is None:
            return None
        if not torch.is_grad_enabled() and in_reentrant_checkpoint():
            raise RuntimeError(
                "reentrant checkpointing gives a block no gradient when nothing below it is trained; "
                "pass use_reentrant=False to torch.utils.checkpoint.checkpoint"
            )
        return (detached(args), detached(kwargs)) if index <= self._cut else None

    def _finish(self, plan: StepPlan, step: Step) -> None:
        """Take in what a step showed; after the last micro-step hand it to the policy."""
        if step.loss is None:
            raise RuntimeError("step.observe(loss) must be called inside 'with updater.step() as step', but was not")
        if not self._has_gradients():
            raise RuntimeError("loss.backward() must come before the step ends, but no parameter has a gradient")
        self._plan, self._losses = plan, [*self._losses, step.loss]
        if len(self._losses) < self._accumulate:
            return
        losses, number = self._losses, self._step
        self._seen = lambda: Observation(number, _mean(losses), step.relevance, phase=plan.phase)
        self._previous, self._plan, self._losses = plan.active_blocks, None, []
        self._step += 1

    def _has_gradients(self) -> bool:
        return any(p.grad is not None for part in self._parts.values() for p in part.parameters)

    def _settle(self) -> None:
        """Let the policy observe the last step, whose loss may have been on its way from the device."""
        if self._seen is not None:
            self._state = self._policy.observe(self._state, self._seen())
            self._seen = None

    def _relevance(self, metric: str, grad_scale: float) -> tuple[float, ...]:
        blocks = [self._parts[index].parameters for index in range(self._num_blocks)]
        if not self._has_gradients():
            raise RuntimeError("loss.backward() must come before step.observe(loss), but nothing has a gradient")
        return tuple(score / grad_scale for score in relevance(blocks, metric))


def _mean(losses: Sequence[Callable[[], float]]) -> float:
    return sum(loss() for loss in losses) / len(losses)


def _refuse_bad_numbers(total_steps: int | None, moments: str, accumulate: int) -> None:
    faults = []
    if total_steps is not None and total_steps < 1:
        faults.append(f"total_steps >= 1 must hold, but got total_steps={total_steps}")
    if moments not in MOMENTS_ON_THAW:
        faults.append(f"moments_on_thaw must be one of {list(MOMENTS_ON_THAW)}, but got {moments!r}")
    if accumulate < 1:
        faults.append(f"accumulate >= 1 must hold, but got accumulate={accumulate}")
    if faults:
        raise ValueError("; ".join(faults))
