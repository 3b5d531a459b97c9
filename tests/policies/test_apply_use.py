"""How an updater is used: progress, accumulation, mistakes in the loop, models that cannot be
divided.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from policies.apply import BlockUpdater, Step
from policies.applying.reaching import PATIENCE
from policies.base import StepPlan, UpdatePolicy
from policies.dynamic_suffix import DynamicSuffix
from policies.full_update import FullUpdate
from policies.presets import TUNED
from policies.static_suffix import StaticSuffix
from tests.policies.nets import (
    Loop,
    Scripted,
    ScriptedState,
    Tower,
    adamw,
    backward,
    batch_at,
    loop,
    loss_of,
    tower,
    train,
)


def updater_of(
    model: Tower, policy: UpdatePolicy[Any] | None = None, **options: Any
) -> BlockUpdater:
    return BlockUpdater(model, list(model.blocks), policy or Scripted("2"), adamw(model), **options)


class TestProgress:
    def test_a_fraction_given_to_each_step_is_the_policys_progress(self) -> None:
        """Freezing starts where the fraction says, whatever the number of steps."""
        model = tower()
        policy = DynamicSuffix(freeze_start=0.5, recovery=0.25, probe_every=100, threshold=0.0)
        updater = updater_of(model, policy)
        phases = []
        for fraction in (0.0, 0.1, 0.5, 0.7499, 0.75, 1.0):
            with updater.step(fraction=fraction) as step:
                loss = loss_of(model)
                backward(loss)
                step.observe(loss)
            phases.append(step.plan.phase)
        assert phases == ["full", "full", "reduced", "reduced", "recovery", "recovery"]

    def test_steps_beyond_the_total_count_as_the_end(self) -> None:
        """A loop that runs longer than it said stays in its last phase."""
        run = loop(DynamicSuffix(recovery=0.25), steps=4)
        assert [run.step(number).plan.phase for number in range(6)][3:] == ["recovery"] * 3

    @pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
    def test_a_fraction_out_of_range_is_refused(self, fraction: float) -> None:
        """Nothing is clamped."""
        with (
            pytest.raises(ValueError, match="0 <= fraction <= 1 must hold"),
            updater_of(tower()).step(fraction),
        ):
            pass

    @pytest.mark.parametrize(("total", "fraction"), [(None, None), (3, 0.5)])
    def test_progress_comes_from_exactly_one_place(
        self, total: int | None, fraction: float | None
    ) -> None:
        """Neither and both are refused with what to give."""
        updater = updater_of(tower(), total_steps=total)
        with (
            pytest.raises(ValueError, match=r"exactly one of .*total_steps.* and .*fraction"),
            updater.step(fraction),
        ):
            pass


class TestAccumulation:
    def micro_steps(self, run: Loop, first: int, count: int) -> list[Any]:
        steps = []
        for number in range(first, first + count):
            with run.updater.step() as step:
                loss = loss_of(run.model, number)
                backward(loss / count)
                step.observe(loss)
            steps.append((step, loss.item()))
        run.optimizer.step()
        run.optimizer.zero_grad(set_to_none=True)
        return steps

    def test_one_plan_a_mean_loss_and_the_summed_gradients(self) -> None:
        """Three micro-steps follow one plan, the policy sees their mean loss, the last reads the
        scores.
        """
        run = loop(Scripted("p 2 p"), accumulate=3)
        for window in range(3):
            steps = self.micro_steps(run, 3 * window, 3)
            plans = {step.plan.active_blocks for step, _ in steps}
            assert len(plans) == 1
            assert [step.relevance is None for step, _ in steps] == [True, True, window == 1]
            seen = run.updater.state_dict()["state"]
            assert seen["losses"][-1] == sum(loss for _, loss in steps) / 3
            assert len(seen["losses"]) == window + 1

    def test_scores_of_a_window_equal_those_of_one_large_batch(self) -> None:
        """In evaluation mode, where a mean over three batches is the mean over their union."""
        apart, whole = loop(Scripted("p"), accumulate=3), loop(Scripted("p"))
        apart.model.eval()
        whole.model.eval()
        steps = self.micro_steps(apart, 0, 3)
        x, y = (torch.cat(parts) for parts in zip(*(batch_at(i) for i in range(3)), strict=True))
        step = train(whole.updater, None, lambda: functional.mse_loss(whole.model(x), y))
        assert steps[-1][0].relevance == pytest.approx(step.relevance, rel=1e-4)

    def test_an_optimizer_that_steps_sooner_ends_the_step(self) -> None:
        """Five batches an epoch, the fifth alone: blocks freeze and thaw between steps only."""
        run, depths = loop(Scripted("1 2 3 4"), accumulate=2), []
        for number in (0, 1, 2, 3, 4, 0, 1, 2):
            with run.updater.step() as step:
                loss = loss_of(run.model, number)
                backward(loss)
                step.observe(loss)
            depths.append(len(step.plan.active_blocks))
            if number % 2 or number == 4:
                run.optimizer.step()
                run.optimizer.zero_grad()
        assert depths == [1, 1, 2, 2, 3, 4, 4, 4]

    def test_accumulation_that_is_not_said_is_told_of(self) -> None:
        """Once, as soon as gradients are added to which no optimizer has stepped along; one that
        skips a step, as under a scaler, drops them.
        """

        def epoch(run: Loop, skips: bool) -> None:
            for number in range(8):
                train(run.updater, None, loss_of, run.model, number)
                if number % 2:
                    run.optimizer.step()
                if skips or number % 2:
                    run.optimizer.zero_grad()

        with pytest.warns(UserWarning, match="accumulate=N") as told:
            epoch(loop(Scripted("4")), skips=False)
        assert len(told) == 1
        epoch(loop(Scripted("4")), skips=True)

    def test_losses_observed_one_after_the_other_add_up(self) -> None:
        """As the gradients do, of several backwards in one step."""
        run, losses = loop(Scripted("p")), []
        with run.updater.step() as step:
            for number in range(3):
                loss = loss_of(run.model, number)
                backward(loss)
                step.observe(loss)
                losses.append(loss.item())
        assert run.updater.state_dict()["state"]["losses"] == (sum(losses),)

    @pytest.mark.parametrize("loss", [torch.ones(3), {"loss": torch.ones(())}, None])
    def test_what_is_no_loss_is_named(self, loss: Any) -> None:
        """With what to give."""
        step = Step(StepPlan((0,), probe=False, phase="full"), None, print)
        with pytest.raises(ValueError, match=r"loss\.mean\(\) of several"):
            step.observe(loss)

    def test_no_state_between_micro_steps(self) -> None:
        """The gradients so far would be lost."""
        run = loop(Scripted("p"), accumulate=2)
        with run.updater.step() as step:
            loss = loss_of(run.model)
            backward(loss)
            step.observe(loss)
        with pytest.raises(RuntimeError, match="whole optimizer step, but got 1 of 2"):
            run.updater.state_dict()


class TestMistakes:
    def test_observe_forgotten(self) -> None:
        """Named when the step ends."""
        model = tower()
        updater = updater_of(model, total_steps=2)
        with (
            pytest.raises(RuntimeError, match=r"step.observe\(loss\) must be called"),
            updater.step(),
        ):
            backward(loss_of(model))

    @pytest.mark.parametrize("script", ["p", "2"])
    def test_backward_forgotten(self, script: str) -> None:
        """Named on a probe and on any other step."""
        model = tower()
        updater = updater_of(model, Scripted(script), total_steps=2)
        with (
            pytest.raises(RuntimeError, match=r"loss.backward\(\) must come before"),
            updater.step() as step,
        ):
            step.observe(loss_of(model))

    def test_steps_do_not_nest(self) -> None:
        """The outer step is not disturbed."""
        model = tower()
        updater = updater_of(model, total_steps=2)
        with updater.step() as step:
            with pytest.raises(RuntimeError, match="inside another"), updater.step():
                pass
            loss = loss_of(model)
            backward(loss)
            step.observe(loss)

    def test_a_step_that_raises_is_planned_again(self) -> None:
        """Modes are restored, the policy has seen nothing, and the run equals one without the
        failure.
        """
        failed, clean = (
            loop(Scripted("p 2 p 1"), dropout=0.0),
            loop(Scripted("p 2 p 1"), dropout=0.0),
        )
        failed.step(0)
        before = failed.updater.state_dict()
        with pytest.raises(ZeroDivisionError), failed.updater.step():
            raise ZeroDivisionError
        assert failed.updater.state_dict() == before
        assert all(module.training for module in failed.model.modules())
        plans = [failed.step(number).plan for number in range(1, 4)]
        assert [clean.step(number).plan for number in range(4)][1:] == plans
        assert failed.updater.state_dict() == clean.updater.state_dict()

    def test_the_state_of_another_run_is_refused(self) -> None:
        """Every difference is named."""
        state = loop(StaticSuffix(active_fraction=0.5)).updater.state_dict()
        with pytest.raises(
            ValueError, match=r"knobs must be .*0\.25.* as here, but the state has .*0\.5"
        ):
            loop(StaticSuffix(active_fraction=0.25)).updater.load_state_dict(state)
        with pytest.raises(
            ValueError, match=r"policy must be 'full_update'.*; accumulate must be 2"
        ):
            loop(FullUpdate(), accumulate=2).updater.load_state_dict(state)

    def test_numbers_out_of_range(self) -> None:
        """All at once."""
        with pytest.raises(
            ValueError, match=r"total_steps >= 1.*moments_on_thaw must be one of.*accumulate >= 1"
        ):
            updater_of(tower(), total_steps=0, moments_on_thaw="drop", accumulate=0)

    def test_a_plan_that_names_no_such_block(self) -> None:
        """A policy's mistake is not silently trained."""

        class Beyond(Scripted):
            def init(self, num_blocks: int) -> ScriptedState:
                return ScriptedState(num_blocks + 1)

        with pytest.raises(ValueError, match=r"blocks of \(0, 1, 2, 3\), but got"):
            updater_of(tower(), Beyond("2"), total_steps=1)._next_plan(None)


