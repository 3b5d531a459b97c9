"""full_update: every block, every step. The baseline, and over shorter horizons the control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from policies.base import Observation, Progress, StepPlan, UpdatePolicy
from policies.suffix import top


@dataclass(frozen=True)
class FullUpdateState:
    """Nothing but the size of the model."""

    num_blocks: int


@dataclass(frozen=True)
class FullUpdate(UpdatePolicy[FullUpdateState]):
    """Update every block in every step."""

    name: ClassVar[str] = "full_update"
    State: ClassVar[type[FullUpdateState]] = FullUpdateState

    def depths(self, num_blocks: int) -> tuple[int, ...]:
        """Only all blocks."""
        return (num_blocks,)

    def init(self, num_blocks: int) -> FullUpdateState:
        """Remember the number of blocks."""
        return FullUpdateState(num_blocks)

    def plan(self, state: FullUpdateState, progress: Progress) -> StepPlan:
        """All blocks, no probe."""
        return StepPlan(top(state.num_blocks, state.num_blocks), probe=False, phase="full")

    def observe(self, state: FullUpdateState, observation: Observation) -> FullUpdateState:
        """Learn nothing."""
        return state
