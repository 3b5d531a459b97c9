"""What loops are used to do in a step: refused where a recipe's run does it, and a loop in float16
the loop without a scaler to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from policies.apply import BlockUpdater, Step
from policies.registry import make_policy
from tests.support import tiny
from tests.tuning.training.test_plain_loop import again, applied, recipe_of
from tuning.training.plain_loop import RecipeRun

STEPS = 4
MUON = {"optimizer": "muon"}
Habit = Callable[[RecipeRun, Step, Tensor, torch.optim.Optimizer], None]


def under(knobs: dict[str, Any], policy: str = "full_update") -> tuple[nn.Module, RecipeRun]:
    """A small model under a recipe."""
    return applied(recipe_of(knobs, make_policy(policy, {}), again(), STEPS), again())


def trained(knobs: dict[str, Any], scaler: Any = None, overflow: int | None = None) -> list[Tensor]:
    """The weights after a few steps; in step ``overflow`` a gradient is infinite."""
    model, run = under(knobs)
    for number, batch in zip(range(STEPS), run.batches(), strict=False):
        with run.step(scaler) as step:
            loss = again().loss(model, batch)
            torch.autograd.backward(loss if scaler is None else scaler.scale(loss))
            scale = 1.0 if scaler is None else scaler.get_scale()
            step.observe(loss, grad_scale=scale)
            if number == overflow:
                first = next(p for p in model.parameters() if p.grad is not None)
                assert first.grad is not None
                first.grad.fill_(float("inf"))
    return [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("knobs", [{}, MUON], ids=["own", "muon"])
def test_a_scaler_of_a_power_of_two_changes_no_bit(knobs: dict[str, Any]) -> None:
    """Its optimizer steps along the gradients as they are."""
    scaled = trained(knobs, GradScaler("cpu", init_scale=2.0**10))
    for ours, theirs in zip(scaled, trained(knobs), strict=True):
        assert torch.equal(ours, theirs)


def test_a_step_that_the_scaler_skips_moves_nothing() -> None:
    """And the factor shrinks: the weights stay finite, and are others than without."""
    scaler = GradScaler("cpu", init_scale=2.0**10, backoff_factor=0.5)
    found = trained({}, scaler, overflow=1)
    assert all(bool(torch.isfinite(each).all()) for each in found)
    assert scaler.get_scale() == 2.0**9
    assert any(not torch.equal(a, b) for a, b in zip(found, trained({}), strict=True))


def steps_the_runs(run: RecipeRun, step: Step, loss: Tensor, own: torch.optim.Optimizer) -> None:
    torch.autograd.backward(loss)
    run.optimizer.step()


def steps_its_own(run: RecipeRun, step: Step, loss: Tensor, own: torch.optim.Optimizer) -> None:
    torch.autograd.backward(loss)
    own.step()


def scales(run: RecipeRun, step: Step, loss: Tensor, own: torch.optim.Optimizer) -> None:
    """As PyTorch's page on mixed precision has it."""
    scaler = GradScaler("cpu")
    torch.autograd.backward(scaler.scale(loss))
    scaler.step(run.optimizer)


def drops(run: RecipeRun, step: Step, loss: Tensor, own: torch.optim.Optimizer) -> None:
    torch.autograd.backward(loss)
    step.observe(loss)
    run.optimizer.zero_grad()


HABITS: dict[Habit, str] = {
    steps_the_runs: r"\.step\(\) inside it",
    steps_its_own: r"AdamW\.step\(\) inside it",
    scales: r"run\.step\(scaler\)",
    drops: "no parameter has one any more",
}


@pytest.mark.parametrize(("habit", "said"), HABITS.items(), ids=[h.__name__ for h in HABITS])
@pytest.mark.parametrize("knobs", [{}, MUON], ids=["own", "muon"])
def test_what_a_run_does_is_not_done_by_the_loop(
    knobs: dict[str, Any], habit: Habit, said: str
) -> None:
    """Each step would be taken twice, or none: it is said in the first."""
    model, run = under(knobs)
    own, batch = again().make_optimizer(model), next(run.batches())

    def first() -> None:
        with run.step() as step:
            loss = again().loss(model, batch)
            habit(run, step, loss, own)
            step.observe(loss)

    with pytest.raises(RuntimeError, match=said):
        first()


def test_other_models_may_be_stepped_inside() -> None:
    """A discriminator's optimizer say."""
    model, run = under({})
    other = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    batch = next(run.batches())
    with run.step() as step:
        torch.autograd.backward(other(torch.ones(1, 2)).sum())
        optimizer.step()
        loss = again().loss(model, batch)
        torch.autograd.backward(loss)
        step.observe(loss)
    assert run.steps == 1


@pytest.mark.parametrize("policy", ["full_update", "static_suffix"])
@pytest.mark.parametrize("part", ["all", "the model"])
def test_a_forward_before_its_step_is_refused(policy: str, part: str) -> None:
    """The blocks are not yet frozen or thawed as it plans; also where only the loss is inside."""
    model = tiny.make_model(0)
    inputs, targets = tiny.batch_at(0, 0)
    optimizer = tiny.make_optimizer(model)
    blocks = tiny.tiny().blocks(model)
    updater = BlockUpdater(model, blocks, make_policy(policy, {}), optimizer, total_steps=9)
    outputs = model(inputs)
    before = nn.functional.mse_loss(outputs, targets) if part == "all" else None

    def first() -> None:
        with updater.step() as step:
            loss = nn.functional.mse_loss(outputs, targets) if before is None else before
            torch.autograd.backward(loss)
            step.observe(loss)

    with pytest.raises(RuntimeError, match="was used before it began, when"):
        first()


def test_what_another_model_made_before_may_go_in() -> None:
    """Features with a graph of their own, of an encoder that is trained beside it."""
    model, encoder = tiny.make_model(0), nn.Linear(tiny.FEATURES, tiny.FEATURES)
    inputs, targets = tiny.batch_at(0, 0)
    blocks = tiny.tiny().blocks(model)
    policy = make_policy("static_suffix", {})
    updater = BlockUpdater(model, blocks, policy, tiny.make_optimizer(model), total_steps=9)
    features = encoder(inputs)
    with updater.step() as step:
        loss = nn.functional.mse_loss(model(features), targets)
        torch.autograd.backward(loss)
        step.observe(loss)
    assert encoder.weight.grad is not None


def test_a_run_that_is_not_over_is_not_settled_without_a_word() -> None:
    """Its rates have not come down."""
    model, run = under({"averaging": "ema"})
    batch = next(run.batches())
    with run.step() as step:
        loss = again().loss(model, batch)
        torch.autograd.backward(loss)
        step.observe(loss)
    with pytest.warns(UserWarning, match="stands at 1 of its steps"):
        run.settle()
