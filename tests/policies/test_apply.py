"""Laws of applying a plan, on real models with real optimizers."""

from __future__ import annotations

import io
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from policies.apply import BlockUpdater
from policies.dynamic_suffix import DynamicSuffix
from policies.full_update import FullUpdate
from policies.static_suffix import StaticSuffix
from tests.policies.nets import (
    OPTIMIZERS,
    Scripted,
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

LIVELY = DynamicSuffix(
    freeze_start=0.2, recovery=0.2, probe_every=3, threshold=0.6, levels=4, adaptive=True,
    budget_upper=1.0, budget_lower=0.9, gate=True,
    stability_window=2, stability_change=5.0, stability_variation=5.0,
)  # fmt: skip
"""Every control at work within twenty steps."""


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("set_to_none", [True, False])
def test_what_is_frozen_does_not_change_by_a_bit(optimizer: str, set_to_none: bool) -> None:
    """Train all blocks, then fewer: weights, statistics and moments below the suffix are the same
    after.
    """
    run = loop(Scripted("p p 4 2 2 1 p 3 1 1"), optimizer)
    run.set_to_none = set_to_none
    parts = [run.model.stem, *run.model.blocks, run.model.head]
    for number in range(12):
        before = [tensors_of(part, run.optimizer) for part in parts]
        active = run.step(number).plan.active_blocks
        after = [tensors_of(part, run.optimizer) for part in parts]
        moved = [not same(*pair) for pair in zip(before, after, strict=True)]
        assert moved == [0 in active, *(block in active for block in range(4)), True]


def test_frozen_parameters_have_no_gradient_and_require_none() -> None:
    """Also with a loop that zeroes gradients in place, seen when the optimizer steps."""
    run = loop(Scripted("p 2"))
    run.set_to_none = False
    run.step(0)
    seen: list[tuple[bool, Tensor | None]] = []

    def look(*_: object) -> None:
        seen.extend((p.requires_grad, p.grad) for b in run.model.blocks[:2] for p in b.parameters())

    run.optimizer.register_step_pre_hook(look)
    run.step(1)
    assert seen == [(False, None)] * 8


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_full_update_is_a_plain_loop(optimizer: str) -> None:
    """The same seeds with and without an updater: equal weights and moments, to the bit."""
    run = loop(FullUpdate(), optimizer)
    for number in range(10):
        run.step(number)
    plain = tower()
    stepper = OPTIMIZERS[optimizer](plain)
    for number in range(10):
        backward(loss_of(plain, number))
        stepper.step()
        stepper.zero_grad(set_to_none=True)
    assert same(tensors_of(run.model, run.optimizer), tensors_of(plain, stepper))


def test_param_groups_are_not_edited() -> None:
    """The groups hold the same parameter objects before and after."""
    run = loop(LIVELY)
    before = [(id(group), [id(p) for p in group["params"]]) for group in run.optimizer.param_groups]
    for number in range(20):
        run.step(number)
    assert before == [
        (id(group), [id(p) for p in group["params"]]) for group in run.optimizer.param_groups
    ]


@settings(max_examples=10, deadline=None)
@given(
    st.integers(0, 20),
    st.sampled_from(sorted(OPTIMIZERS)),
    st.sampled_from(["keep", "reset"]),
    st.sampled_from([LIVELY, StaticSuffix(active_fraction=0.5), Scripted("p 2 4 1 p 3")]),
)
def test_stopped_and_resumed_anywhere_equals_the_straight_run(
    stop: int, optimizer: str, moments: str, policy: DynamicSuffix
) -> None:
    """Save to bytes, the updater as JSON, build all anew, load and go on: equal plans, losses,
    tensors.
    """
    straight = loop(policy, optimizer, moments_on_thaw=moments)
    plans = [straight.step(number).plan for number in range(20)]
    first = loop(policy, optimizer, moments_on_thaw=moments)
    assert [first.step(number).plan for number in range(stop)] == plans[:stop]
    state = first.state()
    state["updater"] = json.loads(json.dumps(state["updater"], allow_nan=False))
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    resumed = loop(policy, optimizer, moments_on_thaw=moments)
    resumed.load(torch.load(file, weights_only=True))
    assert [resumed.step(number).plan for number in range(stop, 20)] == plans[stop:]
    assert json.dumps(resumed.updater.state_dict()) == json.dumps(straight.updater.state_dict())
    assert same(
        tensors_of(resumed.model, resumed.optimizer), tensors_of(straight.model, straight.optimizer)
    )


def test_the_lively_policy_is_lively() -> None:
    """The run that resumption is tested on has all phases, probes and more than one depth."""
    run = loop(LIVELY)
    plans = [run.step(number).plan for number in range(20)]
    assert {plan.phase for plan in plans} == {"full", "reduced", "recovery"}
    assert len({len(plan.active_blocks) for plan in plans}) >= 3
    assert sum(plan.probe for plan in plans) > 4


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_the_suffix_has_the_gradients_of_a_full_backward(depth: int) -> None:
    """Compare bit by bit, in evaluation mode: freezing changes no gradient above."""
    model, full = tower(dropout=0.0).eval(), tower(dropout=0.0).eval()
    updater = BlockUpdater(
        model, list(model.blocks), Scripted(str(depth)), adamw(model), total_steps=1
    )
    backward(loss_of(full))
    train(updater, None, loss_of, model)
    for mine, theirs in zip(model.blocks[-depth:], full.blocks[-depth:], strict=True):
        for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
            assert p.grad is not None
            assert q.grad is not None
            assert torch.equal(p.grad, q.grad)
    assert all(p.grad is None for block in model.blocks[:-depth] for p in block.parameters())


def test_operations_fall_as_the_equation_says() -> None:
    """Blocks of one square matrix: forward L·F, backward of d active ones (2d - 1)·F, as PyTorch
    counts.
    """
    model = nn.Sequential(*[nn.Linear(16, 16, bias=False) for _ in range(6)])
    updater = BlockUpdater(
        model,
        list(model),
        Scripted("6 5 4 3 2 1"),
        torch.optim.SGD(model.parameters(), lr=0.1),
        total_steps=6,
    )
    unit = 2 * 4 * 16 * 16
    for depth in (6, 5, 4, 3, 2, 1):
        with FlopCounterMode(display=False) as counter:
            train(updater, None, lambda x: model(x).sum(), torch.ones(4, 16))
        assert counter.get_total_flops() == (6 + 2 * depth - 1) * unit


def test_modes_are_restored_one_by_one() -> None:
    """Frozen blocks evaluate during the step; what the user had put to rest stays so."""
    run = loop(Scripted("2"))
    block(run.model, 0).dropout.eval()
    before = [module.training for module in run.model.modules()]
    with run.updater.step() as step:
        assert not any(
            module.training for block in run.model.blocks[:2] for module in block.modules()
        )
        assert not run.model.stem[1].training
        assert all(module.training for block in run.model.blocks[2:] for module in block.modules())
        assert run.model.training
        loss = loss_of(run.model)
        backward(loss)
        step.observe(loss)
    assert [module.training for module in run.model.modules()] == before


def test_outside_a_step_the_model_is_whole() -> None:
    """Between steps the hooks cut nothing: the inputs' gradient flows through frozen blocks."""
    run = loop(Scripted("1"))
    run.step(0)
    x = batch_at(0)[0].requires_grad_()
    backward(run.model(x).sum())
    assert x.grad is not None


def test_close_gives_the_model_back() -> None:
    """All blocks train again, except what was frozen before the updater came; hooks are gone."""
    model = tower()
    block(model, 3).linear.weight.requires_grad_(False)
    updater = BlockUpdater(model, list(model.blocks), Scripted("1"), adamw(model), total_steps=3)
    for _ in range(2):
        train(updater, None, loss_of, model)
        assert not block(model, 3).linear.weight.requires_grad
    updater.close()
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == [
        "blocks.3.linear.weight"
    ]
    assert not any(block._forward_pre_hooks for block in model.blocks)


class TestThaw:
    """A block that was trained, frozen and is active again."""

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_keep_goes_on_with_the_old_moments(self, optimizer: str) -> None:
        """The state just before the thawing step is that of the last step before the freeze."""
        run = loop(Scripted("p 2 2 4"), optimizer)
        run.step(0)
        kept = tensors_of(run.model.blocks[0], run.optimizer)
        run.step(1)
        run.step(2)
        assert same(tensors_of(run.model.blocks[0], run.optimizer), kept)

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_reset_steps_as_an_optimizer_that_never_stepped(self, optimizer: str) -> None:
        """A twin with a fresh optimizer takes the thawing step from the same weights."""
        run = loop(Scripted("p 2 2 4"), optimizer, moments_on_thaw="reset")
        for number in range(3):
            run.step(number)
        twin = tower()
        twin.load_state_dict(run.model.state_dict())
        fresh = OPTIMIZERS[optimizer](twin)
        state = torch.get_rng_state()
        run.step(3)
        torch.set_rng_state(state)
        backward(loss_of(twin, 3))
        fresh.step()
        thawed, stayed = run.model.blocks[0], run.model.blocks[3]
        assert same(tensors_of(thawed, run.optimizer), tensors_of(twin.blocks[0], fresh))
        assert not same(tensors_of(stayed, run.optimizer), tensors_of(twin.blocks[3], fresh))

    def test_a_probe_thaws_and_the_stem_follows_block_zero(self) -> None:
        """After a probe among frozen steps the stem and bottom blocks have stepped once, the head
        always.
        """
        run = loop(Scripted("p 2 2 p"), moments_on_thaw="reset")
        for number in range(4):
            run.step(number)
        steps = [
            int(run.optimizer.state[next(part.parameters())]["step"])
            for part in (run.model.stem, run.model.blocks[0], run.model.blocks[3], run.model.head)
        ]
        assert steps == [1, 1, 4, 4]

    def test_the_policys_setting_counts_where_none_is_given(self) -> None:
        """DynamicSuffix(moments_on_thaw='reset') resets; keep given to the updater overrules it."""
        policy = DynamicSuffix(
            moments_on_thaw="reset", freeze_start=0.0, recovery=0.0, probe_every=3, threshold=0.0
        )
        for moments, steps in ((None, 1), ("keep", 2)):
            run = loop(policy, moments_on_thaw=moments)
            for number in range(4):
                run.step(number)
            assert int(run.optimizer.state[block(run.model, 0).linear.weight]["step"]) == steps
