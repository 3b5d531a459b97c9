"""dynamic_suffix: train the top blocks that the gradients say matter; look again now and then.

For each block l, with g_l its gradient and W_l its weights at a probe (the project's research
note, section D)::

    s_l    = ||g_l||_2 / (||W_l||_2 + eps)             or sum |g_l · W_l| (relevance = 'saliency')
    ema_l <- ema_beta · ema_l + (1 - ema_beta) · s_l   at the first probe ema_l = s_l
    suffix = the fewest top blocks whose ema sum >= threshold · total, rounded up to a level

A run has three phases, by its progress in [0, 1]::

    recovery   progress >= 1 - recovery (never where 0)         all blocks, no probes
    reduced    progress >= freeze_start, stable where gate      the suffix; on a probe all blocks
    full       before                                           all blocks, probes read only

Once reduced, a run stays so until recovery. The loss is *stable* when, over two consecutive windows
of ``stability_window`` steps with means m' and m and the later one's standard deviation sd::

    |m - m'| <= stability_change · |m' - zero|     sd <= stability_variation · |m - zero|

The *budget* caps the depth. It starts at ``max_active`` and, where ``adaptive``, moves on every
probe of the reduced phase, by comparing the probe's loss with the mean of earlier ones (an EMA with
``budget_beta``, kept from the first probe of the run on)::

    loss - zero > budget_upper · (mean - zero)    it grows by budget_step, up to max_active
    loss - zero < budget_lower · (mean - zero)    it shrinks as much, down to the least level

*zero* is what losses are measured from, so that a ratio of them means something: 0 as long as none
was negative. A log-likelihood has no such zero of its own; once a loss was negative, zero lies as
far below the lowest loss seen as the highest lies above it (``2 · lowest - highest``). Subtracting
a constant from losses that are negative anyway thus changes no decision, and a better loss never
moves the budget the way a worse one does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from policies.base import (
    MOMENTS_ON_THAW,
    RELEVANCE_METRICS,
    Observation,
    Phase,
    Progress,
    StepPlan,
    UpdatePolicy,
    setting,
)
from policies.dynamic_state import DynamicSuffixState as DynamicSuffixState
from policies.suffix import allowed_depths, count, needed_depth, round_up, top


@dataclass(frozen=True)
class DynamicSuffix(UpdatePolicy[DynamicSuffixState]):
    """Freeze the bottom blocks while their smoothed relevance is small; see the module."""

    name: ClassVar[str] = "dynamic_suffix"
    State: ClassVar[type[DynamicSuffixState]] = DynamicSuffixState

    ema_beta: float = setting(
        0.9,
        low=0.0,
        high=0.999,
        unit="weight",
        meaning="weight of the past in the smoothed relevance",
    )
    threshold: float = setting(
        0.8,
        low=0.0,
        high=1.0,
        unit="fraction of the relevance",
        meaning="share the active blocks must hold",
    )
    min_active: float = setting(
        0.25,
        low=0.01,
        high=1.0,
        unit="fraction of the blocks",
        meaning="fewest active blocks while reduced",
    )
    max_active: float = setting(
        1.0,
        low=0.01,
        high=1.0,
        unit="fraction of the blocks",
        meaning="most active blocks while reduced",
    )
    levels: int = setting(
        4, low=1, high=8, unit="count", meaning="depths allowed, evenly spaced over the blocks"
    )
    probe_every: int = setting(
        20, low=1, high=1_000_000, unit="steps", meaning="steps from one probe to the next"
    )
    freeze_start: float = setting(
        0.2,
        low=0.0,
        high=1.0,
        unit="fraction of the run",
        meaning="progress before which nothing freezes",
    )
    gate: bool = setting(
        False,
        choices=(False, True),
        meaning="whether freezing also waits for the loss to be stable",
    )
    stability_window: int = setting(
        20, low=2, high=1_000_000, unit="steps", meaning="losses in a window of the gate"
    )
    stability_change: float = setting(
        0.02,
        low=0.0,
        high=10.0,
        unit="fraction",
        meaning="change of a window's mean loss that still is stable",
    )
    stability_variation: float = setting(
        0.1,
        low=0.0,
        high=10.0,
        unit="fraction",
        meaning="deviation over mean in a window that still is stable",
    )
    adaptive: bool = setting(
        False,
        choices=(False, True),
        meaning="whether the budget of active blocks follows the probes' loss",
    )
    budget_beta: float = setting(
        0.9,
        low=0.0,
        high=0.999,
        unit="weight",
        meaning="weight of the past in the smoothed probe loss",
    )
    budget_upper: float = setting(
        1.02,
        low=0.0,
        high=10.0,
        unit="factor",
        meaning="probe loss over its mean above which the budget grows; losses that can be "
        "negative are measured from below their lowest",
    )
    budget_lower: float = setting(
        0.98,
        low=0.0,
        high=10.0,
        unit="factor",
        meaning="probe loss over its mean below which it shrinks",
    )
    budget_step: float = setting(
        0.25,
        low=0.01,
        high=1.0,
        unit="fraction of the blocks",
        meaning="by how much the budget moves",
    )
    recovery: float = setting(
        0.1, low=0.0, high=1.0, unit="fraction of the run", meaning="full updates at the end"
    )
    relevance: str = setting(
        "ratio",
        choices=RELEVANCE_METRICS,
        meaning="block score: gradient over weight norm, or sum of |g·w|",
    )
    moments_on_thaw: str = setting(
        "keep", choices=MOMENTS_ON_THAW, meaning="optimizer moments of a block that is active again"
    )

    def faults(self) -> list[str]:
        """The settings' own rules and those between them."""
        return [
            *super().faults(),
            *_order("min_active", self.min_active, "max_active", self.max_active),
            *_order("budget_lower", self.budget_lower, "budget_upper", self.budget_upper),
            *self._phase_faults(),
        ]

    def _phase_faults(self) -> list[str]:
        start, recovery = self.freeze_start, self.recovery
        if not (_is_number(start) and _is_number(recovery)) or start + recovery <= 1:
            return []
        return [
            "freeze_start + recovery <= 1 must hold, or freezing would start after recovery has, "
            f"but got freeze_start={start!r}, recovery={recovery!r}"
        ]

    @property
    def moments_at_thaw(self) -> str:
        """The setting ``moments_on_thaw``."""
        return self.moments_on_thaw

    def depths(self, num_blocks: int) -> tuple[int, ...]:
        """The allowed depths, and all blocks for probes and the other phases."""
        return tuple(sorted({*self._allowed(num_blocks), num_blocks}))

    def init(self, num_blocks: int) -> DynamicSuffixState:
        """No relevance known, the budget at ``max_active``."""
        return DynamicSuffixState(num_blocks, budget=count(self.max_active, num_blocks))

    def plan(self, state: DynamicSuffixState, progress: Progress) -> StepPlan:
        """All blocks, or while reduced and not probing the suffix."""
        phase = self._phase(state, progress)
        probe = phase != "recovery" and progress.step % self.probe_every == 0
        suffix = phase == "reduced" and not probe
        depth = self._depth(state) if suffix else state.num_blocks
        return StepPlan(top(depth, state.num_blocks), probe, phase, self.relevance)

    def observe(self, state: DynamicSuffixState, observation: Observation) -> DynamicSuffixState:
        """Smooth a probe's relevance and loss, move the budget, judge the loss's stability.

        A loss or a set of scores that is not finite (an overflow under mixed precision) is passed
        over.

        Raises:
            ValueError: the number of scores is not the number of blocks.
        """
        finite = math.isfinite(observation.loss)
        loss = observation.loss
        if finite and (self.adaptive or self.gate):
            state = state.with_range(loss)
        if observation.relevance is not None:
            state = state.with_relevance(observation.relevance, self.ema_beta)
            if self.adaptive and finite:
                reduced = observation.phase == "reduced"
                budget = self._budget(state, state.probe_ratio(loss)) if reduced else state.budget
                state = replace(state, budget=budget).with_probe_loss(loss, self.budget_beta)
        if self.gate and finite and observation.phase == "full":
            limits = (self.stability_window, self.stability_change, self.stability_variation)
            state = state.with_loss(loss, *limits)
        return state

    def _phase(self, state: DynamicSuffixState, progress: Progress) -> Phase:
        if self.recovery > 0 and progress.fraction >= 1 - self.recovery:
            return "recovery"
        # Losses are judged only while full, so what was stable when freezing began remains so.
        return (
            "reduced"
            if progress.fraction >= self.freeze_start and (state.stable or not self.gate)
            else "full"
        )

    def _allowed(self, num_blocks: int) -> tuple[int, ...]:
        low, high = count(self.min_active, num_blocks), count(self.max_active, num_blocks)
        return allowed_depths(num_blocks, self.levels, low, high)

    def _depth(self, state: DynamicSuffixState) -> int:
        needed = state.num_blocks if state.ema is None else needed_depth(state.ema, self.threshold)
        return round_up(needed, self._allowed(state.num_blocks), state.budget)

    def _budget(self, state: DynamicSuffixState, ratio: float) -> int:
        step = count(self.budget_step, state.num_blocks)
        depths = self._allowed(state.num_blocks)
        if ratio > self.budget_upper:
            return min(state.budget + step, depths[-1])
        if ratio < self.budget_lower:
            return max(state.budget - step, depths[0])
        return state.budget


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))


def _order(low_name: str, low: float, high_name: str, high: float) -> list[str]:
    """The fault of two settings that must ascend; wrong types are their own rules' to refuse."""
    if not (_is_number(low) and _is_number(high)) or low <= high:
        return []
    return [
        f"{low_name} <= {high_name} must hold, but got {low_name}={low!r}, {high_name}={high!r}"
    ]
