"""Frozen is frozen, whoever moves it: optimizers, slow weights, loops, and forwards that write
buffers.
"""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.optim import LBFGS, SGD, AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel

from policies.apply import BlockUpdater
from policies.applying.reaching import PATIENCE
from tests.policies.nets import (
    WIDTH,
    Loop,
    Scripted,
    Tower,
    adamw,
    backward,
    batch_at,
    block,
    loop,
    loss_of,
    same,
    tensors_of,
    tower,
    train,
)

PLAIN = sorted(
    name
    for name, kind in vars(optim).items()
    if isinstance(kind, type)
    and kind is not Optimizer
    and name not in ("LBFGS", "Muon", "SparseAdam")
)
"""Every optimizer of torch that takes any dense gradient and no closure."""


def parts_of(model: Tower) -> list[nn.Module]:
    return [model.stem, *model.blocks, model.head]


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("set_to_none", [True, False])
def test_no_optimizer_of_torch_moves_what_is_frozen(name: str, set_to_none: bool) -> None:
    """Weights, statistics and moments after each of six steps, to the bit, beside the plan."""
    model = tower()
    optimizer = getattr(optim, name)(model.parameters(), lr=1e-2)
    updater = BlockUpdater(
        model, list(model.blocks), Scripted("p p 2 1 p 3"), optimizer, total_steps=6
    )
    run = Loop(model, optimizer, updater, set_to_none)
    for number in range(6):
        before = [tensors_of(part, optimizer) for part in parts_of(model)]
        active = run.step(number).plan.active_blocks
        after = [tensors_of(part, optimizer) for part in parts_of(model)]
        moved = [not same(*pair) for pair in zip(before, after, strict=True)]
        assert moved == [0 in active, *(index in active for index in range(4)), True]


def test_muon_moves_no_frozen_matrix() -> None:
    """It takes matrices only; the rest is left as it is."""
    model = nn.Sequential(*[nn.Linear(4, 4, bias=False) for _ in range(4)])
    optimizer = optim.Muon(model.parameters(), lr=1e-2)
    updater = BlockUpdater(model, list(model), Scripted("p 2"), optimizer, total_steps=3)
    for number in range(3):
        before = copy.deepcopy(model.state_dict())
        train(updater, optimizer, lambda: model(torch.ones(2, 4)).square().sum())
        moved = [not torch.equal(before[key], value) for key, value in model.state_dict().items()]
        assert moved == ([True] * 4 if number == 0 else [False, False, True, True])


