"""Forced attention: what ran is read off the dispatched operations, and what came out is held
against float64.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.backends import mha
from torch.nn import functional
from torch.nn.functional import scaled_dot_product_attention as imported_by_name

from models.compute.attention import forced, in_force
from models.compute.probe import backend_fault, kernels_used
from models.compute.refusal import BackendRefused
from models.levers import computing
from models.levers.computing import BACKENDS
from models.workloads.transformer import Shape, make_transformer

CPU = torch.device("cpu")
RUN_BY = {"math": {"math"}, "flash": {"flash", "flash backward"}}
"""The backends that train on every CPU, and the kernels that a forward and backward of each
runs.
"""


@dataclass(frozen=True)
class Case:
    """One call of attention: sizes of its (B, H, T, D) queries, its keys and its mask."""

    batch: int
    heads: int
    queries: int
    keys: int
    size: int
    causal: bool
    seed: int

    def tensors(self, dtype: torch.dtype) -> list[Tensor]:
        """Query, key, value and the gradient of the result."""
        generator = torch.Generator().manual_seed(self.seed)
        lengths = (self.queries, self.keys, self.keys, self.queries)
        shapes = [(self.batch, self.heads, length, self.size) for length in lengths]
        return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Odd lengths, one token, keys of another number than queries, head sizes 8 to 128."""
    causal = draw(st.booleans())
    queries = draw(st.integers(1, 40))
    keys = queries if causal else draw(st.integers(1, 40))
    few, size = st.integers(1, 3), draw(st.sampled_from([8, 16, 24, 40, 64, 128]))
    return Case(draw(few), draw(few), queries, keys, size, causal, draw(st.integers(0, 99)))


