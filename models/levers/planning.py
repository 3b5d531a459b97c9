"""A policy's plans with what levers do to a step's blocks: fewer present, or a prefix kept frozen.

Pure; no torch. A policy plans for all the blocks that the workload's model has. Where the model has
fewer for now, its top block is the policy's top block: the policy sees the blocks that are not
there yet as the lowest, with no relevance, and its suffix is cut to those that are there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.levers.cached_prefix import CachedPrefix
from models.levers.depth import Depth
from models.levers.levers import Levers
from policies.base import Observation, Progress, StepPlan, UpdatePolicy
from policies.rules import Scalar


@dataclass(frozen=True)
class _State:
    """The state of ``Planned``: that of the policy it wraps."""

    inner: Any


class Planned(UpdatePolicy[_State]):
    """``policy`` in a run with ``levers``: a policy itself.

    Args:
        policy: plans for a model with all its blocks.
        levers: of the run.
        num_blocks: of the workload's model.
        seed: of the run, from which layer dropout draws.
    """

    def __init__(
        self, policy: UpdatePolicy[Any], levers: Levers, num_blocks: int, seed: int
    ) -> None:
        set_own = object.__setattr__  # policies are frozen
        set_own(self, "policy", policy)
        set_own(self, "name", policy.name)
        set_own(self, "depth", levers.of(Depth))
        set_own(self, "prefix", levers.of(CachedPrefix))
        set_own(self, "num_blocks", num_blocks)
        set_own(self, "seed", seed)

    policy: UpdatePolicy[Any]
    depth: Depth
    prefix: CachedPrefix
    num_blocks: int
    seed: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Planned) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.policy, self.depth, self.prefix))

    @property
    def knobs(self) -> dict[str, Scalar]:
        """The policy's settings, and those of the levers that plan."""
        levers = {
            field.name: getattr(lever, field.name)
            for lever in (self.depth, self.prefix)
            for field in dataclasses.fields(lever)
        }
        return {**self.policy.knobs, **levers}

    @property
    def moments_at_thaw(self) -> str:
        """As the policy's."""
        return self.policy.moments_at_thaw

    def state_of(self, values: Mapping[str, Any]) -> _State:
        """The state whose attributes are ``values``."""
        return _State(self.policy.state_of(values["inner"]))

    def init(self, num_blocks: int) -> _State:
        """The policy's state for all the blocks."""
        return _State(self.policy.init(num_blocks))

    def plan(self, state: _State, progress: Progress) -> StepPlan:
        """The policy's plan, cut to the blocks that the step has."""
        plan = self.policy.plan(state.inner, progress)
        fraction, blocks = progress.fraction, self.num_blocks
        have = len(self.depth.present(fraction, blocks))
        present = tuple(range(have))
        # A probe tells every block's relevance, so it leaves none out.
        dropped = (
            () if plan.probe else self.depth.dropped(self.seed, progress.step, fraction, present)
        )
        run = tuple(block for block in present if block not in dropped)
        count = min(len(plan.active_blocks), have - self.prefix.blocks_at(fraction, blocks))
        active = tuple(block for block in run if block >= have - count) or run[-1:]
        return dataclasses.replace(
            plan,
            active_blocks=active,
            model_blocks=have,
            new_blocks=self.depth.new_blocks,
            left_out=dropped,
        )

    def observe(self, state: _State, observation: Observation) -> _State:
        """The policy observes, blocks that are not there yet as its lowest ones."""
        if (scores := observation.relevance) is not None:
            have = observation.model_blocks or self.num_blocks
            scores = (0.0,) * (self.num_blocks - have) + scores[:have]
        seen = dataclasses.replace(observation, relevance=scores, model_blocks=None)
        return _State(self.policy.observe(state.inner, seen))


def planned(
    policy: UpdatePolicy[Any], levers: Levers, num_blocks: int, seed: int
) -> UpdatePolicy[Any]:
    """``policy`` as a run with ``levers`` follows it; itself where none of them plans."""
    if not (levers.of(Depth).on or levers.of(CachedPrefix).on):
        return policy
    return Planned(policy, levers, num_blocks, seed)