class Looked(nn.Module):
    """Blocks whose gradients are sparse."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Embedding(7, 3, sparse=True) for _ in range(3)])

    def forward(self, ids: Tensor) -> Tensor:
        x = torch.zeros(())
        for looked in self.blocks:
            x = x + looked(ids).square()
        return x.sum()


@pytest.mark.parametrize("metric", ["ratio", "saliency"])
def test_sparse_gradients_train_and_are_read(metric: str) -> None:
    """Relevance as from the dense gradients of the same model; frozen tables stay."""
    model = Looked()
    optimizer = optim.SparseAdam(model.parameters(), lr=1e-2)
    policy = Scripted("p 1", metric=metric)
    updater = BlockUpdater(model, list(model.blocks), policy, optimizer, total_steps=2)
    ids = torch.tensor([1, 3, 3, 0])
    dense = copy.deepcopy(model)
    for table in dense.blocks:
        assert isinstance(table, nn.Embedding)
        table.sparse = False
    twin = BlockUpdater(dense, list(dense.blocks), policy, adamw(dense), total_steps=2)
    expected = train(twin, None, dense, ids).relevance
    assert train(updater, optimizer, model, ids).relevance == pytest.approx(expected, rel=1e-5)
    before = [p.detach().clone() for p in model.parameters()]
    train(updater, optimizer, model, ids)
    assert [torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True)] == [
        True, True, False,
    ]  # fmt: skip


def test_a_closure_that_steps_with_all_gradients_is_told_so() -> None:
    """The stem is found in the loss, which comes after the step; no forward wrote to it."""
    model = tower()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    updater = BlockUpdater(model, list(model.blocks), Scripted("2"), optimizer, total_steps=2)

    def closure() -> Tensor:
        loss = loss_of(model)
        backward(loss)
        return loss

    early = pytest.raises(RuntimeError, match=r"moved stem\S* before it: .* Call it earlier")
    with early, updater.step() as step:
        step.observe(optimizer.step(closure))


class TestLBFGS:
    def steps(self, script: str) -> list[list[str]]:
        """Train with a closure, on all data; which parts moved in each step."""
        model = tower(
            dropout=0.0
        ).eval()  # no statistics, so that only the optimizer moves anything
        optimizer = LBFGS(model.parameters(), lr=0.1, max_iter=3)
        updater = BlockUpdater(
            model, list(model.blocks), Scripted(script), optimizer, total_steps=4
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(model)
            backward(loss)
            return loss

        moved = []
        for _ in range(4):
            before = {name: p.detach().clone() for name, p in model.named_parameters()}
            with updater.step() as step:
                step.observe(closure())
            optimizer.step(closure)  # type: ignore[no-untyped-call]
            parts = {
                ".".join(name.split(".")[:2])
                for name, p in model.named_parameters()
                if not torch.equal(p, before[name])
            }
            moved.append(sorted(parts))
        return moved

    def test_it_is_refused_at_the_first_step_that_moved_something_frozen(self) -> None:
        """It goes on along directions from when everything was trained."""
        with pytest.raises(RuntimeError, match=r"frozen but was moved in LBFGS\.step\(\)"):
            self.steps("p p 2")

    def test_it_trains_where_the_active_blocks_stay_the_same(self) -> None:
        """All of them, or the same suffix from the first step on."""
        assert len(self.steps("p")[-1]) > 5
        assert all(
            not any(part.startswith(("stem", "blocks.0", "blocks.1")) for part in moved)
            for moved in self.steps("2")
        )

    def test_it_cannot_reset_moments_of_a_block(self) -> None:
        """Its state is one for all."""
        model = tower()
        with pytest.raises(ValueError, match=r"moments_on_thaw='reset' .* LBFGS has one state"):
            BlockUpdater(
                model,
                list(model.blocks),
                Scripted("2"),
                LBFGS(model.parameters()),
                total_steps=1,
                moments_on_thaw="reset",
            )


class Lookahead(Optimizer):
    """Every so many steps all weights go halfway back to slow ones, through ``data`` or in the
    open.
    """

    def __init__(self, inner: Optimizer, every: int, hidden: bool) -> None:
        self.inner, self.every, self.hidden, self.count = inner, every, hidden, 0
        super().__init__(inner.param_groups, {})
        self.slow = {p: p.detach().clone() for group in self.param_groups for p in group["params"]}

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.inner.step()
        self.count += 1
        if self.count % self.every == 0:
            for parameter, slow in self.slow.items():
                slow.lerp_(parameter, 0.5)
                (parameter.data if self.hidden else parameter).copy_(slow)


@pytest.mark.parametrize("hidden", [False, True])
def test_slow_weights_are_refused_in_the_step_that_pulls_at_them(hidden: bool) -> None:
    """In the third step, which is the first that pulls, and by name."""
    model = tower()
    optimizer = Lookahead(AdamW(model.parameters(), lr=1e-2), every=3, hidden=hidden)
    updater = BlockUpdater(model, list(model.blocks), Scripted("p 2"), optimizer, total_steps=9)
    for number in range(2):
        train(updater, optimizer, loss_of, model, number)
    with pytest.raises(RuntimeError, match=r"frozen but was moved in Lookahead\.step\(\)"):
        train(updater, optimizer, loss_of, model, 2)


def decay_in_the_open(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.999)


def decay_behind(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.data.mul_(0.999)


def other_weights(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.data = parameter.data * 0.999


@pytest.mark.parametrize("move", [decay_in_the_open, decay_behind, other_weights])
@pytest.mark.parametrize("first", [1, 2, 3])
def test_a_loop_that_moves_weights_is_refused_when_the_next_step_begins(
    move: Callable[[nn.Module], None], first: int
) -> None:
    """From the first frozen step on or later; the parameter is named."""
    run = loop(Scripted("2"))
    for number in range(first):
        run.step(number)
    move(run.model)
    with pytest.raises(RuntimeError, match=r"(stem|blocks\.[01])\.\S+ is frozen but was moved"):
        run.step(first)


@pytest.mark.parametrize("apart", [True, False])
def test_a_frozen_weight_in_the_memory_of_a_trained_one_is_told_so(apart: bool) -> None:
    """Whoever steps; two weights beside one another in one memory are nothing to tell of."""
    model, memory = tower(), torch.randn(2 * WIDTH, WIDTH)
    block(model, 1).linear.weight = nn.Parameter(memory[:WIDTH])
    block(model, 3).linear.weight = nn.Parameter(memory[WIDTH:] if apart else memory[:WIDTH].T)
    optimizer = adamw(model)
    updater = BlockUpdater(model, list(model.blocks), Scripted("1"), optimizer, total_steps=3)
    said = "blocks.1.linear.weight is .* shares memory with blocks.3.linear.weight, which"
    with contextlib.nullcontext() if apart else pytest.raises(RuntimeError, match=said):
        train(updater, optimizer, loss_of, model, 0)


def test_averaged_weights_may_be_swapped_in_and_out() -> None:
    """For an evaluation; left in place they are refused."""
    run = loop(Scripted("p p 2"))
    average = AveragedModel(run.model)
    for number in range(3):
        run.step(number)
        average.update_parameters(run.model)
    pairs = list(zip(run.model.parameters(), average.module.parameters(), strict=True))
    kept = [mine.detach().clone() for mine, _ in pairs]
    with torch.no_grad():
        for mine, averaged in pairs:
            mine.copy_(averaged)
        for (mine, _), back in zip(pairs, kept, strict=True):
            mine.copy_(back)
    run.step(3)
    with torch.no_grad():
        for mine, averaged in pairs:
            mine.copy_(averaged)
    with pytest.raises(RuntimeError, match="averaged weights are left in place"):
        run.step(4)


def test_gradients_that_a_loop_fills_in_are_dropped() -> None:
    """As averaging between processes does: zeros, by which momentum and decay still move."""
    run = loop(Scripted("p 2"), "momentum")
    run.step(0)
    before = tensors_of(run.model.blocks[0], run.optimizer)
    train(run.updater, None, loss_of, run.model, 1)
    for parameter in run.model.parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    run.optimizer.step()
    assert same(before, tensors_of(run.model.blocks[0], run.optimizer))


def test_what_a_loop_thaws_by_itself_is_frozen_again() -> None:
    """As adversarial training does with ``requires_grad_`` in and between steps."""
    run = loop(Scripted("2"))
    for number in range(3):
        before = tensors_of(run.model.blocks[0], run.optimizer)
        with run.updater.step() as step:
            assert not any(p.requires_grad for p in run.model.blocks[0].parameters())
            run.model.requires_grad_(True)
            loss = loss_of(run.model, number)
            backward(loss)
            step.observe(loss)
        run.optimizer.step()
        run.optimizer.zero_grad()
        assert same(before, tensors_of(run.model.blocks[0], run.optimizer))


def test_what_a_loop_freezes_by_itself_is_trained_where_the_plan_says_so_and_told() -> None:
    """Once, where the plan changes: as long as it stands the loop's freezing does."""
    run = loop(Scripted("2 2 p 2"))
    run.step(0)
    name, frozen = list(run.model.named_parameters())[-3]
    frozen.requires_grad_(False)
    run.step(1)
    assert not frozen.requires_grad
    with pytest.warns(UserWarning, match=f"{re.escape(name)} was frozen by") as told:
        run.step(2)
    assert frozen.requires_grad
    assert [Path(each.filename).name for each in told] == [Path(train.__code__.co_filename).name]
    frozen.requires_grad_(False)
    run.step(3)


