"""Runs batched by ``torch.func`` take the steps that they take one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks.cost.several import AtOnce, OneByOne
from models.workloads.byte_lm import Recipe, byte_lm


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
def test_a_step_of_all_is_a_step_of_each() -> None:
    """Every parameter of every model, after two steps."""
    recipe = replace(Recipe(), depth=1, width=16, heads=1, window=8, batch=2)
    workload, device = byte_lm(recipe=recipe), torch.device("cpu")
    one, all_ = OneByOne(workload, 3, device), AtOnce(workload, 3, device)
    for _ in range(2):
        one.step()
        all_.step()
    for number, model in enumerate(one.models):
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(
                all_.parameters[name][number].detach(), parameter.detach(), rtol=1e-3, atol=1e-4
            )
