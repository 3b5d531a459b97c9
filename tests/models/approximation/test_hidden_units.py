"""Pruned MLPs: removing a unit equals zeroing it, the strongest stay, and those removed can learn
again.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from models.approximation.hidden_units import MLP, find_mlps, prune, strongest, units_kept
from models.approximation.matching import linears
from models.approximation.replace import Kind, approximate, structured, to_dense
from tests.models.approximation.cases import MLPS, Net, net, points, seeds


def mlp_of(model: nn.Module, index: int) -> MLP:
    return find_mlps(model, linears(model))[index]


@given(st.integers(0, 2), st.sets(st.integers(0, 23), min_size=1))
def test_removing_units_equals_zeroing_them(index: int, units: set[int]) -> None:
    """Agrees with the dense model whose columns of the other units are zero.

    Any units and every sort of MLP are tried.
    """
    pruned, zeroed = net(), net()
    for name, layer in prune(mlp_of(pruned, index), torch.tensor(sorted(units))).items():
        pruned.set_submodule(name, layer)
    down = mlp_of(zeroed, index).down
    others = sorted(set(range(down.in_features)) - units)
    with torch.no_grad():
        down.weight[:, others] = 0.0
    torch.testing.assert_close(pruned(points()), zeroed(points()))


@given(seeds, st.integers(1, 10), st.floats(0.01, 100))
def test_the_strongest_units_stay(seed: int, count: int, factor: float) -> None:
    """Agrees with the definition, one unit at a time.

    A factor moved from the values to the column changes no choice.
    """
    model = nn.Sequential(nn.Linear(3, 10), nn.ReLU(), nn.Linear(10, 4)).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
    mlp = mlp_of(model, 0)
    kept = strongest(mlp, count)
    up, down = model.get_parameter("0.weight").detach(), model.get_parameter("2.weight").detach()
    norms = [float(up[unit].norm() * down[:, unit].norm()) for unit in range(10)]
    assert kept.tolist() == sorted(sorted(range(10), key=lambda unit: -norms[unit])[:count])
    with torch.no_grad():
        up[4] *= factor
        down[:, 4] /= factor
    assert strongest(mlp, count).equal(kept)


def test_a_gate_that_is_closed_counts() -> None:
    """A gated unit whose gate has no weights does nothing and goes first, whatever its values."""
    model = net()
    with torch.no_grad():
        model.get_parameter("blocks.0.up.weight")[5] = 0.0
    assert 5 not in strongest(mlp_of(model, 0), 23)


def test_units_removed_can_learn_again() -> None:
    """Made dense again, the columns removed are zero and the rows as they were.

    After a backward these columns have gradients.
    """
    model = net()
    before = {name: layer.weight.detach().clone() for name, layer in linears(model).items()}
    approximate(model, "hidden_units", MLPS, 0.5)
    kept = structured(model)["blocks.0.up"].get_buffer("kept")
    to_dense(model)
    gone = sorted(set(range(24)) - set(kept.tolist()))
    assert len(gone) == 12
    down = model.get_submodule("blocks.0.down").get_parameter("weight")
    assert not down[:, gone].any()
    assert torch.equal(down[:, kept], before["blocks.0.down"][:, kept])
    assert torch.equal(
        model.get_submodule("blocks.0.up").get_parameter("weight"), before["blocks.0.up"]
    )
    model(points()).square().sum().backward()
    assert down.grad is not None
    assert down.grad[:, gone].any(dim=0).all()


class Llama(nn.Module):
    """An MLP whose gate and values come from layers of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(4, 6, bias=False)
        self.up_proj = nn.Linear(4, 6, bias=False)
        self.down_proj = nn.Linear(6, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., 4) -> (..., 4)."""
        return self.down_proj(nn.functional.silu(self.gate_proj(x)) * self.up_proj(x))  # type: ignore[no-any-return]


def test_separate_gates_lose_the_same_units() -> None:
    """Three layers with three of six units each; a pattern that leaves the gate out is refused."""
    model = Llama()
    with pytest.raises(ValueError, match="no pattern matches gate_proj"):
        approximate(model, "hidden_units", ["up_proj", "down_proj"], 0.5)
    approximate(model, "hidden_units", ["*"], 0.5)
    kept = {tuple(layer.get_buffer("kept").tolist()) for layer in structured(model).values()}
    assert len(kept) == 1
    assert model(torch.ones(2, 4)).shape == (2, 4)


@pytest.mark.parametrize("between", [nn.LayerNorm(8), nn.Linear(8, 8), nn.Softmax(dim=-1)])
def test_units_that_see_each_other_are_no_mlp(between: nn.Module) -> None:
    """A sequence whose middle mixes units is left alone."""
    model = nn.Sequential(nn.Linear(8, 8), between, nn.Linear(8, 8))
    with pytest.raises(ValueError, match="hidden_units needs the layers of an MLP"):
        find_mlps(model, linears(model))


def test_an_encoder_layer_of_pytorch() -> None:
    """Its fast path in evaluation reads weights itself.

    It gives what the slow path in training gives.
    """
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    kinds: tuple[Kind, ...] = ("hidden_units", "svd")
    for kind in kinds:
        approximate(layer, kind, ["linear1", "linear2"], 0.5)
        x = torch.ones(1, 3, 8)
        with torch.no_grad():
            torch.testing.assert_close(layer.eval()(x), layer.train()(x))
        to_dense(layer)


@given(st.integers(1, 200), st.floats(0, 1, exclude_min=True))
def test_units_kept_is_a_share_or_refused(hidden: int, share: float) -> None:
    """Within half a unit of the share, or, where that would be none, an error."""
    if round(hidden * share) == 0:
        with pytest.raises(ValueError, match="at least one hidden unit must stay"):
            units_kept(hidden, share)
    else:
        assert abs(units_kept(hidden, share) - hidden * share) <= 0.5


def test_only_mlps_are_touched() -> None:
    """With every layer given, stem and head stay as they are."""
    model: Net = net()
    approximate(model, "hidden_units", ["*"], 0.5)
    assert list(structured(model)) == [
        f"blocks.{index}.{name}" for index in range(3) for name in ("up", "down")
    ]
