"""The dtype in which a model computes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.compute.precision import dtype_fault, precision
from models.levers import computing
from models.levers.computing import DTYPES
from models.workloads.transformer import Shape, make_transformer

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_have_the_dtype_and_weights_do_not(dtype: str) -> None:
    """In a forward and backward the product comes out in the dtype.

    Weights and gradients stay float32.
    """
    layer = nn.Linear(8, 8)
    with precision(dtype, CPU):
        out = layer(torch.ones(2, 8))
    out.sum().backward()
    assert out.dtype == getattr(torch, dtype)
    assert layer.weight.dtype == torch.float32
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


def test_bfloat16_is_near_float32() -> None:
    """Logits of the same transformer in both, within some units of bfloat16's last place."""
    model = make_transformer(Shape(256, depth=2, width=32, heads=2, window=16), 0)
    tokens = torch.arange(16)[None]
    with precision("bfloat16", CPU):
        half = model(tokens)
    torch.testing.assert_close(half.float(), model(tokens), rtol=0.05, atol=0.05)
    assert not torch.equal(half.float(), model(tokens))


def test_what_a_device_can_do() -> None:
    """Both dtypes train on a CPU, neither on a device that is not there."""
    assert DTYPES == computing.DTYPES
    assert [dtype_fault(dtype, CPU) for dtype in DTYPES] == [None, None]
    assert all(
        "cuda:99" in (dtype_fault(dtype, torch.device("cuda", 99)) or "") for dtype in DTYPES
    )


def test_other_dtypes_are_refused() -> None:
    """float16 with the reason, any other name with those there are; a fault says the same."""
    for dtype, words in {
        "float16": "loss scaling: use bfloat16",
        "int8": "one of float32, bfloat16",
    }.items():
        assert words in (dtype_fault(dtype, CPU) or "")
        with pytest.raises(ValueError, match=words):
            precision(dtype, CPU)
