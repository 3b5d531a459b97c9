"""Compiled blocks against the same blocks as written.

Most tests compile with torch's ``aot_eager``, which traces and differentiates as always but writes
no C++.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.exc import FailOnRecompileLimitHit
from torch._dynamo.utils import counters
from torch.nn import functional
from torch.nn.functional import scaled_dot_product_attention as imported_by_name
from torch.profiler import ProfilerActivity, profile

from models.compute import compiling
from models.compute.attention import forced
from models.compute.compiling import compile_fault, compiled, gradient_faults
from models.compute.refusal import BackendRefused
from models.counting import count_flops
from models.workloads.transformer import Shape, Transformer, make_transformer
from policies.apply import BlockUpdater
from policies.static_suffix import StaticSuffix

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),  # torch's own use of it
    pytest.mark.filterwarnings(
        "ignore:The .grad attribute of a Tensor:UserWarning"
    ),  # while torch traces
]
SHAPE = Shape(256, depth=4, width=32, heads=2, window=16)
TOKENS = torch.arange(48).reshape(3, 16)
FLASH = "aten::_scaled_dot_product_flash_attention_for_cpu"
trace_only = partial(compiled, compiler="aot_eager")


@pytest.fixture(autouse=True)
def nothing_compiled_yet() -> None:
    """Graphs belong to the process: no test begins with those of another."""
    torch._dynamo.reset()
    counters.clear()


def make() -> tuple[Transformer, list[nn.Module]]:
    model = make_transformer(SHAPE, 0)
    return model, list(model.blocks)


def gradients(model: Transformer) -> list[Tensor | None]:
    """Of every parameter after one backward."""
    model.zero_grad(set_to_none=True)
    model(TOKENS).logsumexp(-1).mean().backward()
    return [parameter.grad for parameter in model.parameters()]


def operations(step: Callable[[], object]) -> set[str]:
    """The names of the operations that ran, inside compiled graphs too."""
    with profile(activities=[ProfilerActivity.CPU]) as watched:
        step()
    return {event.key for event in watched.key_averages()}


def test_a_compiled_model_is_the_same_and_can_be_undone() -> None:
    """Names and gradients of parameters are those of the model as written, compiled and after.

    Nothing is left when compilation is undone.
    """
    model, blocks = make()
    names, expected = list(model.state_dict()), gradients(model)
    undo = trace_only(model, blocks)
    assert list(model.state_dict()) == names
    torch.testing.assert_close(gradients(model), expected)
    assert counters["stats"]["unique_graphs"] > 0
    undo()
    assert all("forward" not in vars(block) for block in blocks)
    torch.testing.assert_close(gradients(model), expected)


def test_a_forward_of_the_blocks_own_is_put_back() -> None:
    """A block whose ``forward`` somebody had already replaced."""
    model, blocks = make()
    block = blocks[1]
    mine = lambda x, *_: 2 * x  # noqa: E731
    block.forward = mine
    trace_only(model, blocks)()
    assert block.forward is mine


def test_freezing_is_respected_at_every_depth() -> None:
    """As depths go up and down, exactly the active parameters have gradients, equal to the plain
    ones.

    Four graphs do for that.
    """
    model, blocks = make()
    plain, _ = make()
    trace_only(model, blocks)
    for depth in (4, 1, 3, 2, 4, 1):
        for each in (model, plain):
            each.stem.requires_grad_(depth == 4)
            for index, block in enumerate(each.blocks):
                block.requires_grad_(index >= 4 - depth)
        torch.testing.assert_close(gradients(model), gradients(plain))
        assert gradient_faults(model) == []
    assert counters["stats"]["unique_graphs"] <= 4


def test_an_updater_trains_compiled_blocks() -> None:
    """The updater's hooks, cuts and sleep work outside the graphs.

    After three steps the weights are those of the plain model.
    """

    def train(compile_it: bool) -> list[Tensor]:
        model, blocks = make()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        updater = BlockUpdater(model, blocks, StaticSuffix(), optimizer, total_steps=3)
        if compile_it:
            trace_only(model, blocks)
        for _ in range(3):
            with updater.step() as step:
                loss = model(TOKENS).logsumexp(-1).mean()
                loss.backward()
                step.observe(loss)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return list(model.parameters())

    torch.testing.assert_close(train(compile_it=True), train(compile_it=False))


def test_a_graph_of_another_backend_is_never_reused() -> None:
    """Backends in turns on two models that share graphs: torch's profiler names the kernel that ran
    each time.

    The attention is called by a name imported earlier, so that the function that stands in for it
    is passed by.
    """
    models = [nn.Sequential(_ByName()) for _ in range(2)]
    for model in models:
        trace_only(model, [model[0]])
    for backend in ("math", "flash", "math", "flash"):
        for model in models:
            with forced(backend):
                assert (FLASH in operations(partial(model, torch.ones(1, 1, 5, 8)))) == (
                    backend == "flash"
                )


def test_a_model_that_its_owner_compiled_is_forced_too() -> None:
    """``torch.compile`` of a function that calls attention where torch has it.

    The guard is on what stands there.
    """
    attend = torch.compile(
        lambda q: functional.scaled_dot_product_attention(q, q, q), backend="aot_eager"
    )
    for backend in ("math", "flash", "math"):
        with forced(backend):
            used = operations(lambda: attend(torch.ones(1, 1, 5, 8)))
        assert (FLASH in used) == (backend == "flash")


class _ByName(nn.Module):
    def forward(self, q: Tensor) -> Tensor:
        return imported_by_name(q, q, q)


def test_a_refusal_is_the_same_while_compiling() -> None:
    """A backend the device lacks, met while a block is traced."""
    model, blocks = make()
    trace_only(model, blocks)
    with pytest.raises(BackendRefused, match="attention 'cudnn'"), forced("cudnn"):
        gradients(model)


def test_flex_inside_a_compiled_block() -> None:
    """Causal, forward: one graph holds it, and the result is that of the block as written on
    math.
    """
    model, blocks = make()
    with forced("math"):
        expected = model(TOKENS)
    trace_only(model, blocks)
    with forced("flex"), torch.no_grad():
        torch.testing.assert_close(model(TOKENS), expected)
    assert counters["stats"]["unique_graphs"] == 1


def test_flops_are_counted_as_of_the_plain_model() -> None:
    """The counter watches single operations, under which blocks run as they are written."""
    model, blocks = make()
    expected = count_flops(lambda: gradients(model))
    trace_only(model, blocks)
    gradients(model)
    assert count_flops(lambda: gradients(model)) == expected > 0


def test_too_many_graphs_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one graph allowed, a block that is frozen later does not fall back to running as it is
    written.
    """
    monkeypatch.setattr(compiling, "MOST_GRAPHS", 1)
    model, blocks = make()
    with pytest.raises(FailOnRecompileLimitHit):  # noqa: PT012 - which of the two raises is torch's affair
        trace_only(model, blocks)
        gradients(model)
        blocks[3].requires_grad_(False)
        gradients(model)