class Fading(AdamW):
    """An optimizer whose moments fade, with a gradient or without."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        super().step()
        for state in self.state.values():
            state["exp_avg"].mul_(0.5)


def test_moments_that_move_are_refused_by_name() -> None:
    """In the first step that moved those of a frozen block."""
    model = tower()
    optimizer = Fading(model.parameters(), lr=1e-2)
    updater = BlockUpdater(model, list(model.blocks), Scripted("p 2"), optimizer, total_steps=2)
    train(updater, optimizer, loss_of, model, 0)
    with pytest.raises(RuntimeError, match=r"exp_avg of \S+ in the optimizer is frozen but was"):
        train(updater, optimizer, loss_of, model, 1)


class Counting(SGD):
    """Counts the steps of every parameter by itself, those without a gradient too: as a number, or
    as a tensor that is made anew.
    """

    def __init__(self, parameters: Any, kind: Callable[[int], Any]) -> None:
        super().__init__(parameters, lr=1e-2, momentum=0.9)
        self.kind = kind

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        super().step()
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                state["count"] = self.kind(int(state.get("count", 0)) + 1)


@pytest.mark.parametrize("kind", [int, float, torch.tensor])
@pytest.mark.parametrize("script", ["p 2", "2"])
def test_moments_that_are_numbers_or_made_anew_are_watched(
    kind: Callable[[int], Any], script: str
) -> None:
    """In the second step: what appears while a block is frozen may do so once."""
    model = tower()
    optimizer = Counting(model.parameters(), kind)
    updater = BlockUpdater(model, list(model.blocks), Scripted(script), optimizer, total_steps=3)
    train(updater, optimizer, loss_of, model, 0)
    with pytest.raises(
        RuntimeError, match=r"count of \S+ in the optimizer is frozen but was moved"
    ):
        train(updater, optimizer, loss_of, model, 1)


class Begins(SGD):
    """Begins the moments of every parameter before it looks for gradients."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter].setdefault("mine", torch.zeros_like(parameter))
                self.state[parameter].setdefault("seen", 0)
        super().step()


