"""What a workload's functions return is named where it is of no use, with what is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import LBFGS, SGD
from torch.optim.lr_scheduler import LinearLR, OneCycleLR, StepLR

from models.making import blocks_of, new_model, new_optimizer, parameter_faults, parts_at_rest
from tests.support import tiny

Make = Callable[[Any], Any]


def one_cycle(model: nn.Module) -> SGD:
    """It begins at a share of its peak, which no group calls its rate."""
    optimizer = SGD(model.parameters(), lr=1.0, momentum=0.9)
    OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    return optimizer


def turned_down(model: nn.Module) -> Any:
    optimizer = SGD(model.parameters(), lr=1.0)
    LinearLR(optimizer, 0.1)
    return optimizer


def scheduled(model: nn.Module) -> Any:
    optimizer = SGD(model.parameters(), lr=1.0)
    return optimizer, StepLR(optimizer, 1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda seed: tiny.ResidualMLP, "must return a model, but got the class ResidualMLP"),
        (lambda seed: None, "must return a model, but got None"),
        (lambda seed: (tiny.ResidualMLP(), "tokenizer"), r"a tuple of \(ResidualMLP, str\)"),
    ],
)
def test_what_is_no_model(make: Make, words: str) -> None:
    """A class, nothing, a model with something beside it."""
    with pytest.raises(ValueError, match=words):
        new_model(replace(tiny.tiny(), make_model=make), 0)


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        (lambda model: [], "must list at least one module, but got none"),
        (lambda model: iter(()), "a generator is empty"),
        (lambda model: [model.blocks[0], model.blocks[0]], "blocks 0 and 1 are the same"),
        (lambda model: nn.ModuleDict({"a": model.blocks[0]}), r"got a ModuleDict: return list"),
        (lambda model: {"a": model.blocks[0]}, "a dict: return list"),
        (lambda model: [nn.Linear(1, 1)], "block 0 is a Linear of another"),
        (lambda model: 4, r"must list modules, but got 4 \(int\)"),
    ],
)
def test_what_are_no_blocks(blocks: Make, words: str) -> None:
    """Nothing, an empty generator, one twice, names, a dict, a stranger, a number."""
    with pytest.raises(ValueError, match=words):
        blocks_of(replace(tiny.tiny(), blocks=blocks), tiny.make_model(0))


def test_blocks_may_be_generated() -> None:
    """A generator is read once and kept."""
    model = tiny.make_model(0)
    generated: Any = lambda m: (block for block in m.blocks)  # noqa: E731
    assert blocks_of(replace(tiny.tiny(), blocks=generated), model) == list(model.blocks)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda model: None, "but got None, which has no param_groups"),
        (lambda model: SGD, "the class SGD: return one that holds"),
        (scheduled, r"a tuple of \(SGD, StepLR\): return the optimizer alone"),
        (
            lambda model: dict(zip(("optimizer", "lr_scheduler"), scheduled(model), strict=True)),
            r'a dict with .*: return its \["optimizer"\]; the learning rate is scheduled',
        ),
        (turned_down, "at its peak rates, but a scheduler has set 0.1 of 1: leave"),
        (one_cycle, "at its peak rates, but a scheduler has set 0.04 of 1: leave"),
        (lambda model: SGD(model.parameters(), lr=0.0), "at its peak rates, but all are 0"),
        (lambda model: LBFGS(model.parameters()), "LBFGS.step needs a closure"),
    ],
)
def test_what_is_no_optimizer(make: Make, words: str) -> None:
    """Nothing, a class, one with its scheduler, as a Lightning module returns it, one that a
    scheduler warms up or takes through one cycle, one without a rate, one that evaluates the loss
    itself.
    """
    with pytest.raises(ValueError, match=words):
        new_optimizer(replace(tiny.tiny(), make_optimizer=make), tiny.make_model(0))


def test_parameters_that_cannot_be_trained_are_named() -> None:
    """Ones without values, and ones that are stepped within the backward."""
    with torch.device("meta"):
        empty = nn.Linear(2, 2)
    fused = tiny.make_model(0)
    weight: Any = fused.head.weight
    weight.register_post_accumulate_grad_hook(lambda parameter: None)
    assert "weight, bias are on the meta device" in parameter_faults(empty)[0]
    assert "head.weight have a hook" in parameter_faults(fused)[0]
    assert parameter_faults(tiny.make_model(0)) == []


def with_head(head: nn.Module) -> nn.Module:
    model: nn.Module = tiny.make_model(0)
    model.head = head
    return model


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: with_head(nn.LazyLinear(1)), "head.weight, head.bias are lazy: run one batch"),
        (
            lambda: with_head(nn.LazyBatchNorm1d(affine=False)),
            "head.running_mean, head.running_var are lazy",
        ),
        (lambda: torch.jit.script(tiny.make_model(0)), "but the model was compiled by torch.jit"),
        (
            lambda: with_head(torch.jit.script(nn.Sequential(nn.Linear(16, 1)))),
            "but head was compiled by torch.jit.script or torch.jit.trace: leave that out",
        ),
        (
            lambda: with_head(torch.jit.trace(nn.Linear(16, 1), torch.zeros(1, 16))),  # type: ignore[no-untyped-call]
            "but head was compiled",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_models_without_shapes_or_compiled_as_scripts_are_refused(
    make: Callable[[], nn.Module], words: str
) -> None:
    """Whatever part it is, by its name."""
    with pytest.raises(ValueError, match=words):
        new_model(replace(tiny.tiny(), make_model=lambda seed: make()), 0)


def test_sharded_parameters_are_named() -> None:
    """A real DTensor, on a mesh of this process alone."""
    from torch.distributed import destroy_process_group, init_process_group
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import distribute_module
    from torch.testing._internal.distributed.fake_pg import FakeStore

    init_process_group("fake", store=FakeStore(), rank=0, world_size=1)
    try:
        model = distribute_module(nn.Linear(2, 2), init_device_mesh("cpu", (1,)))
        assert "weight, bias are sharded" in parameter_faults(model)[0]
    finally:
        destroy_process_group()


def test_what_rests_on_purpose_goes_on_resting() -> None:
    """A single norm and an extractor without anything to train; a pretrained part does not."""
    model = nn.ModuleDict(
        {
            "norm": nn.BatchNorm1d(2).eval(),
            "extractor": nn.Sequential(nn.Linear(2, 2), nn.Dropout()).requires_grad_(False).eval(),
            "pretrained": nn.Sequential(nn.Linear(2, 2), nn.Dropout()).eval(),
        }
    )
    model.training = True
    assert list(parts_at_rest(model)) == ["pretrained"]
    made = new_model(replace(tiny.tiny(), make_model=lambda seed: model), 0)
    modes = {name: made.get_submodule(name).training for name in model}
    assert modes == {"norm": False, "extractor": False, "pretrained": True}
    assert made.get_submodule("pretrained.1").training


def test_steps_are_whole_numbers() -> None:
    """Each that is not is named, before any arithmetic with it."""
    with pytest.raises(ValueError, match=r"whole numbers, but got steps=20.0, eval_every='5'$"):
        replace(tiny.tiny(), steps=20.0, eval_every="5")  # type: ignore[arg-type]
