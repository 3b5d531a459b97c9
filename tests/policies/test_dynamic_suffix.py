"""dynamic_suffix against its definition: a second implementation that keeps every number it ever
saw.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.base import (
    Observation,
    Phase,
    Progress,
    StepPlan,
)
from policies.dynamic_suffix import DynamicSuffix, DynamicSuffixState
from policies.suffix import count
from tests.policies.runs import Shown, run


@dataclass
class Naive:
    """Plans from the whole history: losses by phase, and the losses and scores of all probes."""

    policy: DynamicSuffix
    num_blocks: int
    full_losses: list[float] = field(default_factory=list)
    probes: list[tuple[Phase, float, tuple[float, ...]]] = field(default_factory=list)

    def stable(self) -> bool:
        size = self.policy.stability_window
        whole = len(self.full_losses) // size
        if whole < 2:
            return False
        before, now = (self.full_losses[i * size : (i + 1) * size] for i in (whole - 2, whole - 1))
        change = abs(statistics.fmean(now) / statistics.fmean(before) - 1)
        variation = statistics.pstdev(now) / statistics.fmean(now)
        return (
            change <= self.policy.stability_change and variation <= self.policy.stability_variation
        )

    def phase(self, fraction: float) -> Phase:
        if self.policy.recovery and fraction >= 1 - self.policy.recovery:
            return "recovery"
        started = fraction >= self.policy.freeze_start
        return "reduced" if started and (not self.policy.gate or self.stable()) else "full"

    def levels(self) -> list[int]:
        low, high = (
            count(f, self.num_blocks) for f in (self.policy.min_active, self.policy.max_active)
        )
        every = [
            -(-i * self.num_blocks // self.policy.levels) for i in range(1, self.policy.levels + 1)
        ]
        return sorted({max(low, min(high, level)) for level in every})

    def relevance(self) -> list[float]:
        beta, smoothed = self.policy.ema_beta, list(self.probes[0][2])
        for _, _, scores in self.probes[1:]:
            smoothed = [beta * e + (1 - beta) * s for e, s in zip(smoothed, scores, strict=True)]
        return smoothed

    def budget(self) -> int:
        budget, mean = self.levels()[-1], None
        step = count(self.policy.budget_step, self.num_blocks)
        for phase, loss, _ in self.probes if self.policy.adaptive else []:
            if mean is not None and phase == "reduced":
                if loss > self.policy.budget_upper * mean:
                    budget = min(budget + step, self.levels()[-1])
                elif loss < self.policy.budget_lower * mean:
                    budget = max(budget - step, self.levels()[0])
            beta = self.policy.budget_beta
            mean = loss if mean is None else beta * mean + (1 - beta) * loss
        return budget

    def depth(self) -> int:
        usable = [level for level in self.levels() if level <= self.budget()]
        if not self.probes:
            return usable[-1]
        scores = self.relevance()
        total = held = 0.0
        for score in reversed(scores):
            total += score
        for depth in range(1, self.num_blocks + 1):
            held += scores[-depth]
            if held >= self.policy.threshold * total:
                return next((level for level in usable if level >= depth), usable[-1])
        raise AssertionError("all blocks hold everything")

    def step(self, step: int, fraction: float, loss: float, scores: tuple[float, ...]) -> StepPlan:
        phase = self.phase(fraction)
        probe = phase != "recovery" and step % self.policy.probe_every == 0
        depth = self.depth() if phase == "reduced" and not probe else self.num_blocks
        if phase == "full":
            self.full_losses.append(loss)
        if probe:
            self.probes.append((phase, loss, scores))
        blocks = tuple(range(self.num_blocks - depth, self.num_blocks))
        return StepPlan(blocks, probe, phase, self.policy.relevance)


UNEVEN = st.sampled_from([0.0137, 0.0731, 0.1931, 0.5113])
"""Limits that no ratio of the whole losses below meets exactly, so that rounding cannot decide."""


@st.composite
def adaptive_policies(draw: st.DrawFn) -> DynamicSuffix:
    low, high = sorted(draw(st.tuples(st.floats(0.01, 1), st.floats(0.01, 1))))
    return DynamicSuffix(
        ema_beta=draw(st.floats(0, 0.999)),
        threshold=draw(st.floats(0, 1)),
        min_active=low,
        max_active=high,
        levels=draw(st.integers(1, 8)),
        probe_every=draw(st.integers(1, 4)),
        freeze_start=draw(st.floats(0, 0.6)),
        gate=draw(st.booleans()),
        stability_window=draw(st.integers(2, 5)),
        stability_change=draw(UNEVEN),
        stability_variation=draw(UNEVEN),
        adaptive=draw(st.booleans()),
        budget_beta=draw(st.floats(0, 0.999)),
        budget_upper=1 + draw(UNEVEN),
        budget_lower=1 - draw(UNEVEN),
        budget_step=draw(st.floats(0.01, 1)),
        recovery=draw(st.floats(0, 0.4)),
        relevance=draw(st.sampled_from(["ratio", "saliency"])),
    )


@settings(max_examples=200, deadline=None)
@given(st.data(), adaptive_policies(), st.integers(1, 24))
def test_every_plan_is_the_naive_one(
    data: st.DataObject, policy: DynamicSuffix, num_blocks: int
) -> None:
    """Losses are whole numbers around one of two levels: windows are stable now and then."""
    losses = st.integers(95, 105) | st.integers(50, 150)
    scores = st.lists(st.floats(0, 10), min_size=num_blocks, max_size=num_blocks).map(tuple)
    steps: list[Shown] = data.draw(
        st.lists(st.tuples(losses.map(float), scores), min_size=5, max_size=40)
    )
    naive = Naive(policy, num_blocks)
    expected = [naive.step(i, i / len(steps), *seen) for i, seen in enumerate(steps)]
    assert run(policy, num_blocks, steps)[0] == expected


REDUCED = DynamicSuffix(
    freeze_start=0.0, recovery=0.0, probe_every=1, levels=4, threshold=0.5, min_active=0.25
)


def observed(policy: DynamicSuffix, *losses: float, phase: Phase = "reduced") -> DynamicSuffixState:
    """The state after probes with these losses and even scores on 8 blocks."""
    state = policy.init(8)
    for step, loss in enumerate(losses):
        state = policy.observe(state, Observation(step, loss, (1.0,) * 8, phase=phase))
    return state


@pytest.mark.parametrize(
    ("losses", "budget"), [((1, 2), 8), ((1, 0.5), 6), ((2, 1, 1.9), 8), ((4, 3, 2, 1), 2)]
)
def test_the_budget_follows_the_probes(losses: tuple[float, ...], budget: int) -> None:
    """Rising losses grow it up to the maximum, falling ones shrink it by a quarter of the blocks
    each.
    """
    policy = replace(REDUCED, adaptive=True, budget_beta=0.5, budget_step=0.25)
    assert observed(policy, *losses).budget == budget


def test_the_budget_waits_for_the_reduced_phase() -> None:
    """Before it the loss falls for other reasons; its mean is kept all the same."""
    policy = replace(REDUCED, adaptive=True)
    state = observed(policy, 4, 3, 2, 1, phase="full")
    assert state.budget == 8
    assert state.probe_loss is not None


def test_scores_that_are_not_finite_are_passed_over() -> None:
    """Overflow in mixed precision must not reach the smoothed relevance, nor a strict JSON
    checkpoint.
    """
    state = observed(REDUCED, 1.0)
    spoilt = Observation(1, 1.0, (float("inf"), *(1.0,) * 7), phase="reduced")
    assert REDUCED.observe(state, spoilt) == state


def test_a_wrong_number_of_scores_is_refused() -> None:
    """Scores of another model's blocks."""
    with pytest.raises(ValueError, match="got 3 for 8 blocks"):
        REDUCED.observe(REDUCED.init(8), Observation(0, 1.0, (1.0, 1.0, 1.0), phase="full"))