def test_moments_may_begin_and_be_loaded_while_their_block_is_frozen() -> None:
    """Values that nothing moved, in other tensors."""
    model = tower()
    optimizer = Begins(model.parameters(), lr=1e-2, momentum=0.9)
    updater = BlockUpdater(model, list(model.blocks), Scripted("2"), optimizer, total_steps=4)
    for number in range(4):
        train(updater, optimizer, loss_of, model, number)
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


def test_loaded_weights_are_taken_for_what_must_not_move_once_the_updater_is_loaded() -> None:
    """Back to an earlier point of the same run, in the same objects."""
    run = loop(Scripted("p 2"))
    run.step(0)
    state = copy.deepcopy(run.state())
    plain = [run.step(number).plan for number in range(1, 4)]
    run.load(state)
    assert [run.step(number).plan for number in range(1, 4)] == plain


def test_an_optimizer_that_steps_inside_the_step_moves_nothing_frozen() -> None:
    """In the first step too, whose parts are known only then: a stem that is registered last."""
    model = tower(dropout=0.0)
    model.late = nn.Linear(3, 3)
    optimizer = adamw(model)
    updater = BlockUpdater(model, list(model.blocks), Scripted("2"), optimizer, total_steps=3)
    frozen = [model.late, model.stem, *model.blocks[:2]]
    for number in range(3):
        before = [tensors_of(part, optimizer) for part in frozen]
        x, _ = batch_at(number)
        with updater.step() as step:
            loss = model(model.late(x)).square().mean()
            backward(loss)
            step.observe(loss)
            optimizer.step()
        assert all(same(b, tensors_of(p, optimizer)) for b, p in zip(before, frozen, strict=True))
        assert block(model, 3).linear.weight in optimizer.state


