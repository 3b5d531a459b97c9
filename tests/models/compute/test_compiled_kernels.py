"""What only a real compiler shows: skipped, with the reason, where there is none.

Takes some seconds.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from models.compute.attention import forced
from models.compute.compiling import compile_fault, compiled
from tests.models.compute.test_compiling import FLASH, operations, pytestmark  # noqa: F401 - torch's own warnings


@pytest.fixture(scope="module", autouse=True)
def compiler() -> None:
    """A compiler that works, found by using it."""
    fault = compile_fault(torch.device("cpu"))
    if fault is not None:
        pytest.skip(fault)
    torch._dynamo.reset()


class Attend(nn.Module):
    """The least block there is with attention."""

    def forward(self, q: torch.Tensor) -> torch.Tensor:
        return functional.scaled_dot_product_attention(q, q, q, is_causal=True)


def test_a_graph_on_disk_of_another_backend_is_never_reused() -> None:
    """On disk torch keeps graphs by a key that leaves its attention flags out.

    The profiler says what ran.
    """
    model, x = nn.Sequential(Attend()), torch.randn(1, 2, 9, 16, requires_grad=True)
    compiled(model, [model[0]])
    outs = []
    for backend in ("math", "flash"):
        torch._dynamo.reset()  # as a new process would begin, with the cache on disk
        with forced(backend):
            used = operations(lambda: outs.append(model(x)))
        assert (FLASH in used) == (backend == "flash")
    torch.testing.assert_close(outs[0], outs[1])


def test_flex_is_compiled() -> None:
    """The compiled region shows in the profile and none of torch's attention or products do.

    The result is math's.
    """
    q = torch.randn(1, 2, 33, 16)
    call = Attend()
    with forced("flex"):
        call(q)  # compiles, which runs operations of its own
        used = operations(lambda: call(q))
        found = call(q)
    assert any("CompiledFxGraph" in name for name in used)
    assert not any("softmax" in name or "bmm" in name or "dot_product" in name for name in used)
    with forced("math"):
        torch.testing.assert_close(found, call(q))
