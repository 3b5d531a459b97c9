"""Low-rank fits against NumPy and SciPy in float64.

That no matrix of the rank is better is checked by the theorem and by comparison.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from models.approximation.low_rank import truncated_svd, whitened, with_diagonal
from tests.models.approximation.cases import Array, random_matrix, seeds, sides

TINY = 1e-9


def tail(matrix: Array, rank: int) -> float:
    """The least Frobenius error of any approximation of this rank: the singular values left out.

    Eckart and Young proved it.
    """
    return float(np.linalg.norm(scipy.linalg.svdvals(matrix)[rank:]))


def error(matrix: Array, parts: tuple[Tensor, ...], inputs: Array | None = None) -> float:
    """||X (W - A B - diag(d))ᵀ||, with X = 1 where there are no inputs."""
    stood_for = (parts[0] @ parts[1]).numpy()
    if len(parts) == 3:
        size = len(parts[2])
        stood_for[range(size), range(size)] += parts[2].numpy()
    rest = matrix - stood_for
    return float(np.linalg.norm(rest if inputs is None else inputs @ rest.T))


@given(seeds, sides, sides, st.data())
def test_svd_is_the_best_of_its_rank(seed: int, m: int, n: int, data: st.DataObject) -> None:
    """Its error is the tail of SciPy's singular values, the least there is.

    Factors are float64 and balanced.
    """
    rank = data.draw(st.integers(1, min(m, n)))
    matrix = random_matrix(seed, m, n)
    a, b = truncated_svd(torch.from_numpy(matrix), rank)
    assert (a.shape, b.shape, a.dtype, b.dtype) == (
        (m, rank),
        (rank, n),
        torch.float64,
        torch.float64,
    )
    assert error(matrix, (a, b)) == pytest.approx(tail(matrix, rank), abs=TINY)
    torch.testing.assert_close(a.T @ a, b @ b.T)


@given(seeds, sides, sides, st.integers(1, 30), st.data())
def test_data_aware_is_the_best_on_the_data(
    seed: int, m: int, n: int, samples: int, data: st.DataObject
) -> None:
    """Nothing is closer to X Wᵀ than its own truncated SVD.

    The fit reaches that, however few the samples.
    """
    rank = data.draw(st.integers(1, min(m, n)))
    matrix, inputs = random_matrix(seed, m, n), random_matrix(seed + 1, samples, n)
    fit = whitened(torch.from_numpy(matrix), torch.from_numpy(inputs.T @ inputs), rank)
    assert error(matrix, fit, inputs) == pytest.approx(tail(inputs @ matrix.T, rank), abs=1e-6)


@given(seeds, sides, sides, st.data())
def test_data_aware_with_equal_inputs_is_the_svd(
    seed: int, m: int, n: int, data: st.DataObject
) -> None:
    """Where XᵀX is a multiple of the identity both objectives are one, and so are the matrices."""
    rank = data.draw(st.integers(1, min(m, n)))
    matrix = random_matrix(seed, m, n)
    values = scipy.linalg.svdvals(matrix)
    assume(
        rank == len(values) or values[rank - 1] - values[rank] > 1e-3
    )  # else the best is not unique
    a, b = whitened(torch.from_numpy(matrix), 5.0 * torch.eye(n, dtype=torch.float64), rank)
    u, v = truncated_svd(torch.from_numpy(matrix), rank)
    torch.testing.assert_close(a @ b, u @ v)


@given(seeds, sides, sides, st.booleans(), st.data())
def test_diagonal_helps_and_is_the_best_for_its_factors(
    seed: int, m: int, n: int, aware: bool, data: st.DataObject
) -> None:
    """The fit is never worse than the factors alone.

    No entry of the diagonal can move without a greater error.
    """
    rank = data.draw(st.integers(1, min(m, n)))
    matrix, inputs = random_matrix(seed, m, n), random_matrix(seed + 1, 40, n) if aware else None
    gram = None if inputs is None else torch.from_numpy(inputs.T @ inputs)
    weight = torch.from_numpy(matrix)
    a, b, d = with_diagonal(weight, rank, gram)
    alone = truncated_svd(weight, rank) if gram is None else whitened(weight, gram, rank)
    reached = error(matrix, (a, b, d), inputs)
    assert reached <= error(matrix, alone, inputs) + TINY
    for index in range(min(m, n)):
        for step in (-1e-3, 1e-3):
            moved = d.clone()
            moved[index] += step
            assert error(matrix, (a, b, moved), inputs) >= reached - TINY


def test_diagonal_finds_a_diagonal() -> None:
    """The matrix is a strong diagonal on a weak matrix of rank two.

    The factors alone miss nearly all of it, with the diagonal little.
    """
    matrix = np.diag(np.linspace(1, 3, 12)) + 0.3 * random_matrix(0, 12, 2) @ random_matrix(
        1, 2, 12
    )
    weight = torch.from_numpy(matrix)
    assert error(matrix, with_diagonal(weight, 2)) < 0.2 * error(matrix, truncated_svd(weight, 2))


def test_an_input_that_is_always_zero_is_survived() -> None:
    """Its entry on the diagonal can be anything: it is finite."""
    gram = torch.diag(torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64))
    assert all(part.isfinite().all() for part in with_diagonal(torch.ones(3, 3), 1, gram))


@pytest.mark.parametrize("rank", [-1, 0, 4])
def test_a_rank_the_matrix_cannot_have_is_refused(rank: int) -> None:
    """By every fit, with the rank and the sides in the message."""
    weight, gram = torch.ones(3, 5), torch.eye(5)
    for fit in (truncated_svd, lambda w, r: whitened(w, gram, r), with_diagonal):
        with pytest.raises(ValueError, match=rf"rank={rank} for a 3 x 5 matrix"):
            fit(weight, rank)


def test_second_moments_of_another_layer_are_refused() -> None:
    """By shape; and those that are not finite."""
    with pytest.raises(ValueError, match=r"must be 5 x 5, but got \(4, 4\)"):
        whitened(torch.ones(3, 5), torch.eye(4), 1)
    with pytest.raises(ValueError, match="must be finite"):
        whitened(torch.ones(3, 5), torch.full((5, 5), torch.nan), 1)
