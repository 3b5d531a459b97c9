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


def taken(model: nn.Module, run: RecipeRun, batch: Any, then: Callable[[], Any] = int) -> Tensor:
    """One step, with ``then`` at the end of its body: its loss."""
    with run.step() as step:
        loss: Tensor = again().loss(model, batch)
        torch.autograd.backward(loss)
        step.observe(loss)
        then()
    return loss


def looped(model: nn.Module, run: RecipeRun, then: Callable[[], Any] = int) -> list[Tensor]:
    """The weights at the end of a run, ``then`` being called after each step."""
    for batch in run.batches():
        taken(model, run, batch)
        then()
    return [p.detach().clone() for p in model.parameters()]


def set_rate(optimizer: torch.optim.Optimizer) -> None:
    for group in optimizer.param_groups:
        group["lr"] = 1e-5


def new_run(model: nn.Module, optimizer: Any, knobs: dict[str, Any] | None = None) -> RecipeRun:
    """A recipe applied to that model and optimizer."""
    recipe = recipe_of(knobs or {}, make_policy("full_update", {}), again(), STEPS)
    workload = again()
    return recipe.apply(
        model,
        workload.blocks(model),
        optimizer,
        batch_at=workload.batch_at,
        loss=workload.loss,
    )


@pytest.mark.parametrize("knobs", [{}, MUON], ids=["own", "muon"])
def test_rates_that_a_loop_sets_between_steps_are_the_recipes_and_told(
    knobs: dict[str, Any],
) -> None:
    """A scheduler that was left in the loop, also of an optimizer whose place another took."""
    straight = looped(*under(knobs))
    model = again().make_model(3)
    optimizer = again().make_optimizer(model)
    run = new_run(model, optimizer, knobs)
    with pytest.warns(UserWarning, match="it is the recipe that sets the rates") as told:
        mine = looped(model, run, lambda: set_rate(optimizer))
    assert len(told) == 1
    assert told[0].filename == __file__
    assert all(map(torch.equal, mine, straight))


def test_rates_that_a_loop_sets_inside_a_step_are_refused() -> None:
    """They would be those of the step."""
    model, run = under({})
    with pytest.raises(RuntimeError, match="the loop has set 1e-05 inside it"):
        taken(model, run, next(run.batches()), lambda: set_rate(run.optimizer))


@pytest.mark.parametrize("knobs", [{}, MUON], ids=["own", "muon"])
def test_a_group_that_comes_later_is_refused(knobs: dict[str, Any]) -> None:
    """Its peak is not known, and where another optimizer steps nobody would step it."""
    model = again().make_model(3)
    optimizer = again().make_optimizer(model)
    run = new_run(model, optimizer, knobs)
    optimizer.add_param_group({"params": nn.Linear(2, 2).parameters()})
    with pytest.raises(RuntimeError, match="before the recipe is applied"):
        taken(model, run, next(run.batches()))


def warmed_up(model: nn.Module) -> torch.optim.Optimizer:
    optimizer = tiny.make_optimizer(model)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (step + 1) / 10)
    return optimizer


def stepped(model: nn.Module) -> torch.optim.Optimizer:
    """As a checkpoint of model and optimizer has it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    torch.autograd.backward(again().loss(model, again().batch_at(0, 0)))
    optimizer.step()
    optimizer.zero_grad()
    return optimizer


def loaded(model: nn.Module) -> torch.optim.Optimizer:
    other = again().make_model(0)
    before, optimizer = tiny.make_optimizer(other), tiny.make_optimizer(model)
    torch.autograd.backward(again().loss(other, again().batch_at(0, 0)))
    before.step()
    optimizer.load_state_dict(before.state_dict())
    return optimizer


OPTIMIZERS: dict[Callable[[nn.Module], torch.optim.Optimizer], str] = {
    warmed_up: "a scheduler has set 0.001 of 0.01",
    stepped: "must not have stepped yet",
    loaded: r"run\.load_state_dict",
    lambda model: again().make_optimizer(again().make_model(0)): "holds none of them",
}


@pytest.mark.parametrize(("make", "said"), OPTIMIZERS.items(), ids=range(len(OPTIMIZERS)))
def test_an_optimizer_that_would_train_otherwise_is_refused(
    make: Callable[[nn.Module], torch.optim.Optimizer], said: str
) -> None:
    """At a share of its rates, on from another run's moments, or not at all."""
    model = again().make_model(3)
    with pytest.raises(ValueError, match=said):
        new_run(model, make(model))


def test_sums_that_an_optimizer_begins_with_are_no_steps() -> None:
    """Adagrad has them when it is made."""
    model = again().make_model(3)
    run = new_run(model, torch.optim.Adagrad(model.parameters(), lr=0.1))
    taken(model, run, next(run.batches()))
    assert run.steps == 1


def test_what_the_optimizer_lacks_is_told_or_refused() -> None:
    """A head that came after the optimizer, and one that came after the recipe."""
    model = again().make_model(3)
    optimizer = again().make_optimizer(model)
    model.head = nn.Linear(tiny.WIDTH, 1)
    with pytest.warns(UserWarning, match=r"2 parameters .* head\.weight for one"):
        new_run(model, optimizer)
    run = new_run(model, again().make_optimizer(model))
    model.head = nn.Linear(tiny.WIDTH, 1)
    with pytest.raises(RuntimeError, match=r"head\.weight was put into the model after"):
        taken(model, run, next(run.batches()))


