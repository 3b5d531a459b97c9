"""Muon, many matrices at a time, against torch's one by one; AdamW beside it; resuming."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from models.application.muon import MuonAdamW, newton_schulz, orthogonal
from models.application.roles import Matrices

SHAPES: list[tuple[int, ...]] = [(4, 4), (4, 4), (3, 7), (7, 3), (6, 2), (7, 3)]


def parameters(shapes: list[tuple[int, ...]], seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def give_gradients(each: list[nn.Parameter], step: int, without: tuple[int, ...] = ()) -> None:
    generator = torch.Generator().manual_seed(1000 + step)
    for index, parameter in enumerate(each):
        gradient = torch.randn(parameter.shape, generator=generator)
        parameter.grad = None if index in without else gradient


def muon(each: list[nn.Parameter], **options: Any) -> MuonAdamW:
    return MuonAdamW([{"params": each, "muon": True}], lr=0.02, weight_decay=0.1, **options)


@pytest.mark.parametrize("steps", [1, 3, 5])
@pytest.mark.parametrize("nesterov", [True, False])
def test_it_is_torchs_muon(steps: int, nesterov: bool) -> None:
    """Five steps beside torch's, which computes each matrix by itself in bfloat16: the same but for
    what rounding there does when products are taken in another order.
    """
    ours, theirs = parameters(SHAPES), parameters(SHAPES)
    mine = muon(ours, newton_schulz_steps=steps, nesterov=nesterov, dtype=torch.bfloat16)
    reference = torch.optim.Muon(
        theirs,
        lr=0.02,
        weight_decay=0.1,
        nesterov=nesterov,
        ns_steps=steps,
        adjust_lr_fn="match_rms_adamw",
    )
    start = [parameter.detach().clone() for parameter in ours]
    for step in range(5):
        for each, optimizer in ((ours, mine), (theirs, reference)):
            give_gradients(each, step)
            optimizer.step()
    for one, other, was in zip(ours, theirs, start, strict=True):
        moved = (other - was).norm()
        assert (one - other).norm() < 0.01 * moved
        torch.testing.assert_close(
            mine.state[one]["momentum_buffer"], reference.state[other]["momentum_buffer"]
        )


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_newton_schulz_is_the_polynomial_of_the_singular_values(
    rows: int, columns: int, steps: int
) -> None:
    """Property: singular vectors stay, and each singular value goes through the polynomial."""
    low, high = sorted((rows, columns))
    stack = torch.randn(2, low, high, generator=torch.Generator().manual_seed(rows * 7 + columns))
    u, s, vh = torch.linalg.svd(stack.double(), full_matrices=False)
    s = s / s.norm(dim=-1, keepdim=True)
    for _ in range(steps):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    expected = u @ torch.diag_embed(s) @ vh
    torch.testing.assert_close(newton_schulz(stack.double(), steps, torch.float64), expected)


def test_a_fused_projection_is_its_matrices() -> None:
    """A parameter of three matrices against three parameters of one, stacked along either side."""
    whole = torch.randn(12, 5)
    alone = orthogonal(list(whole.chunk(3)), [Matrices(4)] * 3, 5)
    assert torch.equal(orthogonal([whole], [Matrices(12, 3)], 5)[0], torch.cat(alone))
    lying = orthogonal([whole.T.contiguous()], [Matrices(5, 3, along=1)], 5)[0]
    torch.testing.assert_close(lying, torch.cat(alone).T)


def test_a_convolution_is_outputs_by_the_rest() -> None:
    """A kernel of four dimensions against the matrix it is, also where it lies channels last."""
    kernel = torch.randn(6, 4, 3, 3)
    matrix = orthogonal([kernel.flatten(1)], [Matrices(6)], 5)[0]
    for each in (kernel, kernel.to(memory_format=torch.channels_last)):
        assert torch.equal(orthogonal([each], [Matrices(6)], 5)[0].flatten(1), matrix)


def test_what_has_no_gradient_stays() -> None:
    """Of a stack of equal shapes one has no gradient: it and its moments do not move by a bit, and
    the others as if it were not there.
    """
    ours, others = parameters([(4, 4)] * 3), parameters([(4, 4)] * 3)
    mine, reference = muon(ours), muon([others[0], others[2]])
    for step in range(4):
        give_gradients(ours, step, without=(1,) if step else ())
        give_gradients(others, step)
        was = ours[1].detach().clone(), dict(mine.state[ours[1]])
        mine.step()
        reference.step()
        if step:
            assert torch.equal(ours[1], was[0])
            assert torch.equal(mine.state[ours[1]]["momentum_buffer"], was[1]["momentum_buffer"])
    assert torch.allclose(ours[0], others[0])
    assert torch.allclose(ours[2], others[2])


def test_the_rest_is_torchs_adamw() -> None:
    """The same to the bit as the fused one, over steps in which some have no gradient."""
    ours, theirs = parameters([(3,), (4, 2)]), parameters([(3,), (4, 2)])
    mine = MuonAdamW(ours, lr=0.02, weight_decay=0.1, betas=(0.9, 0.95))
    reference = torch.optim.AdamW(theirs, 0.02, (0.9, 0.95), weight_decay=0.1, fused=True)
    for step in range(5):
        for each, optimizer in ((ours, mine), (theirs, reference)):
            give_gradients(each, step, without=(0,) if step == 2 else ())
            optimizer.step()
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("stop", range(4))
def test_saved_and_loaded_anywhere(stop: int) -> None:
    """Through a file that holds tensors and plain values alone, into a new optimizer."""

    def made(each: list[nn.Parameter]) -> MuonAdamW:
        groups = [{"params": each[:-1], "muon": True}, {"params": each[-1:], "lr": 0.3}]
        return MuonAdamW(groups, lr=0.02)

    straight, stopped = parameters([(4, 4), (2, 3), (5,)]), parameters([(4, 4), (2, 3), (5,)])
    one, other = made(straight), made(stopped)
    for step in range(4):
        if step == stop:
            file = io.BytesIO()
            torch.save(other.state_dict(), file)
            file.seek(0)
            other = made(stopped)
            other.load_state_dict(torch.load(file, weights_only=True))
        for each, optimizer in ((straight, one), (stopped, other)):
            give_gradients(each, step)
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(straight, stopped, strict=True))


def test_a_closure_gives_its_loss() -> None:
    """As torch's optimizers do."""
    each = parameters([(3, 3)])
    optimizer = muon(each)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = (each[0] ** 2).sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    assert optimizer.step(closure) > 0


def test_what_is_no_matrix_is_refused() -> None:
    """Vectors and whole numbers have no place in a Muon group; sparse gradients in none."""
    with pytest.raises(ValueError, match=r"must be real matrices, but got some of shapes \[\(3,\)"):
        muon(parameters([(3,)]))
    table = nn.Embedding(4, 2, sparse=True)
    weight = nn.Parameter(table.weight)
    table.weight = weight
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="gradients must be dense"):
        muon([weight]).step()
