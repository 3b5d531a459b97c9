"""Which parameters are hidden matrices, and how many matrices each holds."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from models.application.roles import Matrices, matrices_of, places
from tests.models.application.nets import Net


def test_every_parameter_has_its_place() -> None:
    """By hand, on a model of embedding, blocks and head."""
    model = Net(depth=2)
    found = places(model, list(model.blocks))
    roles = {name: found[parameter].role for name, parameter in model.named_parameters()}
    hidden = {name for name, role in roles.items() if role == "hidden"}
    assert hidden == {
        f"blocks.{block}.{layer}.weight"
        for block in (0, 1)
        for layer in ("mix.qkv", "mix.out", "mlp.0", "mlp.3")
    }
    assert roles["stem.weight"] == "embeddings"
    assert roles["head.1.weight"] == "head"
    assert {role for name, role in roles.items() if "norm" in name or "bias" in name} == {"rest"}
    assert found[model.layers[0].mix["qkv"].weight].matrices == Matrices(24, 3)


def test_a_tied_embedding_is_the_heads() -> None:
    """It is trained whatever is frozen, at the head's rate."""
    model = Net(depth=2)
    model.head[1].weight = model.stem.weight
    found = {id(p): place.role for p, place in places(model, list(model.blocks)).items()}
    assert found[id(model.stem.weight)] == "head"


def test_tables_and_slivers_in_blocks_are_not_hidden() -> None:
    """A table of positions is embedded; a matrix with a side of 1 has nothing to make
    orthogonal.
    """
    table, gate = nn.Embedding(4, 8), nn.Linear(8, 1)
    block = nn.ModuleDict({"table": table, "gate": gate})
    model = nn.ModuleDict({"block": block, "head": nn.Linear(8, 2)})
    found = places(model, [block])
    roles = [place.role for p, place in found.items() if p is table.weight or p is gate.weight]
    assert roles == ["embeddings", "rest"]


def test_norms_and_biases_of_two_dimensions_are_the_rest() -> None:
    """They multiply no activations: a norm over several, a table of biases by relative place."""
    block = nn.ModuleDict({"norm": nn.LayerNorm((4, 8)), "rms": nn.RMSNorm((4, 8))})
    block.relative_position_bias_table = nn.Parameter(torch.zeros(9, 2))
    model = nn.ModuleDict({"block": block, "head": nn.Linear(8, 2)})
    found = places(model, [block])
    assert [found[parameter].role for parameter in block.parameters()] == ["rest"] * 4


def test_a_parametrized_weight_is_its_layers() -> None:
    """A kernel is one matrix and a fused projection three, whatever makes the weight of others; the
    scales of weight_norm are none.
    """
    block = nn.ModuleDict({"conv": nn.Conv2d(4, 6, 3), "qkv": nn.Linear(8, 24)})
    model = nn.ModuleDict({"block": block, "head": nn.Linear(8, 2)})
    weight_norm(block["conv"])
    spectral_norm(block["qkv"])
    found = places(model, [block])
    named = dict(block.named_parameters())
    assert found[named["conv.parametrizations.weight.original0"]].role == "rest"
    assert found[named["conv.parametrizations.weight.original1"]].matrices == Matrices(6)
    assert found[named["qkv.parametrizations.weight.original"]].matrices == Matrices(24, 3)


class Conv1D(nn.Module):
    """Inputs by outputs, as GPT-2 was published."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8, 24))


@pytest.mark.parametrize(
    ("module", "name", "expected"),
    [
        (nn.Linear(8, 24), "Wqkv", Matrices(24, 3)),
        (nn.Linear(8, 32), "gate_up_proj", Matrices(32, 2)),
        (nn.Linear(8, 32), "fc", Matrices(32)),
        (nn.Linear(8, 12), "qkv", Matrices(12)),  # grouped queries: not three of one shape
        (Conv1D(), "c_attn", Matrices(8, 3, along=1)),
        (nn.Conv2d(4, 6, 3), "conv", Matrices(6)),
        (nn.Conv2d(4, 6, 3, groups=2), "conv", Matrices(6, 2)),
        (nn.ConvTranspose2d(4, 6, 3, groups=2), "conv", Matrices(4, 2)),
    ],
    ids=[
        "qkv",
        "gate and up",
        "plain",
        "grouped queries",
        "GPT-2",
        "convolution",
        "groups",
        "transposed",
    ],
)
def test_matrices_by_layer(module: nn.Module, name: str, expected: Matrices) -> None:
    """By hand."""
    weight = module.weight
    assert isinstance(weight, nn.Parameter)
    assert matrices_of(weight, module, name) == expected


def test_a_layer_can_say_what_it_holds() -> None:
    """Whatever it is called."""
    layer = nn.Linear(8, 32)
    layer.matrices = 2  # type: ignore[assignment]
    assert matrices_of(layer.weight, layer, "up") == Matrices(32, 2)


def test_experts_are_a_stack() -> None:
    """A parameter of three dimensions holds a matrix for each of its first."""
    stack = nn.Parameter(torch.randn(3, 4, 5))
    found = matrices_of(stack, nn.Module(), "experts")
    parts = found.split(stack)
    assert [tuple(part.shape) for part in parts] == [(4, 5)] * 3
    assert torch.equal(torch.stack(tuple(parts)), stack)
