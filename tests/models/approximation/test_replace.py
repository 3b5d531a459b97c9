"""Replaced layers in a model.

Shapes, gradients, states that load, operations as counted and the way back are checked.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from models.approximation.hidden_units import PrunedDown
from models.approximation.inputs import Moments
from models.approximation.replace import Kind, approximate, skeleton, structured, to_dense
from models.counting import count_flops
from models.workloads.byte_lm_narrow import NARROW
from models.workloads.transformer import make_transformer
from tests.models.approximation.cases import MLPS, ON_A_CPU, fit, net, points
from tests.support import tiny

kinds = pytest.mark.parametrize("kind", ON_A_CPU)
dtypes = pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)


@kinds
class TestEveryKind:
    @dtypes
    def test_shapes_types_and_gradients(self, kind: Kind, dtype: torch.dtype) -> None:
        """Output shape and type are as before.

        Every parameter has a finite gradient of its own type that is not all zero.
        """
        model, x = net(dtype), points(dtype)
        before = model(x)
        after = fit(model, kind)(x)
        assert (after.shape, after.dtype) == (before.shape, before.dtype)
        after.float().square().sum().backward()
        for name, parameter in model.named_parameters():
            assert parameter.dtype == dtype
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name

    def test_gradients_are_right(self, kind: Kind) -> None:
        """Finite differences in float64, for the inputs and for every factor."""
        model = fit(net(), kind)
        names, values = zip(*model.named_parameters(), strict=True)

        def output(x: Tensor, *parameters: Tensor) -> Tensor:
            result = torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), x)
            assert isinstance(result, Tensor)
            return result

        x = points(rows=2).requires_grad_()
        assert torch.autograd.gradcheck(output, (x, *values), fast_mode=True)

    def test_dense_again_is_the_same_function(self, kind: Kind) -> None:
        """Output up to rounding; modules and shapes as at first; a second time nothing happens."""
        model, x = fit(net(), kind), points()
        approximated = model(x)
        to_dense(model)
        assert not structured(model)
        torch.testing.assert_close(model(x), approximated)
        assert [(n, type(m)) for n, m in model.named_modules()] == [
            (n, type(m)) for n, m in net().named_modules()
        ]
        shapes = {name: value.shape for name, value in net().state_dict().items()}
        assert {name: value.shape for name, value in model.state_dict().items()} == shapes
        to_dense(model)
        torch.testing.assert_close(model(x), approximated)

    def test_weight_is_what_the_layer_does(self, kind: Kind) -> None:
        """What reads ``weight`` and ``bias`` of a replaced layer computes what the layer, made
        dense, does.
        """
        model = fit(net(), kind)
        for layer in structured(model).values():
            linear = layer.dense()
            assert isinstance(layer.weight, Tensor)
            torch.testing.assert_close(linear.weight.data, layer.weight.detach())
            assert (linear.bias is None) == (layer.bias is None)

    def test_state_loads_into_a_skeleton(self, kind: Kind) -> None:
        """A state is saved and loaded with ``weights_only``.

        It has the same names, shapes and types, and gives the same output to the bit.
        """
        model, other = fit(net(), kind), net()
        skeleton(other, kind, MLPS, 0.4)
        other.load_state_dict(copy.deepcopy(model.state_dict()), strict=True)
        assert [(n, p.dtype, p.requires_grad) for n, p in model.named_parameters()] == [
            (n, p.dtype, p.requires_grad) for n, p in other.named_parameters()
        ]
        assert torch.equal(model(points()), other(points()))
        to_dense(model)
        to_dense(other)
        assert torch.equal(model(points()), other(points()))

    def test_operations_are_as_counted(self, kind: Kind) -> None:
        """``flops`` of each layer alone agrees with PyTorch's counter; a backward is twice a
        forward.
        """
        for layer in structured(fit(net(), kind)).values():
            inputs = len(layer.kept) if isinstance(layer, PrunedDown) else layer.in_features
            x = torch.ones(3, 7, inputs, dtype=torch.float64, requires_grad=True)
            assert count_flops(partial(layer, x)) == layer.flops(21)
            assert count_flops(partial(_there_and_back, layer, x)) == 3 * layer.flops(21)

    def test_share_is_the_share_of_operations_saved(self, kind: Kind) -> None:
        """At 1/4 every MLP costs at most what a low rank of that share does.

        With hidden units it costs exactly a quarter.
        """
        model = fit(net(), kind, 0.25)
        for layer in structured(model).values():
            m, n = layer.out_features, layer.in_features
            rank = max(1, round(0.25 * min(m, n)))
            limit = m * n / 4 if kind == "hidden_units" else max(rank, 4) * (m + n)
            assert layer.flops(1) <= 2 * limit

    def test_everything_kept_changes_nothing(self, kind: Kind) -> None:
        """A share of 1 is the same function: full rank, all units."""
        model, x = net(), points()
        before = model(x)
        torch.testing.assert_close(fit(model, kind, 1.0)(x), before)

    def test_same_bits_every_time_and_no_random_number(self, kind: Kind) -> None:
        """Two fits agree in every bit, and the global generator is as it was."""
        torch.manual_seed(0)
        state = torch.get_rng_state()
        base = net()
        one, two = (fit(copy.deepcopy(base), kind) for _ in range(2))
        empty = copy.deepcopy(base)
        torch.manual_seed(0)
        skeleton(empty, kind, MLPS, 0.4)
        to_dense(one), to_dense(two)
        assert torch.equal(state, torch.get_rng_state())
        assert all(
            torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True)
        )

    def test_mode_bias_and_frozen_weights_stay(self, kind: Kind) -> None:
        """Evaluation mode and ``requires_grad`` go both ways.

        The bias is the same parameter unless units of it go.
        """
        model = net().eval()
        plain = model.blocks[1]
        plain.get_parameter("up.weight").requires_grad_(False)
        bias = plain.get_parameter("down.bias")
        fit(model, kind)
        assert not any(module.training for module in model.modules())
        assert plain.get_parameter("down.bias") is bias
        assert {
            p.requires_grad
            for n, p in plain.get_submodule("up").named_parameters()
            if "bias" not in n
        } == {False}
        to_dense(model)
        assert not any(module.training for module in model.modules())
        assert plain.get_parameter("down.bias") is bias
        assert [n for n, p in model.named_parameters() if not p.requires_grad] == [
            "blocks.1.up.weight"
        ]

    def test_the_projects_own_models(self, kind: Kind) -> None:
        """The transformer's gated MLPs and the tiny workload's plain ones train a step.

        Then they are made dense again.
        """
        shape = replace(NARROW, depth=2).shape
        tokens = torch.arange(24).view(2, 12)
        cases: list[tuple[nn.Module, Tensor]] = [
            (make_transformer(shape, 0), tokens),
            (tiny.make_model(0), torch.ones(3, tiny.FEATURES)),
        ]
        for model, x in cases:
            inputs = None if kind != "data_aware" else _identity_moments(model)
            approximate(model, kind, ["blocks.*.up", "blocks.*.down"], 0.5, inputs)
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
            model(x).square().sum().backward()
            optimizer.step()
            after = model(x)
            to_dense(model)
            torch.testing.assert_close(model(x), after, rtol=1e-4, atol=1e-5)


def _there_and_back(layer: nn.Module, x: Tensor) -> None:
    layer(x).sum().backward()


def _identity_moments(model: nn.Module) -> dict[str, Moments]:
    layers = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    return {
        name: Moments(torch.eye(m.in_features, dtype=torch.float64), 1000)
        for name, m in layers.items()
    }


def test_data_aware_beats_the_svd_where_inputs_lie_unevenly() -> None:
    """The error of the net's outputs is smaller when the fit knew the inputs, at equal rank."""
    x = points(rows=100)
    reference = net()(x)
    errors = {
        kind: (fit(net(), kind, 0.3)(x) - reference).norm().item() for kind in ("svd", "data_aware")
    }
    assert errors["data_aware"] < errors["svd"]


