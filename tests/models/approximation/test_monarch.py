"""Monarch matrices against NumPy.

The paper's definition, the closed form of the projection and the fast product are checked.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.approximation.monarch import apply_blocks, dense, grid, project
from tests.models.approximation.cases import random_matrix, seeds

grids = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
"""Blocks a side, rows and columns of a block."""


@given(seeds, st.integers(2, 5))
def test_it_is_the_papers_matrix(seed: int, size: int) -> None:
    """The definition with n = k² and rank 1.

    It is block-diagonal L, the transposition of a k x k table, block-diagonal R, and L's P.
    """
    right, left = (
        torch.from_numpy(random_matrix(seed + i, size * size, size)).view(size, size, size)
        for i in (0, 1)
    )
    turn = np.eye(size * size)[np.arange(size * size).reshape(size, size).T.ravel()]
    product = (
        scipy.linalg.block_diag(*left.numpy()) @ turn @ scipy.linalg.block_diag(*right.numpy())
    )
    np.testing.assert_allclose(dense(right, left).numpy(), product, atol=1e-12)


@given(seeds, grids, st.data())
def test_projection_is_the_best(
    seed: int, shape: tuple[int, int, int], data: st.DataObject
) -> None:
    """No matrix with blocks of the rank is closer.

    The error is the singular values left out, over all blocks.
    """
    blocks, height, width = shape
    rank = data.draw(st.integers(1, min(height, width)))
    matrix = random_matrix(seed, blocks * height, blocks * width)
    cut = matrix.reshape(blocks, height, blocks, width).transpose(0, 2, 1, 3)
    least = np.linalg.norm(np.linalg.svd(cut, compute_uv=False)[..., rank:])
    closest = dense(*project(torch.from_numpy(matrix), blocks, rank)).numpy()
    assert np.linalg.norm(matrix - closest) == pytest.approx(least, abs=1e-9)


@given(seeds, grids, st.integers(0, 5))
def test_product_is_that_of_the_dense_matrix(
    seed: int, shape: tuple[int, int, int], rows: int
) -> None:
    """Both factors applied in turn give x Wᵀ, for no rows too."""
    blocks, height, width = shape
    right, left = project(
        torch.from_numpy(random_matrix(seed, blocks * height, blocks * width)), blocks, 1
    )
    x = torch.from_numpy(random_matrix(seed + 1, rows, blocks * width))
    torch.testing.assert_close(apply_blocks(x, right, left), x @ dense(right, left).T)


@given(seeds, grids)
def test_projection_of_a_monarch_matrix_is_itself(seed: int, shape: tuple[int, int, int]) -> None:
    """Projecting twice changes nothing."""
    blocks, height, width = shape
    once = dense(
        *project(torch.from_numpy(random_matrix(seed, blocks * height, blocks * width)), blocks, 1)
    )
    torch.testing.assert_close(dense(*project(once, blocks, 1)), once)


def test_a_square_matrix_has_square_blocks() -> None:
    """At a share of 1/k: k blocks a side whose factors are k blocks of n/k x n/k, as in the
    paper.
    """
    assert grid(64, 64, 0.25) == (4, 4)
    right, left = project(torch.ones(64, 64), *grid(64, 64, 0.25))
    assert right.shape == left.shape == (4, 16, 16)


@given(st.integers(1, 64), st.integers(1, 64), st.floats(0.01, 1.0))
def test_every_grid_fits(rows: int, columns: int, share: float) -> None:
    """Blocks divide both sides, their rank is one they can have, and a share of 1 is the whole
    matrix.
    """
    if np.gcd(rows, columns) == 1:
        with pytest.raises(ValueError, match=f"a {rows} x {columns} matrix"):
            grid(rows, columns, share)
        return
    blocks, rank = grid(rows, columns, share)
    assert blocks >= 2
    assert rows % blocks == columns % blocks == 0
    assert 1 <= rank <= min(rows, columns) // blocks
    assert grid(rows, columns, 1.0)[0] * grid(rows, columns, 1.0)[1] == min(rows, columns)


def test_blocks_that_do_not_divide_are_refused() -> None:
    """And a rank above a block's."""
    with pytest.raises(ValueError, match="blocks=4 for a 6 x 8 matrix"):
        project(torch.ones(6, 8), 4, 1)
    with pytest.raises(ValueError, match="rank=4 for a 3 x 4 matrix"):
        project(torch.ones(6, 8), 2, 4)
