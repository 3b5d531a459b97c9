"""What an update policy is: a pure decision of which blocks to train, step by step.

Numbers go in and numbers come out; nothing here imports torch. Because a decision depends on
nothing but its arguments, a policy can be replayed over recorded losses and relevance scores
without a model.

A policy is a frozen dataclass whose fields are its settings (the *knobs* a search may turn)::

    state = policy.init(num_blocks)
    plan = policy.plan(state, Progress(step, fraction))
    state = policy.observe(state, Observation(step, loss, relevance, phase=plan.phase))

The shape (init and update pure, the state handed in and out) is that of optax's
``GradientTransformation``.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar

from policies.rules import Scalar as Scalar
from policies.rules import Settings
from policies.rules import setting as setting

Phase = Literal["full", "reduced", "recovery"]
PHASES: tuple[Phase, ...] = ("full", "reduced", "recovery")
RELEVANCE_METRICS = ("ratio", "saliency")
MOMENTS_ON_THAW = ("keep", "reset")
COPY, IDENTITY = "copy", "identity"
NEW_BLOCKS = (COPY, IDENTITY)


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    ``step`` counts from 0; ``fraction`` in [0, 1] is solo seconds / horizon.
    """

    step: int
    fraction: float


@dataclass(frozen=True)
class StepPlan:
    """What one step does.

    Attributes:
        active_blocks: indices of the blocks to update, ascending; 0 is the first block after the
            stem. On a probe these are all blocks: a probe's gradients are real, so they train.
        probe: whether the relevance of every block is read after this step's backward.
        phase: ``full`` before freezing starts, ``reduced`` while it lasts, ``recovery`` at the end.
        metric: which relevance to read when probing, one of ``RELEVANCE_METRICS``.
        model_blocks: how many blocks the model has for now, the lowest; None for all. The others
            hand on what they are given, in evaluation too. It never falls.
        new_blocks: how those begin that come in with this step: one of ``NEW_BLOCKS``.
        left_out: blocks of the model that this step alone does not run.
    """

    active_blocks: tuple[int, ...]
    probe: bool
    phase: Phase
    metric: str = "ratio"
    model_blocks: int | None = None
    new_blocks: str = COPY
    left_out: tuple[int, ...] = ()

    def present_blocks(self, num_blocks: int) -> tuple[int, ...]:
        """The blocks that the step runs, of a model with ``num_blocks``, ascending.

        >>> StepPlan((2,), False, "full", model_blocks=3, left_out=(1,)).present_blocks(4)
        (0, 2)
        """
        have = num_blocks if self.model_blocks is None else self.model_blocks
        return tuple(block for block in range(have) if block not in self.left_out)


@dataclass(frozen=True)
class Observation:
    """What a step showed: its loss and, when it probed, one relevance a block (else None).

    ``phase`` and ``model_blocks`` are those of the step's plan: a loss means something else before
    freezing than during it, and a policy that is handed only observations could not tell.
    """

    step: int
    loss: float
    relevance: tuple[float, ...] | None = None
    phase: Phase = field(kw_only=True)
    model_blocks: int | None = field(default=None, kw_only=True)


StateT = TypeVar("StateT")


@dataclass(frozen=True)
class UpdatePolicy(Settings, ABC, Generic[StateT]):
    """Base of every policy: a frozen dataclass, one a file, found by ``policies.registry``.

    ``State`` is a frozen dataclass of JSON values (numbers, strings, None, tuples of these), so
    that it survives a checkpoint: what ``state_to_json`` made of a state is, written and read as
    JSON, turned into an equal one by ``state_from_json``.

    Raises:
        ValueError: a setting breaks its rule; the message names every one that does.
    """

    State: ClassVar[type[Any]]

    @property
    def knobs(self) -> dict[str, Scalar]:
        """Every setting by name."""
        return {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}

    @property
    def moments_at_thaw(self) -> str:
        """What happens to a block's optimizer moments when it thaws, one of ``MOMENTS_ON_THAW``."""
        return "keep"

    def state_of(self, values: Mapping[str, Any]) -> StateT:
        """The state whose attributes are ``values``."""
        state: StateT = self.State(**values)
        return state

    def depths(self, num_blocks: int) -> tuple[int, ...]:
        """Every number of active blocks that a plan of this policy can name, ascending."""
        return tuple(range(1, num_blocks + 1))

    @abstractmethod
    def init(self, num_blocks: int) -> StateT:
        """The state before the first step of a model with ``num_blocks`` >= 1 blocks."""

    @abstractmethod
    def plan(self, state: StateT, progress: Progress) -> StepPlan:
        """The plan of the step that ``progress`` names."""

    @abstractmethod
    def observe(self, state: StateT, observation: Observation) -> StateT:
        """The state after a step whose loss and, if it probed, relevance were seen."""


def state_to_json(state: Any) -> dict[str, Any]:
    """A policy's state as JSON values."""
    return dataclasses.asdict(state)


def state_from_json(policy: UpdatePolicy[StateT], data: Mapping[str, Any]) -> StateT:
    """The state that ``state_to_json`` wrote: the inverse, with lists turned back into tuples."""
    state: StateT = policy.state_of({key: _tuples(value) for key, value in data.items()})
    return state


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, (list, tuple)) else value