class TestBadInput:
    """Refused with one message, and the model is as it was."""

    @pytest.mark.parametrize(
        ("kind", "patterns", "share", "message"),
        [
            ("qr", MLPS, 0.5, "kind must be one of svd, data_aware"),
            (
                "svd",
                ["blocks.*.upp"],
                0.5,
                r"every pattern must match a linear layer, but got \['blocks\.\*\.upp'\]",
            ),
            (
                "svd",
                [*MLPS, "nothing"],
                0.5,
                r"but got \['nothing'\]: this model has stem, blocks\.0\.up",
            ),
            ("svd", [], 0.5, "every pattern must match a linear layer, but got no pattern"),
            ("svd", MLPS, 0.0, "0 < share <= 1 must hold, but got share=0.0"),
            ("svd", MLPS, 1.01, "0 < share <= 1 must hold, but got share=1.01"),
            ("svd", MLPS, float("nan"), "0 < share <= 1 must hold, but got share=nan"),
            (
                "hidden_units",
                MLPS,
                0.01,
                "at least one hidden unit must stay, but got share=0.01 of 24 units",
            ),
            ("hidden_units", ["blocks.*.up"], 0.5, "no pattern matches blocks.0.down"),
            (
                "hidden_units",
                ["stem", "head"],
                0.5,
                "hidden_units needs the layers of an MLP .* but got stem, head",
            ),
            (
                "monarch",
                ["*"],
                0.5,
                "stem: monarch needs sides with a common divisor, but got a 12 x 5 matrix",
            ),
            (
                "two_four",
                MLPS,
                0.5,
                "blocks.0.up: two_four needs an NVIDIA GPU .* but got device 'cpu'",
            ),
            (
                "two_four",
                MLPS,
                0.25,
                "two_four keeps two weights of four: share must be 0.5, but got 0.25",
            ),
            ("data_aware", MLPS, 0.5, "data_aware needs second moments"),
        ],
    )
    def test_what_cannot_be(
        self, kind: Kind, patterns: list[str], share: float, message: str
    ) -> None:
        model = net()
        with pytest.raises(ValueError, match=message):
            approximate(model, kind, patterns, share)
        assert not structured(model)
        if kind != "data_aware":
            with pytest.raises(ValueError, match=message):
                skeleton(model, kind, patterns, share)
            assert not structured(model)

    def test_fewer_samples_than_the_rank(self) -> None:
        """Of the last layer only: those before it are not replaced either."""
        model = net()
        inputs = _identity_moments(model)
        inputs["blocks.2.down"] = inputs["blocks.2.down"]._replace(samples=5)
        with pytest.raises(ValueError, match=r"got 5 samples for rank 6 of blocks\.2\.down"):
            approximate(model, "data_aware", MLPS, 0.5, inputs)
        assert not structured(model)

    def test_inputs_that_were_never_seen(self) -> None:
        """As of a model that is compiled whole."""
        model = net()
        inputs = _identity_moments(model)
        inputs["blocks.2.down"] = inputs["blocks.2.down"]._replace(samples=0)
        with pytest.raises(ValueError, match=r"inputs of blocks\.2\.down, but none were seen"):
            approximate(model, "data_aware", MLPS, 0.5, inputs)
        assert not structured(model)

    def test_inputs_of_other_layers(self) -> None:
        model = net()
        with pytest.raises(ValueError, match=r"blocks\.0\.up needs second moments of its inputs"):
            approximate(model, "data_aware", MLPS, 0.5, {})
        assert not structured(model)