def results(case: Case, tensors: list[Tensor]) -> list[Tensor]:
    """The result and the gradients of query, key and value."""
    *inputs, gradient = (tensor.clone() for tensor in tensors)
    q, k, v = (tensor.requires_grad_() for tensor in inputs)
    out = functional.scaled_dot_product_attention(q, k, v, is_causal=case.causal)
    return [out, *torch.autograd.grad(out, (q, k, v), gradient)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("backend", RUN_BY)
@settings(max_examples=25)
@given(case=cases())
def test_backends_agree_with_math_in_float64(backend: str, dtype: torch.dtype, case: Case) -> None:
    """Result and three gradients of the same rounded inputs, within 32 units of the dtype's last
    place.
    """
    tensors = case.tensors(dtype)
    with forced("math"):
        expected = results(case, [tensor.double() for tensor in tensors])
    with forced(backend):
        found = results(case, tensors)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == dtype
        error = (one.double() - other).abs().max()
        assert error <= 32 * torch.finfo(dtype).eps * (1 + other.abs().max())


@settings(max_examples=25)
@given(case=cases())
def test_flex_means_the_same(case: Case) -> None:
    """The forward alone is compared, as FlexAttention trains on no CPU.

    It runs watched, so that nothing is compiled for each shape.
    """
    q, k, v, _ = case.tensors(torch.float32)
    assert_flex_agrees(
        lambda: functional.scaled_dot_product_attention(q, k, v, is_causal=case.causal)
    )


@pytest.mark.parametrize("shape", [(9, 9), (3, 9, 9), (2, 1, 9, 9), (2, 3, 9, 9), (1, 1, 1, 9)])
@pytest.mark.parametrize("boolean", [True, False])
def test_flex_takes_masks_of_any_shape(shape: tuple[int, ...], boolean: bool) -> None:
    """A mask that broadcasts, boolean or added, with a scale; every query sees its first key."""
    q, k, v, _ = Case(2, 3, 9, 9, 16, causal=False, seed=0).tensors(torch.float32)
    mask = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    mask = (mask > 0) | (torch.arange(9) == 0) if boolean else mask
    assert_flex_agrees(lambda: functional.scaled_dot_product_attention(q, k, v, mask, scale=0.3))


def test_flex_casts_as_autocast_does() -> None:
    """Mixed inputs under autocast: bfloat16 comes out, as from math, near it."""
    q, k, v, _ = Case(2, 3, 9, 9, 16, causal=True, seed=0).tensors(torch.float32)
    outs: list[Tensor] = []
    for backend in ("math", "flex"):
        with torch.autocast("cpu", torch.bfloat16), forced(backend):
            kernels_used(
                lambda: outs.append(functional.scaled_dot_product_attention(q, k.bfloat16(), v))
            )
    assert [out.dtype for out in outs] == [torch.bfloat16] * 2
    torch.testing.assert_close(outs[0], outs[1], rtol=0.02, atol=0.01)


def assert_flex_agrees(call: Callable[[], Tensor]) -> None:
    """Run the call on math and on flex, look at what ran, compare."""
    outs: list[Tensor] = []
    for backend in ("math", "flex"):
        with forced(backend):
            assert kernels_used(lambda: outs.append(call())) == {backend}
    torch.testing.assert_close(outs[1], outs[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", RUN_BY)
def test_forced_is_what_runs(backend: str) -> None:
    """In a transformer's step, forward and backward, torch dispatched the backend's operations
    alone.
    """
    model = make_transformer(Shape(256, depth=2, width=32, heads=2, window=16), 0)
    tokens = torch.zeros(3, 16, dtype=torch.int64)
    with forced(backend):
        used = kernels_used(lambda: model(tokens).sum().backward())
    assert used == RUN_BY[backend]


def test_flex_is_what_runs() -> None:
    """The same for flex, without gradients."""
    model = make_transformer(Shape(256, depth=2, width=32, heads=2, window=16), 0)
    with forced("flex"), torch.no_grad():
        assert kernels_used(lambda: model(torch.zeros(3, 16, dtype=torch.int64))) == {"flex"}


@pytest.mark.parametrize("backend", RUN_BY)
def test_a_call_by_an_imported_name_is_forced_too(backend: str) -> None:
    """Whoever imported the function before it was replaced: torch's flags hold for it."""
    q, k, v, _ = Case(1, 1, 5, 5, 8, causal=False, seed=0).tensors(torch.float32)
    with forced(backend):
        assert kernels_used(lambda: imported_by_name(q, k, v)) == {backend}


@pytest.mark.parametrize("backend", RUN_BY)
def test_torchs_own_encoder_is_forced_too(backend: str) -> None:
    """Evaluated without gradients it would take a path of its own past every backend.

    Math's operations show.
    """
    layer = nn.TransformerEncoderLayer(16, 2, batch_first=True).eval()
    with forced(backend), torch.no_grad():
        assert kernels_used(lambda: layer(torch.ones(2, 5, 16))) == {backend}


def test_the_innermost_one_holds() -> None:
    """Three nested, flash innermost, each seen to run, and afterwards everything is as it was."""
    q, k, v, _ = Case(1, 1, 5, 5, 8, causal=False, seed=0).tensors(torch.float32)

    def used() -> list[str | None]:
        return [*kernels_used(lambda: functional.scaled_dot_product_attention(q, k, v)), in_force()]

    with forced("flex"):
        with forced("math"):
            with forced("flash"):
                assert used() == ["flash", "flash"]
            assert used() == ["math", "math"]
        assert used() == ["flex", "flex"]
    assert in_force() is None


def test_everything_is_put_back_after_an_error() -> None:
    """Flags, function and fast path before and after a body that raises."""

    def state() -> list[object]:
        flags = [
            getattr(torch.backends.cuda, f"{name}_sdp_enabled")()
            for name in ("flash", "math", "mem_efficient")
        ]
        return [
            *flags,
            functional.scaled_dot_product_attention,
            mha.get_fastpath_enabled(),
            in_force(),
        ]

    before = state()
    with pytest.raises(KeyError), forced("math"):  # noqa: PT012
        assert state() != before
        raise KeyError
    assert state() == before


@contextmanager
def refusal(backend: str, *words: str) -> Iterator[None]:
    """Force a backend, expect it to be refused in one line with ``words``.

    Torch's warnings are not looked at.
    """
    with warnings.catch_warnings(), pytest.raises(BackendRefused) as caught:  # noqa: PT012 - the body is the caller's
        warnings.simplefilter("ignore")
        with forced(backend):
            yield
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in (f"attention {backend!r}", *words)), message


def test_a_backend_the_device_lacks_is_refused() -> None:
    """The one of cuDNN on a CPU: the message names backend, shapes, dtype and device."""
    q, k, v, _ = Case(2, 3, 9, 9, 16, causal=False, seed=0).tensors(torch.float32)
    with refusal("cudnn", "(2, 3, 9, 16)", "float32 on cpu", "choose another backend"):
        functional.scaled_dot_product_attention(q, key=k, value=v)
    with refusal("cudnn", "choose another backend"):
        imported_by_name(q, k, v)


def test_a_head_size_the_backend_refuses() -> None:
    """Values of another head size than queries, which torch's CPU kernel does not take.

    Its own reason is passed on.
    """
    q, k, v, _ = Case(2, 3, 9, 9, 16, causal=False, seed=0).tensors(torch.float32)
    with refusal("flash", "(2, 3, 9, 8)", "same last dimension"):
        functional.scaled_dot_product_attention(q, k, v[..., :8])


def test_what_flex_cannot_express_is_refused() -> None:
    """Dropout, a learned mask, three dimensions, training on a CPU, and a call that was not given
    to it.
    """
    q, k, v, _ = Case(2, 3, 9, 9, 16, causal=False, seed=0).tensors(torch.float32)
    attention = functional.scaled_dot_product_attention
    mask = torch.zeros(9, 9, requires_grad=True)
    with refusal("flex", "dropout_p must be 0, but got 0.1"):
        functional.scaled_dot_product_attention(q, k, v, dropout_p=0.1)
    with refusal("flex", "must not need a gradient"):
        functional.scaled_dot_product_attention(q, k, v, mask)
    with refusal("flex", "exclude each other"):
        functional.scaled_dot_product_attention(q, k, v, mask.detach(), is_causal=True)
    with refusal("flex", "four dimensions"):
        functional.scaled_dot_product_attention(q[0], k[0], v[0])
    with refusal("flex", "no backward on the CPU"):
        functional.scaled_dot_product_attention(q.clone().requires_grad_(), k, v)
    with refusal("flex", "imported earlier"):
        attention(q, k, v)


def test_other_errors_pass_through() -> None:
    """A shape that no backend could take is torch's to report."""
    with pytest.raises(RuntimeError, match="size"), forced("math"):
        functional.scaled_dot_product_attention(
            torch.ones(1, 1, 2, 8), torch.ones(1, 1, 2, 7), torch.ones(1, 1, 2, 7)
        )


def test_names() -> None:
    """An unknown name is refused with those there are, which are those of the lever."""
    assert BACKENDS == computing.BACKENDS
    with (
        pytest.raises(
            ValueError, match="one of math, efficient, flash, cudnn, flex, but got 'fast'"
        ),
        forced("fast"),
    ):
        pass
    with pytest.raises(ValueError, match="but got 'fast'"):
        backend_fault("fast", CPU, torch.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fault_is_found_exactly_where_training_fails(backend: str, dtype: torch.dtype) -> None:
    """Each backend on the CPU either trains or gives a reason.

    Those that train have no fault; the others have one line, which is what training raises.
    """
    fault = backend_fault(backend, CPU, dtype)
    assert (fault is None) == (backend in RUN_BY)
    if fault is not None:
        why = fault.split("but got: ")[1]
        with refusal(backend, why):
            results(
                case := Case(1, 2, 32, 32, 32, causal=True, seed=0),
                copy.deepcopy(case.tensors(dtype)),
            )


def test_a_fault_of_a_device_that_is_not_there() -> None:
    """A device that torch was not built for, or that is not plugged in, is a fault and no crash."""
    fault = backend_fault("math", torch.device("cuda", 99), torch.float32)
    assert fault is not None
    assert "cuda:99" in fault
