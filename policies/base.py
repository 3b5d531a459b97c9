"""What an update policy is: a pure decision of which blocks to train, step by step.

Numbers go in and numbers come out; nothing here imports torch. Because a decision depends on nothing but its
arguments, a policy can be replayed over recorded losses and relevance scores without a model.

A policy is a frozen dataclass whose fields are its settings (the *knobs* a search may turn)::

    state = policy.init(num_blocks)
    plan = policy.plan(state, Progress(step, fraction))
    state = policy.observe(state, Observation(step, loss, relevance, phase=plan.phase))

The shape (init and update pure, the state handed in and out) is that of optax's ``GradientTransformation``.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar

Phase = Literal["full", "reduced", "recovery"]
Scalar = bool | int | float | str
PHASES: tuple[Phase, ...] = ("full", "reduced", "recovery")
RELEVANCE_METRICS = ("ratio", "saliency")
MOMENTS_ON_THAW = ("keep", "reset")


@dataclass(frozen=True)
class Progress:
    """Where a run stands. ``step`` counts from 0; ``fraction`` in [0, 1] is solo seconds / horizon."""

    step: int
    fraction: float


@dataclass(frozen=True)
class StepPlan:
    """What one step does.

    Attributes:
        active_blocks: indices of the blocks to update, ascending; 0 is the first block after the stem.
            On a probe these are all blocks: a probe's gradients are real, so they train.
        probe: whether the relevance of every block is read after this step's backward.
        phase: ``full`` before freezing starts, ``reduced`` while it lasts, ``recovery`` at the end.
        metric: which relevance to read when probing, one of ``RELEVANCE_METRICS``.
    """

    active_blocks: tuple[int, ...]
    probe: bool
    phase: Phase
    metric: str = "ratio"


@dataclass(frozen=True)
class Observation:
    """What a step showed: its training loss and, when it probed, one relevance score a block (else None).

    ``phase`` is that of the step's plan: a loss means something else before freezing than during it, and a
    policy that is handed only observations could not tell.
    """

    step: int
    loss: float
    relevance: tuple[float, ...] | None = None
    phase: Phase = field(kw_only=True)


def setting(
    default: Any,
    *,
    meaning: str,
    unit: str = "",
    low: float = -math.inf,
    high: float = math.inf,
    choices: tuple[Scalar, ...] = (),
) -> Any:
    """A field of a policy and the rule its value keeps: ``low <= value <= high``, or one of ``choices``."""
    metadata = {"meaning": meaning, "unit": unit, "low": low, "high": high, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


StateT = TypeVar("StateT")


@dataclass(frozen=True)
class UpdatePolicy(ABC, Generic[StateT]):
    """Base of every policy. A subclass is a frozen dataclass, one a file, found by ``policies.registry``.

    ``State`` is a frozen dataclass of JSON values (numbers, strings, None, tuples of these), so that it
    survives a checkpoint: ``state_from_json(policy, json.loads(json.dumps(state_to_json(state)))) == state``.

    Raises:
        ValueError: a setting breaks its rule; the message names every one that does.
    """

    name: ClassVar[str]
    State: ClassVar[type[Any]]

    @property
    def moments_at_thaw(self) -> str:
        """What happens to a block's optimizer moments when it thaws, one of ``MOMENTS_ON_THAW``."""
        return "keep"

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

    def __post_init__(self) -> None:
        """Refuse settings that break their rules, all at once."""
        if faults := self.faults():
            raise ValueError(f"{self.name}: " + "; ".join(faults))

    def faults(self) -> list[str]:
        """Every broken rule, as ``rule must hold, but got value``; subclasses add rules between settings."""
        return [
            fault
            for field in dataclasses.fields(self)
            if field.metadata
            for fault in setting_faults(field.name, getattr(self, field.name), str(field.type), field.metadata)
        ]


def setting_faults(name: str, value: object, kind: str, rule: Mapping[str, Any]) -> list[str]:
    """The rules that one setting breaks: its type, its choices, its bounds."""
    if rule["choices"]:
        ok = any(value == c and type(value) is type(c) for c in rule["choices"])
        return [] if ok else [f"{name} must be one of {list(rule['choices'])}, but got {value!r}"]
    expected = {"float": (int, float), "int": (int,), "bool": (bool,), "str": (str,)}[kind]
    if not isinstance(value, expected) or (isinstance(value, bool) and kind != "bool"):
        return [f"{name} must be a {kind}, but got {value!r}"]
    if isinstance(value, (int, float)) and not rule["low"] <= value <= rule["high"]:
        return [f"{rule['low']:g} <= {name} <= {rule['high']:g} must hold, but got {name}={value!r}"]
    return []


def state_to_json(state: Any) -> dict[str, Any]:
    """A policy's state as JSON values."""
    return dataclasses.asdict(state)


def state_from_json(policy: UpdatePolicy[StateT], data: Mapping[str, Any]) -> StateT:
    """The state that ``state_to_json`` wrote: the inverse, with lists turned back into tuples."""
    state: StateT = policy.State(**{key: _tuples(value) for key, value in data.items()})
    return state


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, (list, tuple)) else value
