"""Every workload of examples/: examined, and what can be searched of it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from models.application.abilities import faults_by_value
from models.workload import Workload
from tests.tuning.training.examination.test_examine import examined
from tuning.training.generators import generators_kept
from tuning.trial.soundness import Soundness

NAMES = ("gpt2_text", "conv_digits")
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As a trial computes; and the generators as they were."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with generators_kept():
        yield
    torch.set_num_threads(threads)


def made(name: str) -> Workload:
    module: Any = importlib.import_module(f"examples.{name}")
    return module.make()  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_sound(name: str) -> None:
    """Weights, batches, losses, every depth, and six steps that go on where they were saved."""
    assert examined(made(name)) == Soundness()


LEVERS = {
    "gpt2_text": {"batch", "depth", "input", "approximation svd", "dtype bfloat16",
                  "attention_backend math"},
    "conv_digits": {"batch", "depth", "input", "cached_prefix", "dtype bfloat16"},
}  # fmt: skip
"""Some that each can have on a CPU."""
REASONS = {
    "conv_digits": {
        "approximation svd": "the blocks have no linear layer (nn.Linear, or Conv1D",
        "attention_backend math": "never calls scaled_dot_product_attention",
    },
    "gpt2_text": {"cached_prefix": "no example comes again within the workload's steps"},
}
"""Why it cannot have others."""


@pytest.mark.parametrize("name", NAMES)
def test_its_levers_work_or_have_a_reason(name: str) -> None:
    """Each value is tried on a step."""
    faults = faults_by_value(made(name), CPU)
    assert not {lever: faults[lever] for lever in LEVERS[name] if faults[lever]}
    for lever, words in REASONS.get(name, {}).items():
        assert words in str(faults[lever])
