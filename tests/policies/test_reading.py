"""Relevance as it is read from gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from policies.apply import BlockUpdater
from policies.applying.reading import EPS, later, relevance
from tests.policies.nets import Scripted, adamw, backward, loss_of, tower


def reference(blocks: list[list[nn.Parameter]], metric: str) -> list[float]:
    """The definition in NumPy with 64 bits, over each block's parameters laid end to end."""
    scores = []
    for block in blocks:
        w = np.concatenate([p.detach().double().numpy().ravel() for p in block])
        g = np.concatenate(
            [
                (torch.zeros_like(p) if p.grad is None else p.grad).double().numpy().ravel()
                for p in block
            ]
        )
        ratio = np.sqrt(np.sum(g**2)) / (np.sqrt(np.sum(w**2)) + EPS)
        scores.append(float(ratio if metric == "ratio" else np.sum(np.abs(g * w))))
    return scores


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
    metric=st.sampled_from(["ratio", "saliency"]),
)
def test_scores_are_those_of_the_definition(
    seed: int, scale: float, dtype: torch.dtype, metric: str
) -> None:
    """Random blocks with scalars, vectors, matrices and parameters without gradient, at three
    scales.
    """
    torch.manual_seed(seed)
    shapes: list[list[tuple[int, ...]]] = [[(3, 4), (4,)], [(), (2, 2, 2)], [(5,)]]
    blocks = [
        [nn.Parameter(torch.randn(shape, dtype=dtype)) for shape in block] for block in shapes
    ]
    for parameter in (blocks[0][0], blocks[0][1], blocks[1][1]):
        parameter.grad = (torch.randn_like(parameter) * scale).detach()
    assert relevance(blocks, metric) == pytest.approx(reference(blocks, metric), rel=1e-5)


@pytest.mark.parametrize("metric", ["ratio", "saliency"])
def test_half_precision_does_not_overflow(metric: str) -> None:
    """Gradients whose squares, and products whose values, are beyond the largest half."""
    parameter = nn.Parameter(torch.full((64, 64), 200.0, dtype=torch.float16))
    parameter.grad = torch.full_like(parameter, 2000.0)
    assert relevance([[parameter]], metric) == pytest.approx(
        reference([[parameter]], metric), rel=1e-5
    )


def test_blocks_of_zeros_and_without_parameters_have_no_relevance() -> None:
    """Zero over zero is zero, not NaN."""
    zeros = nn.Parameter(torch.zeros(3))
    zeros.grad = torch.zeros(3)
    assert relevance([[zeros], []], "ratio") == (0.0, 0.0)
    assert relevance([[zeros], []], "saliency") == (0.0, 0.0)
    assert relevance([[]], "ratio") == (0.0,)


@pytest.mark.parametrize("metric", ["ratio", "saliency"])
def test_a_probe_reads_what_the_backward_left(metric: str) -> None:
    """On a real model, the loss scaled as a gradient scaler does and ``observe`` told so."""
    model = tower()
    policy = Scripted("p 2", metric=metric)
    updater = BlockUpdater(model, list(model.blocks), policy, adamw(model), total_steps=2)
    for probe in (True, False):
        with updater.step() as step:
            loss = loss_of(model)
            backward(loss * 1024)
            step.observe(loss, grad_scale=1024.0)
        if probe:
            scaled = reference([list(block.parameters()) for block in model.blocks], metric)
            assert step.relevance == pytest.approx([score / 1024 for score in scaled], rel=1e-5)
        else:
            assert step.relevance is None


def test_a_loss_is_the_number_it_was() -> None:
    """A loss changed in place after it was observed does not change what was observed."""
    loss = torch.tensor(2.5, requires_grad=True)
    read = later(loss)
    with torch.no_grad():
        loss.zero_()
    assert read() == 2.5
    assert later(1)() == 1.0
