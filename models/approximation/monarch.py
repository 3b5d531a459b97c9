"""Monarch matrices: two block-diagonal factors with a permutation between them (Dao et al. 2022,
arXiv 2204.00595).

Cut W (m, n) into a grid of k x k blocks. W is a Monarch matrix of block rank b where every block
has rank b: the block in grid row j and column i is Lⱼ[:, i] Rᵢ[j]. A product with it is k products
of (b k, n / k), a permutation, and k products of (m / k, b k): as many operations as with a matrix
of rank b k, though its own rank may be full. Rows stand in their usual order; the paper's outer
permutation, which names the outputs differently, is left out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.approximation.low_rank import truncated_svd

Blocks = tuple[Tensor, Tensor]


def grid(rows: int, columns: int, share: float) -> tuple[int, int]:
    """Choose the number of blocks a side and their rank so that a product costs ``share`` of that
    of full low rank.

    The number is the common divisor of both sides, 2 or more, whose ratio to 1 / ``share`` is
    nearest to one: for a square matrix both factors then have blocks that are nearly square, as in
    the paper. The rank is 1 at least.

    Returns:
        Blocks a side (k) and the rank of each (b).

    Raises:
        ValueError: the sides have no common divisor, so that there is no grid.
    """
    common = math.gcd(rows, columns)
    if common < 2:
        raise ValueError(
            f"monarch needs sides with a common divisor, but got a {rows} x {columns} matrix: "
            "choose another kind"
        )
    divisors = [count for count in range(2, common + 1) if common % count == 0]
    blocks = min(divisors, key=lambda count: abs(math.log(count * share)))
    return blocks, max(1, round(share * min(rows, columns) / blocks))


def project(weight: Tensor, blocks: int, rank: int) -> Blocks:
    """The closest Monarch matrix in Frobenius norm: the truncated SVD of each block (the paper's
    algorithm 1).

    Args:
        weight: (m, n).
        blocks: k, a divisor of m and n.
        rank: b, of each block.

    Returns:
        R (k, k b, n / k) and L (k, m / k, k b), float64: R's block i takes inputs, L's block j
        gives outputs.

    Raises:
        ValueError: k divides not both sides, or the rank is above a block's.
    """
    rows, columns = weight.shape
    if rows % blocks or columns % blocks:
        raise ValueError(
            f"blocks must divide both sides, but got blocks={blocks} for a {rows} x {columns} "
            "matrix"
        )
    cut = weight.reshape(blocks, rows // blocks, blocks, columns // blocks).transpose(
        1, 2
    )  # (j, i, m / k, n / k)
    left, right = truncated_svd(cut, rank)
    return right.transpose(0, 1).flatten(1, 2).contiguous(), left.transpose(1, 2).flatten(
        2
    ).contiguous()


def apply_blocks(x: Tensor, right: Tensor, left: Tensor) -> Tensor:
    """Multiply each row of ``x``, (rows, n), by the matrix: (rows, m)."""
    rows, blocks, rank = len(x), len(right), right.shape[1] // len(right)
    # Vectors stand in columns in between, so that the permutation moves long runs of memory.
    inner = torch.bmm(
        right, x.view(rows, blocks, right.shape[2]).permute(1, 2, 0)
    )  # (i, j b, rows)
    turned = (
        inner.view(blocks, blocks, rank, rows).transpose(0, 1).reshape(blocks, blocks * rank, rows)
    )  # (j, i b, rows)
    return torch.bmm(turned.mT, left.mT).transpose(0, 1).flatten(1)


def dense(right: Tensor, left: Tensor) -> Tensor:
    """The matrix that the two factors stand for, (m, n)."""
    blocks, height, width = len(right), left.shape[1], right.shape[2]
    into = right.view(blocks, blocks, -1, width).transpose(0, 1)  # (j, i, b, n / k)
    out = left.view(blocks, height, blocks, -1).transpose(1, 2)  # (j, i, m / k, b)
    return torch.matmul(out, into).transpose(1, 2).reshape(blocks * height, blocks * width)
