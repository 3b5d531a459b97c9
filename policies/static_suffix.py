"""static_suffix: the same top blocks in every step, whatever their gradients say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from policies.base import Observation, Phase, Progress, StepPlan, UpdatePolicy, setting
from policies.suffix import count, top


@dataclass(frozen=True)
class StaticSuffixState:
    """Nothing but the size of the model."""

    num_blocks: int


@dataclass(frozen=True)
class StaticSuffix(UpdatePolicy[StaticSuffixState]):
    """Update the top ``ceil(active_fraction · num_blocks)`` blocks from the first step to the last.

    >>> policy = StaticSuffix(active_fraction=0.3)
    >>> policy.plan(policy.init(8), Progress(step=0, fraction=0.0)).active_blocks
    (5, 6, 7)
    """

    name: ClassVar[str] = "static_suffix"
    State: ClassVar[type[StaticSuffixState]] = StaticSuffixState

    active_fraction: float = setting(
        0.5,
        low=0.01,
        high=1.0,
        unit="fraction of the blocks",
        meaning="top blocks to update in every step",
    )

    def depths(self, num_blocks: int) -> tuple[int, ...]:
        """The one depth."""
        return (count(self.active_fraction, num_blocks),)

    def init(self, num_blocks: int) -> StaticSuffixState:
        """Remember the number of blocks."""
        return StaticSuffixState(num_blocks)

    def plan(self, state: StaticSuffixState, progress: Progress) -> StepPlan:
        """The suffix, no probe; ``full`` where the suffix is the whole model."""
        (depth,) = self.depths(state.num_blocks)
        phase: Phase = "full" if depth == state.num_blocks else "reduced"
        return StepPlan(top(depth, state.num_blocks), probe=False, phase=phase)

    def observe(self, state: StaticSuffixState, observation: Observation) -> StaticSuffixState:
        """Learn nothing."""
        return state
