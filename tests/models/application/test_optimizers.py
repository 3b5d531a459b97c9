"""The optimizer that a lever makes of a workload's own: neutral, its numbers turned, another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import LBFGS, SGD, Adafactor, Adagrad, AdamW, Optimizer

from models.application.muon import MuonAdamW
from models.application.optimizers import Rates, make_optimizer
from models.levers.optimizer import Optimization
from tests.models.application.nets import Net, same, train

Own = Callable[[nn.Module], Optimizer]


def adamw(model: nn.Module) -> Optimizer:
    """With norms and biases in a group without weight decay, as is common."""
    plain = [p for p in model.parameters() if p.dim() < 2]
    decayed = [p for p in model.parameters() if p.dim() >= 2]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": 0.1},
        {"params": plain, "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=0.01, betas=(0.9, 0.95))


def sgd(model: nn.Module) -> Optimizer:
    return SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)


def made(model: Net, own: Own, lever: Optimization, stage_of: tuple[int, ...] = ()) -> Optimizer:
    return make_optimizer(model, list(model.blocks), own(model), lever, stage_of)


def test_neutral_is_the_workloads_own() -> None:
    """The very object, with no group touched; warm-up and decay are not the optimizer's."""
    model = Net()
    own = adamw(model)
    lever = Optimization(warmup_factor=2.0, decay_added=0.3, final_rate=0.1)
    assert make_optimizer(model, list(model.blocks), own, lever) is own
    assert [len(group) for group in own.param_groups] == [
        len(group) for group in adamw(model).param_groups
    ]


def test_numbers_are_turned() -> None:
    """By hand: rate, decay where there is some, betas."""
    model = Net()
    lever = Optimization(
        rate=2.0, weight_decay_factor=0.5, weight_decay_added=0.01, beta1_memory=2.0
    )
    optimizer = made(model, adamw, lever)
    assert isinstance(optimizer, AdamW)
    assert [group["lr"] for group in optimizer.param_groups] == [0.02, 0.02]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [
        pytest.approx(0.06),
        0.0,
    ]
    assert optimizer.param_groups[0]["betas"] == (pytest.approx(0.95), 0.95)


def test_groups_have_rates_of_their_own() -> None:
    """Every parameter once, at the rate of its place in the model, and with the decay it had."""
    model = Net()
    optimizer = made(
        model, adamw, Optimization(rate=2.0, rate_embeddings=3.0, rate_head=0.5, rate_rest=0.1)
    )
    rate = {p: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert len(rate) == len(list(model.parameters()))
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(rate)
    assert rate[model.stem.weight] == pytest.approx(0.06)
    assert rate[model.head[1].weight] == pytest.approx(0.01)
    assert rate[model.layers[0].mlp[0].weight] == pytest.approx(0.02)
    assert rate[model.layers[0].norm.weight] == pytest.approx(0.002)
    train(model, optimizer, range(2))


def test_other_optimizers_take_the_workloads_numbers() -> None:
    """AdamW and Muon in place of an AdamW: its rates, decay by group and betas, turned."""
    model = Net()
    for kind in ("adamw", "muon"):
        optimizer = made(model, adamw, Optimization(optimizer=kind, rate=3.0))
        for group in optimizer.param_groups:
            decayed = group["params"][0].dim() >= 2
            assert group["weight_decay"] == (0.1 if decayed else 0.0)
            assert group["betas"] == (0.9, 0.95)
            assert group["lr"] == pytest.approx(0.03)
    assert isinstance(optimizer, MuonAdamW)
    hidden = [p for group in optimizer.param_groups if group["muon"] for p in group["params"]]
    assert len(hidden) == 4 * len(model.blocks)


def test_from_sgd_adamw_has_its_own_numbers() -> None:
    """A rate of SGD's is none for AdamW; the factor is on AdamW's own."""
    optimizer = made(Net(), sgd, Optimization(optimizer="adamw", rate=3.0))
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (pytest.approx(3e-3), 0.01)
    assert group["betas"] == (0.9, 0.999)


def test_what_other_optimizers_call_eps_and_betas_is_their_own() -> None:
    """Adafactor's eps is two numbers; a third beta stays the optimizer's that has one."""
    model = Net()
    for kind in ("adamw", "muon"):
        optimizer = made(model, lambda m: Adafactor(m.parameters()), Optimization(kind))
        assert {group["eps"] for group in optimizer.param_groups} == {1e-8}

    class ThreeBetas(SGD):
        """As Adan's."""

        def __init__(self, model: nn.Module) -> None:
            super().__init__(model.parameters(), lr=0.1)
            self.param_groups[0]["betas"] = (0.9, 0.8, 0.7)

    turned = made(model, ThreeBetas, Optimization(rate=2.0)).param_groups[0]
    assert turned["betas"] == (0.9, 0.8, 0.7)
    assert "eps" not in turned


def test_rates_of_sgds_groups_keep_their_ratios() -> None:
    """A group of a tenth of the rate, and one that is not to move, under AdamW too."""

    def layerwise(model: nn.Module) -> Optimizer:
        first, second, *others = model.parameters()
        groups: list[dict[str, Any]] = [
            {"params": [first], "lr": 0.0},
            {"params": [second], "lr": 0.01},
            {"params": others},
        ]
        return SGD(groups, lr=0.1)

    optimizer = made(Net(), layerwise, Optimization("adamw", rate=2.0))
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.0, 2e-4, 2e-3])