def test_a_preset_trains() -> None:
    """The readme's loop with a preset, to the end: the loss falls."""
    run = loop(TUNED, steps=60)
    for number in range(60):
        run.step(number)
    losses = [loss_of(run.model.eval(), number).item() for number in range(1000, 1010)]
    untrained = [loss_of(tower().eval(), number).item() for number in range(1000, 1010)]
    assert sum(losses) < 0.5 * sum(untrained)


class Branching(nn.Module):
    """Three blocks, the second of which is run in one call of so many, or never."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.every, self.calls = every, 0

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 4) -> (batch, 4)."""
        self.calls += 1
        for index, block in enumerate(self.blocks):
            left_out = index == 1 and (not self.every or self.calls % self.every)
            x = x if left_out else block(x)
        return x


def train_branching(every: int, stopped_after: int = 0) -> None:
    """Train until a block that is never run must have been noticed, resumed on the way if asked."""
    model = Branching(every)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    updater = BlockUpdater(model, list(model.blocks), FullUpdate(), optimizer, total_steps=99)
    for number in range(2 * PATIENCE):
        if stopped_after and number % stopped_after == 0:
            state = json.loads(json.dumps(updater.state_dict()))
            updater.close()
            updater = BlockUpdater(
                model, list(model.blocks), FullUpdate(), optimizer, total_steps=99
            )
            updater.load_state_dict(state)
        with updater.step() as step:
            loss = model(torch.ones(2, 4)).square().mean()
            loss.backward()
            step.observe(loss)
        optimizer.step()
        optimizer.zero_grad()


def test_a_trained_block_that_is_never_run_is_an_error() -> None:
    """It is named with what to do; one that is dropped in most steps is trained in the others."""
    for every in (2, PATIENCE - 1):
        train_branching(every)
    with pytest.raises(RuntimeError, match=r"blocks\.1 got none in 16 steps.*branch not taken"):
        train_branching(0)
    with pytest.raises(RuntimeError, match=r"blocks\.1 got none in 16 steps"):
        train_branching(0, stopped_after=PATIENCE - 1)