def test_copies_are_refused() -> None:
    """A copy would compute with the original's weights.

    It is refused while the model is compiled, and works again after.
    """
    model, blocks = make()
    undo = trace_only(model, blocks)
    for make_copy in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="undo it first"):
            make_copy(model)
    undo()
    copy.deepcopy(model)


def test_blocks_of_another_model_are_refused() -> None:
    """One message that names them; nothing was compiled."""
    model, blocks = make()
    _, others = make()
    with pytest.raises(ValueError, match=r"those at \[1\] are not"):
        trace_only(model, [blocks[0], others[1]])
    assert "forward" not in vars(blocks[0])


def test_gradient_faults() -> None:
    """A parameter that got no gradient, and a frozen one that has one."""
    layer = nn.Linear(2, 2)
    layer.bias.grad = torch.ones(2)
    layer.bias.requires_grad_(False)
    assert gradient_faults(layer) == [
        "weight needs a gradient but has none",
        "bias is frozen but has a gradient",
    ]


def test_what_cannot_compile_is_a_fault() -> None:
    """A device that is not there: one line with the reason and what is needed."""
    fault = compile_fault(torch.device("cuda", 99))
    assert fault is not None
    assert "cuda:99" in fault
    assert "triton" in fault
    assert "\n" not in fault
