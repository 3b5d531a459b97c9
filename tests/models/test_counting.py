"""Counted operations against those written down by hand: 2·m·n·k for every product that runs."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from models.counting import count_flops
from models.workloads.transformer import Shape, make_transformer
from tests.support import tiny


def test_matrix_product() -> None:
    """(5, 7) times (7, 11): 2·5·7·11, and in silence."""
    assert count_flops(lambda: torch.ones(5, 7) @ torch.ones(7, 11)) == 2 * 5 * 7 * 11


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    count_flops(lambda: torch.ones(5, 7) @ torch.ones(7, 11))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("active", range(5))
def test_frozen_prefix_costs_its_forward_alone(active: int) -> None:
    """A layer: one product forward, one for its weights, one for its input where something below
    learns.
    """
    layers = nn.Sequential(*(nn.Linear(16, 16) for _ in range(4)))
    for index, layer in enumerate(layers):
        layer.requires_grad_(index >= 4 - active)
    head = nn.Linear(16, 16)
    product = 2 * 32 * 16 * 16
    expected = 4 * product + active * product + max(active - 1, 0) * product
    head_cost = product + product + (product if active else 0)
    assert (
        count_flops(lambda: head(layers(torch.ones(32, 16))).sum().backward())
        == expected + head_cost
    )


@pytest.mark.parametrize("causal", [False, True])
def test_attention_on_the_cpu(causal: bool) -> None:
    """Two products forward, and five backward (scores again, then four gradients), of the full
    square.
    """
    q, k, v = (torch.ones(2, 3, 16, 8, requires_grad=True) for _ in range(3))
    product = 2 * (2 * 3) * 16 * 16 * 8

    def forward() -> torch.Tensor:
        return functional.scaled_dot_product_attention(q, k, v, is_causal=causal)

    assert count_flops(forward) == 2 * product
    assert count_flops(lambda: forward().sum().backward()) == (2 + 5) * product  # type: ignore[no-untyped-call]


def test_attention_without_a_fused_kernel() -> None:
    """Plain products count as they are: two forward, four backward; nothing is computed again."""
    q, k, v = (torch.ones(2, 3, 16, 8, requires_grad=True) for _ in range(3))
    product = 2 * (2 * 3) * 16 * 16 * 8

    def step() -> None:
        functional.scaled_dot_product_attention(q, k, v).sum().backward()  # type: ignore[no-untyped-call]

    with sdpa_kernel(SDPBackend.MATH):
        assert count_flops(step) == (2 + 4) * product


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_transformer_step(depth: int) -> None:
    """A step of the top ``depth`` of four blocks, summed by hand over its products.

    A block has (4·W + 3·hidden)·W weights in four products a token, and attention over T tokens.
    Everything runs forward; the active blocks run products for weights and for inputs. The
    normalisation before a product learns too, so that even the lowest active block needs both.
    """
    shape = Shape(vocabulary=256, depth=4, width=32, heads=2, window=16)
    model = make_transformer(shape, 0)
    for index, block in enumerate(model.blocks):
        block.requires_grad_(index >= shape.depth - depth)
    model.stem.requires_grad_(depth == shape.depth)
    tokens = torch.zeros(3, 16, dtype=torch.int64)
    count = 3 * 16
    weights, square = 2 * count * (4 * 32 + 3 * shape.hidden) * 32, 2 * 3 * 16 * 16 * 32
    head = 2 * count * 32 * 256
    expected = 4 * (weights + 2 * square) + depth * (2 * weights + 5 * square) + 3 * head
    assert count_flops(lambda: model(tokens).sum().backward()) == expected


def test_step_counts_while_it_trains() -> None:
    """The counted step is a real one: it gives the loss and the gradients of an uncounted one."""
    workload = tiny.tiny()
    batch = workload.batch_at(0, 0)
    counted, plain = workload.make_model(0), workload.make_model(0)
    count_flops(lambda: workload.loss(counted, batch).backward())  # type: ignore[no-untyped-call]
    workload.loss(plain, batch).backward()  # type: ignore[no-untyped-call]
    assert all(
        a.grad is not None and b.grad is not None and torch.equal(a.grad, b.grad)
        for a, b in zip(counted.parameters(), plain.parameters(), strict=True)
    )


def test_a_loss_that_takes_gradients_of_its_inputs() -> None:
    """A gradient penalty: forward; gradient by the input; then the output's share of both
    gradients, and the penalty's of the weights'.
    """
    layer, x = nn.Linear(16, 16), torch.ones(32, 16, requires_grad=True)

    def step() -> None:
        made = layer(x)
        (by_input,) = torch.autograd.grad(made.sum(), x, create_graph=True)
        (made.sum() + by_input.pow(2).sum()).backward()

    assert count_flops(step) == (1 + 1 + 2 + 1) * 2 * 32 * 16 * 16
