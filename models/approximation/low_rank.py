"""Low-rank factors of a matrix: plain, weighted by data, and beside a diagonal.

A weight W is (m, n), as in ``nn.Linear``: m outputs, n inputs. Factors are A (m, r) and B (r, n),
and W ~ A B. They are balanced, AᵀA = B Bᵀ, which is how a factorised layer is best started
("spectral initialisation", Khodak et al. 2021, arXiv 2105.01029). Everything is computed in float64
on the device of W.
"""

from __future__ import annotations

import torch
from torch import Tensor

DIAGONAL_ROUNDS = 10
"""Alternations between the low-rank part and the diagonal.

The error falls in each, by little in the last ones.
"""

Factors = tuple[Tensor, Tensor]


def require_rank(rank: int, rows: int, columns: int) -> None:
    """Refuse a rank that an (``rows``, ``columns``) matrix cannot have.

    Raises:
        ValueError: it is below 1 or above the smaller side.
    """
    if not 1 <= rank <= min(rows, columns):
        raise ValueError(
            f"1 <= rank <= min(rows, columns) must hold, but got rank={rank} for a {rows} x "
            f"{columns} matrix: "
            f"choose a rank of at most {min(rows, columns)}"
        )


def truncated_svd(weight: Tensor, rank: int) -> Factors:
    """The best factors in Frobenius norm: U √Σ and √Σ Vᵀ of the ``rank`` greatest singular values.

    No matrix of that rank is closer to W (Eckart and Young 1936).

    Args:
        weight: (m, n), or a stack of them (..., m, n), each factorised by itself.
        rank: of the result.

    Returns:
        A (..., m, rank) and B (..., rank, n), float64.

    Raises:
        ValueError: the rank is below 1 or above min(m, n).
    """
    require_rank(rank, *weight.shape[-2:])
    u, s, vh = torch.linalg.svd(weight.detach().double(), full_matrices=False)
    root = s[..., :rank].sqrt()
    return u[..., :, :rank] * root[..., None, :], root[..., :, None] * vh[..., :rank, :]


def whitened(weight: Tensor, gram: Tensor, rank: int) -> Factors:
    """The factors of that rank that minimise ||X (W - A B)ᵀ||, the change of the layer's outputs.

    With XᵀX = S Sᵀ the error is ||(W - A B) S||, so the truncated SVD of W S = U Σ Vᵀ is the best
    (SVD-LLM, Wang et al. 2024, arXiv 2403.07378). It equals U_r U_rᵀ W S, hence A B = U_r U_rᵀ W: S
    is never inverted, and inputs that do not span the space do no harm.

    Args:
        weight: W, (m, n).
        gram: XᵀX of the inputs X (samples, n), of any scale.
        rank: of the result.

    Returns:
        A (m, rank) and B (rank, n), float64.

    Raises:
        ValueError: the rank is below 1 or above min(m, n), or the second moments have another shape
            or are not finite.
    """
    require_rank(rank, *weight.shape)
    root = _root(gram, weight.shape[1])
    exact = weight.detach().double()
    u = torch.linalg.svd(exact @ root, full_matrices=False).U[:, :rank]
    a, b = truncated_svd(u.T @ exact, rank)  # balances the factors
    return u @ a, b


def _root(gram: Tensor, columns: int) -> Tensor:
    """S with S Sᵀ = ``gram``. By eigenvalues: Cholesky's needs a full rank."""
    if gram.shape != (columns, columns):
        raise ValueError(
            f"second moments of inputs must be {columns} x {columns}, but got {tuple(gram.shape)}: "
            "collect them on the same layer"
        )
    if not gram.isfinite().all():
        raise ValueError(
            "second moments of inputs must be finite, but some are not: look for NaN in the inputs"
        )
    values, vectors = torch.linalg.eigh(gram.double())
    root: Tensor = vectors * values.clamp(min=0).sqrt()  # rounding makes zeros slightly negative
    return root


def with_diagonal(
    weight: Tensor, rank: int, gram: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Factors and a diagonal, W ~ A B + diag(d), each in turn the best given the other.

    Starts from d = 0, so it is never worse than the factors alone. The diagonal of an oblong matrix
    is that of its leading square.

    Args:
        weight: W, (m, n).
        rank: of A B.
        gram: XᵀX of the inputs, to minimise the error of the outputs; without it, that of W.

    Returns:
        A (m, rank), B (rank, n) and d (min(m, n),), float64.

    Raises:
        ValueError: as ``truncated_svd`` and ``whitened``.
    """
    exact = weight.detach().double()
    size = min(exact.shape)
    d = exact.new_zeros(size)
    a, b = _factors(exact, gram, rank)
    for _ in range(DIAGONAL_ROUNDS):
        d = _diagonal(exact - a @ b, gram)
        rest = exact.clone()
        rest.diagonal().sub_(d)
        a, b = _factors(rest, gram, rank)
    return a, b, _diagonal(exact - a @ b, gram)


def _factors(weight: Tensor, gram: Tensor | None, rank: int) -> Factors:
    return truncated_svd(weight, rank) if gram is None else whitened(weight, gram, rank)


def _diagonal(residual: Tensor, gram: Tensor | None) -> Tensor:
    """The d that minimises ||X (R - diag(d))ᵀ||.

    It is the least-squares solution of each output: d_i = (R G)_ii / G_ii with G = XᵀX.
    """
    if gram is None:
        return residual.diagonal().clone()
    size = min(residual.shape)
    power = gram.double().diagonal()[:size]
    # An input that was always zero says nothing about its entry.
    return torch.where(
        power > 0, (residual @ gram.double()).diagonal() / power.where(power > 0, 1.0), 0.0
    )