def test_the_gate_holds_freezing_back_until_the_loss_is_stable() -> None:
    """A loss that halves each window, then stays: reduced after the second level window."""
    policy = replace(
        REDUCED, gate=True, stability_window=2, stability_change=0.1, stability_variation=0.1
    )
    losses = [8.0, 8, 4, 4, 2, 2, 2, 2, 9, 1, 9, 1]
    plans, _ = run(policy, 8, [(loss, (1.0,) * 8) for loss in losses])
    assert [plan.phase for plan in plans] == ["full"] * 8 + ["reduced"] * 4


def test_a_probe_every_so_many_steps_until_recovery() -> None:
    """The cadence is the same before and during freezing."""
    policy = replace(REDUCED, probe_every=4, freeze_start=0.3, recovery=0.25)
    plans, _ = run(policy, 8, [(1.0, (1.0,) * 8)] * 20)
    assert [step for step, plan in enumerate(plans) if plan.probe] == [0, 4, 8, 12]
    assert [len(plan.active_blocks) for plan in plans] == [8] * 6 + [4, 4, 8, 4, 4, 4, 8, 4, 4] + [
        8
    ] * 5


def test_progress_at_the_edges_of_the_phases() -> None:
    """Freezing begins at its fraction, recovery at one minus its own; none where it is zero."""
    policy = replace(REDUCED, freeze_start=0.25, recovery=0.25)
    state = policy.init(4)
    edges = {0.2499: "full", 0.25: "reduced", 0.7499: "reduced", 0.75: "recovery", 1.0: "recovery"}
    assert {f: policy.plan(state, Progress(0, f)).phase for f in edges} == edges
    assert REDUCED.plan(state, Progress(0, 1.0)).phase == "reduced"
