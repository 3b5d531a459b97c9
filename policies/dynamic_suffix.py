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
import sys
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
from policies.losses import unit_of, widened, zero_of
from policies.suffix import allowed_depths, count, needed_depth, round_up, top


@dataclass(frozen=True)
class DynamicSuffixState:
    """What the policy remembers; its size does not grow with the steps.

    Attributes:
        num_blocks: blocks of the model.
        budget: most blocks that may be active now.
        ema: smoothed relevance, shape (num_blocks,); None before the first probe.
        probe_loss: smoothed loss of the probes; None before the first.
        stable: whether the last two complete windows were stable.
        window_count: losses in the present window.
        window_mean: their mean.
        window_squares: their summed squared deviations from it, in units of ``window_unit``
            squared.
        window_unit: 1, but for losses whose squares are out of range.
        previous_mean: mean of the window before; None before the first is complete.
        lowest: the lowest finite loss seen; None before the first.
        highest: the highest.
    """

    num_blocks: int
    budget: int
    ema: tuple[float, ...] | None = None
    probe_loss: float | None = None
    stable: bool = False
    window_count: int = 0
    window_mean: float = 0.0
    window_squares: float = 0.0
    window_unit: float = 1.0
    previous_mean: float | None = None
    lowest: float | None = None
    highest: float | None = None

    @property
    def zero(self) -> float:
        """What losses are measured from; see the module."""
        return zero_of(self.lowest, self.highest)


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
        if finite and (self.adaptive or self.gate):
            lowest, highest = widened(state.lowest, state.highest, observation.loss)
            state = replace(state, lowest=lowest, highest=highest)
        if observation.relevance is not None:
            state = self._with_relevance(state, observation.relevance)
            if self.adaptive and finite:
                state = self._with_probe_loss(state, observation)
        if self.gate and finite and observation.phase == "full":
            state = self._with_loss(state, observation.loss)
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

    def _with_relevance(
        self, state: DynamicSuffixState, scores: tuple[float, ...]
    ) -> DynamicSuffixState:
        if len(scores) != state.num_blocks:
            raise ValueError(
                f"one score a block must hold, but got {len(scores)} for {state.num_blocks} blocks"
            )
        if not all(map(math.isfinite, scores)):
            return state
        if state.ema is None:
            return replace(state, ema=scores)
        beta, rest = self.ema_beta, 1 - self.ema_beta
        smoothed = [
            beta * past + rest * score for past, score in zip(state.ema, scores, strict=True)
        ]
        return replace(state, ema=tuple(smoothed))

    def _with_probe_loss(
        self, state: DynamicSuffixState, observation: Observation
    ) -> DynamicSuffixState:
        loss, mean = observation.loss, state.probe_loss
        if mean is None:
            return replace(state, probe_loss=loss)
        level = mean - state.zero
        ratio = (loss - state.zero) / level if level else 1.0
        budget = self._budget(state, ratio) if observation.phase == "reduced" else state.budget
        # The mean of equal losses is that loss: rounding must not pass for a change where losses
        # are level.
        smooth = mean if loss == mean else _smooth(self.budget_beta, mean, loss)
        return replace(state, budget=budget, probe_loss=smooth)

    def _budget(self, state: DynamicSuffixState, ratio: float) -> int:
        step = count(self.budget_step, state.num_blocks)
        depths = self._allowed(state.num_blocks)
        if ratio > self.budget_upper:
            return min(state.budget + step, depths[-1])
        if ratio < self.budget_lower:
            return max(state.budget - step, depths[0])
        return state.budget

    def _with_loss(self, state: DynamicSuffixState, loss: float) -> DynamicSuffixState:
        """One more loss in the window, by Welford's update: no sum of squares to cancel."""
        size = state.window_count + 1
        unit = state.window_unit if size > 1 else unit_of(loss)
        change = loss - state.window_mean
        mean = state.window_mean + change / size
        squares = state.window_squares + (change / unit) * ((loss - mean) / unit)
        squares = min(squares, sys.float_info.max)  # infinity is no JSON
        if size < self.stability_window:
            return replace(
                state, window_count=size, window_mean=mean, window_squares=squares, window_unit=unit
            )
        stable = self._is_stable(state, mean, math.sqrt(squares / size) * unit)
        return replace(
            state,
            stable=stable,
            previous_mean=mean,
            window_count=0,
            window_mean=0.0,
            window_squares=0.0,
            window_unit=1.0,
        )

    def _is_stable(self, state: DynamicSuffixState, mean: float, deviation: float) -> bool:
        before = state.previous_mean
        if before is None:
            return False
        steady = abs(mean - before) <= self.stability_change * abs(before - state.zero)
        return steady and deviation <= self.stability_variation * abs(mean - state.zero)


def _smooth(beta: float, past: float, value: float) -> float:
    return beta * past + (1 - beta) * value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))


def _order(low_name: str, low: float, high_name: str, high: float) -> list[str]:
    """The fault of two settings that must ascend; wrong types are their own rules' to refuse."""
    if not (_is_number(low) and _is_number(high)) or low <= high:
        return []
    return [
        f"{low_name} <= {high_name} must hold, but got {low_name}={low!r}, {high_name}={high!r}"
    ]