@pytest.mark.parametrize("late", [False, True])
def test_the_norm_by_which_a_first_step_is_clipped_is_that_of_what_is_trained(late: bool) -> None:
    """Gradients of a stem that the step is yet to find frozen do not count, beside freezing by
    hand; nor do they push it where a loop climbs along all that there are.
    """
    model, twin = tower(dropout=0.0), tower(dropout=0.0)
    if late:  # registered after the blocks
        model.stem = model._modules.pop("stem")  # type: ignore[assignment]
    for part in (twin.stem, *twin.blocks[:2]):
        part.eval().requires_grad_(False)
    backward(loss_of(twin))
    updater = BlockUpdater(model, list(model.blocks), Scripted("2"), adamw(model), total_steps=1)
    stem = copy.deepcopy(model.stem.state_dict())
    with updater.step() as step:
        loss = loss_of(model)
        backward(loss)
        step.observe(loss)
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.zeros(()) if parameter.grad is None else parameter.grad)
    assert torch.allclose(norm, nn.utils.clip_grad_norm_(twin.parameters(), 1.0))
    assert all(torch.equal(stem[name], now) for name, now in model.stem.state_dict().items())


def clips(model: nn.Module) -> None:
    nn.utils.clip_grad_norm_(model.parameters(), 1e-3)


def climbs(model: nn.Module) -> None:
    """There and back again, as sharpness-aware optimizers go."""
    trained = [p for p in model.parameters() if p.grad is not None]
    before = [p.detach().clone() for p in trained]
    with torch.no_grad():
        for parameter in trained:
            parameter.add_(parameter.grad)  # type: ignore[arg-type]
    backward(loss_of(model))
    for parameter, kept in zip(trained, before, strict=True):
        parameter.data = kept


def unscales(model: nn.Module) -> None:
    """A gradient scaler's factor."""
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(2.0**-4)


def penalised(model: nn.Module) -> Tensor:
    """A loss with a term of the gradients of all weights that have one."""
    loss = loss_of(model)
    trained = [p for p in model.parameters() if p.requires_grad]
    slopes = torch.autograd.grad(loss, trained, create_graph=True, allow_unused=True)
    return loss + sum(slope.square().sum() for slope in slopes if slope is not None)


@pytest.mark.parametrize("told", [False, True])
def test_a_first_loss_of_all_gradients_is_refused(told: bool) -> None:
    """It would hold those of a stem that is yet to be found frozen."""
    model = tower(dropout=0.0)
    stem = [model.stem] if told else None
    updater = BlockUpdater(
        model, list(model.blocks), Scripted("2"), adamw(model), total_steps=2, stem=stem
    )
    refused = pytest.raises(RuntimeError, match=r"the loop used the gradient of stem\.")
    with contextlib.nullcontext() if told else refused:
        train(updater, None, penalised, model)


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("act", [clips, climbs, unscales])
def test_what_a_first_step_does_with_all_gradients_before_its_loss_is_refused(
    act: Callable[[nn.Module], None], late: bool, told: bool
) -> None:
    """Those of a stem that is yet to be found frozen would count; not where it was told."""
    model = tower(dropout=0.0)
    if late:  # registered after the blocks
        model.stem = model._modules.pop("stem")  # type: ignore[assignment]
    stem = [model.stem] if told else None
    updater = BlockUpdater(
        model, list(model.blocks), Scripted("2"), adamw(model), total_steps=2, stem=stem
    )
    refused = not told and act is not unscales
    expected = pytest.raises(RuntimeError, match=r"the loop (moved|used the gradient of) stem\.0")
    with expected if refused else contextlib.nullcontext(), updater.step() as step:
        loss = loss_of(model)
        backward(loss)
        act(model)
        step.observe(loss)


def test_a_loop_may_step_and_drop_gradients_itself() -> None:
    """Inside the step, for as long as it takes to believe that a block is never reached; where it
    drops them before the loss is observed that is what is said.
    """
    model = nn.Sequential(*[nn.Linear(3, 3) for _ in range(3)])  # without a head
    optimizer = adamw(model)
    updater = BlockUpdater(model, list(model), Scripted("p 2"), optimizer, total_steps=9)

    def step(number: int, *, early: bool) -> None:
        with updater.step() as step:
            loss = model(batch_at(number)[0]).square().mean()
            backward(loss)
            for drop in (early, not early):
                if drop:
                    optimizer.step()
                    optimizer.zero_grad()
                else:
                    step.observe(loss)

    for number in range(2 * PATIENCE):
        step(number, early=False)
    with pytest.raises(RuntimeError, match=r"nor had one at step\.observe"):
        step(0, early=True)