def test_adamw_for_adamw_changes_no_bit() -> None:
    """The same rule with the same numbers trains the same model."""
    plain, other = Net(), Net()
    train(plain, AdamW(plain.parameters(), 0.01, (0.9, 0.95), fused=True), range(4))
    lever = Optimization(optimizer="adamw")
    own: Own = lambda model: AdamW(model.parameters(), 0.01, (0.9, 0.95), fused=True)  # noqa: E731
    train(other, made(other, own, lever), range(4))
    assert same(plain, other)


def test_decay_is_added_to_all_where_there_is_none() -> None:
    """A workload without weight decay gets some."""
    own: Own = lambda model: SGD(model.parameters(), lr=0.1)  # noqa: E731
    optimizer = made(Net(), own, Optimization(weight_decay_added=0.01))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01]


def test_momentum_is_a_beta() -> None:
    """SGD's is turned by the same knob."""
    optimizer = made(Net(), sgd, Optimization(beta1_memory=0.5))
    assert optimizer.param_groups[0]["momentum"] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("own", "knobs", "message"),
    [
        (sgd, {"beta2_memory": 2.0}, "must have betas for that to be turned, but SGD has none"),
        (
            lambda model: Adagrad(model.parameters()),
            {"beta1_memory": 2.0},
            "must have betas or momentum",
        ),
        (lambda model: LBFGS(model.parameters()), {"rate_head": 2.0}, "LBFGS takes one group"),
        (adamw, {"beta1_memory": 0.05}, "memory >= 1 − beta must hold"),
        *(
            (lambda m: AdamW(m.parameters(), maximize=True), {"optimizer": kind}, "must minimise")
            for kind in ("adamw", "muon")
        ),
    ],
    ids=["second beta", "no momentum", "one group", "too short", "ascent", "ascent, muon"],
)
def test_what_cannot_be_turned_is_refused(own: Own, knobs: dict[str, Any], message: str) -> None:
    """One message, before the first step."""
    with pytest.raises(ValueError, match=message):
        made(Net(), own, Optimization(**knobs))


class ByPlace(SGD):
    """Keeps its moments in a list, in the order of the parameters that it was given."""

    def __init__(self, params: Any, where: str) -> None:
        super().__init__(params, lr=0.1)
        moments = [torch.zeros_like(p) for group in self.param_groups for p in group["params"]]
        if where == "state":
            self.state["moments"] = moments  # type: ignore[index]
        else:
            self.moments = dict(enumerate(moments)) if where == "table" else moments


@pytest.mark.parametrize("where", ["list", "table", "state"])
def test_groups_are_not_divided_under_moments_that_go_by_place(where: str) -> None:
    """The moments would be other parameters', silently where shapes are equal. Turned as they are
    groups may be.
    """

    def own(model: nn.Module) -> Optimizer:
        return ByPlace(model.parameters(), where)

    for lever, stages in ((Optimization(rate_head=2.0), ()), (Optimization(), (0, 0, 1, 1))):
        with pytest.raises(ValueError, match="but ByPlace has a list of tensors in moments"):
            made(Net(), own, lever, stages)
    assert made(Net(), own, Optimization(rate=2.0)).param_groups[0]["lr"] == 0.2


def test_rates_follow_factor_and_stage() -> None:
    """By hand: blocks of the second stage have a factor of their own, and peaks stay."""
    model = Net(depth=2)
    optimizer = made(model, adamw, Optimization(), stage_of=(0, 1))
    rates = Rates(optimizer)
    for _ in range(2):
        rates.set(0.5, lambda stage: 0.1 if stage else 1.0)
    rate = {p: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    late = set(model.blocks[1].parameters())
    assert {p for p, lr in rate.items() if lr == pytest.approx(0.0005)} == late
    assert {lr for p, lr in rate.items() if p not in late} == {0.005}


@pytest.mark.parametrize("kind", ["own", "adamw", "muon"])
def test_stages_change_no_bit(kind: str) -> None:
    """Groups divided by stage train as undivided ones do, where all rates are the same."""
    whole, parts = Net(), Net()
    train(whole, made(whole, adamw, Optimization(optimizer=kind)), range(4))
    train(parts, made(parts, adamw, Optimization(optimizer=kind), (0, 0, 1, 2)), range(4))
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
