"""2:4 sparsity where there is no hardware for it.

The mask, the masked arithmetic and the reason for a refusal are checked.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from models.approximation import two_four
from models.approximation.modules import TwoFourLinear
from models.approximation.two_four import require_two_four, two_four_fault, two_four_mask
from models.counting import count_flops
from tests.models.approximation.cases import random_matrix, seeds


@given(seeds, st.integers(1, 6), st.integers(1, 4))
def test_mask_is_the_closest_two_of_four(seed: int, rows: int, fours: int) -> None:
    """Of the six ways to keep two of four, tried one by one, none keeps more of the norm."""
    matrix = random_matrix(seed, rows, 4 * fours)
    mask = two_four_mask(torch.from_numpy(matrix)).numpy().reshape(-1, 4)
    assert (mask.sum(axis=1) == 2).all()
    for group, kept in zip(matrix.reshape(-1, 4), mask, strict=True):
        best = max(np.sum(group[list(pair)] ** 2) for pair in itertools.combinations(range(4), 2))
        assert np.sum(group[kept] ** 2) == best


def test_the_first_stay_where_weights_tie() -> None:
    """Zeros and equal weights have a mask too, always the same."""
    assert two_four_mask(torch.zeros(1, 8)).int().tolist() == [[1, 1, 0, 0, 1, 1, 0, 0]]


def test_masked_arithmetic() -> None:
    """Output and gradients are those of the dense layer with zeros.

    Hidden weights have no gradient and stay.
    """
    linear = nn.Linear(8, 6, dtype=torch.float64)
    reference = nn.Linear(8, 6, dtype=torch.float64)
    mask = two_four_mask(linear.weight)
    reference.load_state_dict(
        {"weight": linear.weight.detach() * mask, "bias": linear.bias.detach()}
    )
    layer, x = TwoFourLinear(linear, mask), torch.from_numpy(random_matrix(0, 5, 8))
    torch.testing.assert_close(layer(x), reference(x))
    layer(x).square().sum().backward()
    reference(x).square().sum().backward()
    assert layer.dense_weight.grad is not None
    assert reference.weight.grad is not None
    torch.testing.assert_close(layer.dense_weight.grad, reference.weight.grad * mask)
    torch.testing.assert_close(layer.dense()(x), reference(x))


def test_operations_and_state() -> None:
    """Counted as dense; mask and weight load into a layer that was made from zeros."""
    linear = nn.Linear(8, 6)
    x = torch.ones(5, 8)
    layer = TwoFourLinear(linear, two_four_mask(linear.weight))
    assert count_flops(lambda: layer(x)) == layer.flops(5) == 2 * 5 * 8 * 6
    other = TwoFourLinear(nn.Linear(8, 6), two_four_mask(torch.zeros(6, 8)))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), layer(x))


def test_a_cpu_is_refused_with_the_reason() -> None:
    """The whole message, with the rule, what was found and what to do."""
    assert two_four_fault(torch.device("cpu")) == (
        "two_four needs an NVIDIA GPU of compute capability 8.0 or more, but got device 'cpu': "
        "choose another kind"
    )
    with pytest.raises(ValueError, match="got device 'cpu'"):
        require_two_four(nn.Linear(64, 32))


def test_layers_without_a_kernel_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers are refused by type and by sides, on a device taken for one that has the hardware.

    A layer with a kernel passes.
    """
    monkeypatch.setattr(two_four, "two_four_fault", lambda _: None)
    require_two_four(nn.Linear(64, 32))
    with pytest.raises(ValueError, match=r"float16 or bfloat16, but got torch\.float64"):
        require_two_four(nn.Linear(64, 32, dtype=torch.float64))
    with pytest.raises(
        ValueError, match=r"multiples of \(32, 64\) in torch.bfloat16, but got \(32, 32\)"
    ):
        require_two_four(nn.Linear(32, 32, dtype=torch.bfloat16))


def test_a_mask_needs_whole_fours() -> None:
    """Six inputs are one four and a half."""
    with pytest.raises(ValueError, match="multiple of 4 inputs, but got 6"):
        two_four_mask(torch.ones(4, 6))


@pytest.mark.skipif(
    not torch.cuda.is_available() or two_four_fault(torch.device("cuda")) is not None,
    reason="needs a GPU with sparse tensor cores",
)
def test_the_sparse_kernel_agrees_with_masked_arithmetic() -> None:
    """Output and gradients on the GPU against the same layer on the CPU, in bfloat16's
    precision.
    """
    linear = nn.Linear(128, 64)
    mask = two_four_mask(linear.weight)
    x = torch.from_numpy(random_matrix(0, 32, 128)).float()
    on_cpu, on_gpu = TwoFourLinear(linear, mask), TwoFourLinear(nn.Linear(128, 64), mask).cuda()
    on_gpu.load_state_dict(on_cpu.state_dict())
    on_gpu.bfloat16()
    expected, found = on_cpu(x), on_gpu(x.cuda().bfloat16())
    torch.testing.assert_close(found.float().cpu(), expected, rtol=0.05, atol=0.05)
    expected.sum().backward()
    found.sum().backward()
    grads = [layer.dense_weight.grad for layer in (on_cpu, on_gpu)]
    assert grads[0] is not None
    assert grads[1] is not None
    torch.testing.assert_close(grads[1].float().cpu(), grads[0], rtol=0.05, atol=0.1)
