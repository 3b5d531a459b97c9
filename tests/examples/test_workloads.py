"""Every workload of examples/: examined, and what can be searched of it."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from models.application.abilities import faults_by_value
from models.workload import Workload
from tests.tuning.training.examination.test_examine import examined
from tuning.training.generators import generators_kept
from tuning.trial.soundness import Soundness

NAMES = ("gpt2_text", "bert_classifier", "conv_digits", "lora", "own_knobs")
CPU = torch.device("cpu")
pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft's own business
)


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
    found = examined(made(name))
    if name == "lora":
        assert "base_model.model in evaluation mode" in found.findings[0].text
        found = Soundness(found.findings[1:])
    assert found == Soundness()


MATRICES = {f"approximation {kind}" for kind in ("svd", "data_aware", "monarch", "hidden_units")}
LEVERS = {
    "gpt2_text": {*MATRICES, "batch", "depth", "input", "attention_backend math"},
    "bert_classifier": {
        *MATRICES, "batch", "depth", "input", "cached_prefix", "attention_backend math"
    },
    "conv_digits": {"batch", "depth", "input", "cached_prefix", "dtype bfloat16"},
    "lora": {*MATRICES, "batch", "depth", "input"} - {"approximation hidden_units"},
    "own_knobs": {*MATRICES, "batch", "depth", "cached_prefix"} - {"approximation hidden_units"},
}  # fmt: skip
"""Some that each can have on a CPU."""
NO_ATTENTION = "never calls scaled_dot_product_attention, so there is nothing to force"
REASONS = {
    "gpt2_text": {
        "cached_prefix": "no example comes again within the workload's steps",
        "attention_backend flash": "do not support non-zero dropout",
        "approximation two_four": "needs an NVIDIA GPU",
    },
    "bert_classifier": {"attention_backend flex": "dropout_p must be 0, but got 0.1"},
    "conv_digits": {
        "approximation svd": "the blocks have no linear layer (nn.Linear, or Conv1D",
        "attention_backend math": NO_ATTENTION,
    },
    "lora": {"approximation hidden_units": "h.0.mlp.c_fc.base_layer"},
    "own_knobs": {
        "approximation hidden_units": "hidden_units needs the layers of an MLP",
        "attention_backend math": NO_ATTENTION,
        "input": "the workload has no shrink(batch, share)",
    },
}
"""Why it cannot have others."""


@pytest.mark.parametrize("name", NAMES)
def test_its_levers_work_or_have_a_reason(name: str) -> None:
    """Each value is tried on a step."""
    faults = faults_by_value(made(name), CPU)
    assert not {lever: faults[lever] for lever in LEVERS[name] if faults[lever]}
    for lever, words in REASONS.get(name, {}).items():
        assert words in str(faults[lever])


@pytest.mark.parametrize("name", NAMES)
def test_it_is_short(name: str) -> None:
    """At most 15 lines of code in what makes the workload, its imports and model aside."""
    module = importlib.import_module(f"examples.{name}")
    tree = ast.parse(inspect.getsource(module.make))
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    body = function.body[1:]  # without its docstring
    assert sum((each.end_lineno or 0) - each.lineno + 1 for each in body) <= 15
