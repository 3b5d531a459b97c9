"""Layers with their weight the other way round are replaced as ``nn.Linear`` is."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from models.approximation.inputs import collect_inputs
from models.approximation.matching import matching, placement_patterns
from models.approximation.replace import Kind, approximate, skeleton, to_dense

KINDS: tuple[Kind, ...] = ("svd", "data_aware", "low_rank_diagonal", "monarch", "hidden_units")


class Block(nn.Module):
    """GPT-2's MLP, of layers of either kind."""

    def __init__(self, up: nn.Module, down: nn.Module) -> None:
        super().__init__()
        self.c_fc, self.c_proj = up, down

    def forward(self, x: Tensor) -> Tensor:
        return x + self.c_proj(torch.relu(self.c_fc(x)))  # type: ignore[no-any-return]


def pair() -> tuple[nn.Module, nn.Module]:
    """The same model with Conv1D and with nn.Linear."""
    torch.manual_seed(0)
    theirs = nn.Sequential(Block(Conv1D(32, 8), Conv1D(8, 32)))  # type: ignore[no-untyped-call]
    ours = nn.Sequential(Block(nn.Linear(8, 32), nn.Linear(32, 8)))
    for name in ("c_fc", "c_proj"):
        to, source = ours.get_submodule(f"0.{name}"), theirs.get_submodule(f"0.{name}")
        to.weight = nn.Parameter(source.weight.detach().T.contiguous())  # type: ignore[operator]
        to.bias = nn.Parameter(torch.randn(to.bias.shape))  # type: ignore[arg-type]
        source.bias = nn.Parameter(to.bias.detach().clone())
    return theirs, ours


def approximated(model: nn.Module, kind: Kind, x: Tensor) -> nn.Module:
    patterns = placement_patterns(model, "mlp", list(model.children()))
    inputs = collect_inputs(model, patterns, lambda: model(x))
    approximate(model, kind, patterns, 0.5, inputs)
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_replaced_like_linear_layers(kind: Kind) -> None:
    """To the bit, in outputs and in gradients."""
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
    outputs = []
    for model in pair():
        given = x.clone().requires_grad_()
        found = approximated(model, kind, x)(given)
        found.square().sum().backward()
        outputs.append((found, given.grad))
    assert all(torch.equal(a, b) for a, b in zip(*outputs, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_dense_again_they_are_what_they_were(kind: Kind) -> None:
    """Names, shapes and classes, so that their own library loads what was saved; and no number is
    drawn for it.
    """
    model, _ = pair()
    before = {name: value.shape for name, value in model.state_dict().items()}
    x = torch.randn(64, 8)
    approximated(model, kind, x)
    found, drawn = model(x), torch.get_rng_state()
    to_dense(model)
    assert torch.equal(drawn, torch.get_rng_state())
    assert {name: value.shape for name, value in model.state_dict().items()} == before
    assert isinstance(model.get_submodule("0.c_fc"), Conv1D)
    assert torch.allclose(model(x), found, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_skeleton_takes_their_state(kind: Kind) -> None:
    """A trial that goes on elsewhere loads into one."""
    model, other = pair()[0], pair()[0]
    patterns = placement_patterns(model, "mlp", list(model.children()))
    x = torch.randn(64, 8)
    approximated(model, kind, x)
    skeleton(other, kind, patterns, 0.5)
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(x), other(x))
    copied = copy.deepcopy(model)
    to_dense(copied)
    assert isinstance(copied.get_submodule("0.c_proj"), Conv1D)


def test_a_weight_that_is_shared_is_refused() -> None:
    """As with linear layers: the tie would be cut."""
    model, _ = pair()
    tied = nn.Sequential(model[0], nn.Module())  # type: ignore[index]
    tied[1].same = model[0].c_fc.weight  # type: ignore[index]
    with pytest.raises(ValueError, match=r"0\.c_fc share theirs"):
        matching(tied, ["0.c_fc"])