def test_weights_that_are_loaded_in_place_of_the_old_are_refused_later_too() -> None:
    """``assign=True`` makes other parameters, which nobody steps."""
    model, run = under({})
    batches = run.batches()
    taken(model, run, next(batches))
    model.load_state_dict({k: v.clone() for k, v in model.state_dict().items()}, assign=True)
    with pytest.raises(RuntimeError, match=r"stem\.weight is another one"):
        taken(model, run, next(batches))


def test_a_body_that_raises_leaves_no_gradients() -> None:
    """What is tried again is the step alone."""
    straight = looped(*under({}))
    model, run = under({})

    def fail() -> None:
        raise torch.OutOfMemoryError("no memory")

    for batch in run.batches():
        with pytest.raises(torch.OutOfMemoryError):
            taken(model, run, batch, fail)
        taken(model, run, batch)
    assert all(map(torch.equal, straight, model.parameters()))


def test_gradients_of_a_backward_before_the_step_are_refused() -> None:
    """Its own would be added to them; zeros are none."""
    model, run = under({})
    batch = next(run.batches())
    torch.autograd.backward(again().loss(model, batch))
    with pytest.raises(RuntimeError, match="must begin without gradients"):
        taken(model, run, batch)
    model.zero_grad(set_to_none=False)
    taken(model, run, batch)
    assert run.steps == 1


def test_inside_averaged_nothing_is_trained_saved_or_settled() -> None:
    """The weights there are not those that go on."""
    model, run = under({"averaging": "ema"})
    batch = next(run.batches())
    with run.averaged():
        with pytest.raises(RuntimeError, match=r"run\.step\(\) must come after"):
            taken(model, run, batch)
        with pytest.raises(RuntimeError, match=r"run\.state_dict\(\) must come after"):
            run.state_dict()
        with pytest.raises(RuntimeError, match=r"run\.settle\(\) must come after"):
            run.settle()
    taken(model, run, batch)
    run.state_dict()


def test_without_an_average_they_are_the_same_inside() -> None:
    """So that nothing is refused."""
    model, run = under({})
    with run.averaged():
        taken(model, run, next(run.batches()))
        run.state_dict()
    assert run.steps == 1


def test_a_model_that_is_left_in_evaluation_mode_is_told_of() -> None:
    """Once."""
    model, run = under({})
    with pytest.warns(UserWarning, match=r"call model\.train\(\)") as told:
        looped(model, run, model.eval)
    assert len(told) == 1


def test_a_step_after_the_runs_own_is_told_of() -> None:
    """It does nothing, nor does clipping there; once the run is over it is the loop's."""
    model, run = under({})
    with pytest.warns(UserWarning, match=r"AdamW\.step\(\) does nothing after") as told:
        looped(model, run, lambda: run.optimizer.step())
    assert len(told) == 1
    torch.autograd.backward(again().loss(model, again().batch_at(0, 0)))
    run.optimizer.step()


def test_continue_inside_a_step_is_named() -> None:
    """Not taken for gradients that were dropped."""
    _, run = under({})
    next(run.batches())

    def skip() -> None:
        for _ in range(1):
            with run.step():
                continue

    with pytest.raises(RuntimeError, match="continue, break and return leave it"):
        skip()


def test_after_a_run_nothing_is_frozen() -> None:
    """Whoever trains the model on trains all of it, and another recipe finds it as it was."""
    model, run = under({}, "static_suffix")
    looped(model, run)
    assert all(p.requires_grad for p in model.parameters())


def test_a_run_that_was_broken_off_leaves_nothing_frozen_to_the_next() -> None:
    """As in a notebook, where the cell is run again."""
    model, run = under({}, "static_suffix")
    taken(model, run, next(run.batches()))
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = again().make_optimizer(model)
    with pytest.warns(UserWarning, match="still frozen by an earlier"):
        other = new_run(model, optimizer)
    after = looped(model, other)
    assert not any(map(torch.equal, before, after))
    with pytest.raises(RuntimeError, match="another updater was made for these blocks"):
        taken(model, run, again().batch_at(0, 0))


def test_a_run_that_goes_on_otherwise_is_refused_or_told_of() -> None:
    """Another optimizer cannot; at other rates, or for longer, it may be meant."""
    model, run = under({})
    taken(model, run, next(run.batches()))
    state = run.state_dict()
    same = again().make_model(3)
    new_run(same, again().make_optimizer(same)).load_state_dict(state)
    other = again().make_model(3)
    with pytest.raises(ValueError, match=r"another optimizer: .*AdamW \(here .*SGD\)"):
        new_run(other, torch.optim.SGD(other.parameters(), lr=0.1)).load_state_dict(state)
    lower = torch.optim.AdamW(other.parameters(), lr=1e-4, weight_decay=0.1, fused=True)
    with pytest.warns(UserWarning, match=r"another peak rates: \[0\.01\] \(here \[0\.0001\]\)"):
        new_run(other, lower).load_state_dict(state)
