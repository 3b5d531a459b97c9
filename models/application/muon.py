"""Muon for hidden matrices, many at a time, and AdamW for the rest, as one optimizer.

Muon (Jordan et al. 2024) makes the momentum of a matrix orthogonal by a few steps of a
Newton–Schulz iteration, so that every direction is learnt at the same speed. One matrix after the
other, a small model pays several times a step's worth of calls for it; here matrices of one shape
are stacked and go through one batch of products, fused projections cut into their matrices first.
The rate of a matrix is 0.2 · sqrt(max(rows, columns)) times its group's, with which an update is as
large as AdamW's (Liu et al. 2025, arXiv 2502.16982, section 2.2), so that AdamW's rates serve for
both.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.adamw import adamw

from models.application.roles import Matrices

A, B, C = 3.4445, -4.7750, 2.0315
"""Coefficients whose iteration grows small singular values fastest, in as few steps as may be."""
EPS = 1e-7
"""The least norm that a matrix is divided by."""
RMS_OF_ADAMW = 0.2
Group = dict[str, Any]


class MuonAdamW(Optimizer):
    """Muon on the groups with ``muon=True``, AdamW on the others.

    Groups are ordinary: a scheduler turns their ``lr``; a parameter without a gradient is skipped,
    its weights and moments untouched.

    Args:
        params: groups, or parameters for AdamW.
        lr, weight_decay: of a group, for either rule; weight decay is decoupled.
        betas, eps: AdamW's.
        momentum, nesterov, newton_schulz_steps: Muon's.
        matrices: parameter -> its matrices; one that is not named is one matrix.
        dtype: what Newton–Schulz steps are computed in; by default bfloat16 on a GPU and float32
            elsewhere, where that is the faster.

    Raises:
        ValueError: a Muon group has a parameter that is no real matrix.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        momentum: float = 0.95,
        nesterov: bool = True,
        newton_schulz_steps: int = 5,
        matrices: Mapping[nn.Parameter, Matrices] | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "betas": betas,
            "eps": eps,
            "muon": False,
            "momentum": momentum,
            "nesterov": nesterov,
            "newton_schulz_steps": newton_schulz_steps,
            "fused": True,
        }
        self._matrices: dict[Any, Matrices] = dict(matrices or {})
        self._dtype = dtype
        super().__init__(params, defaults)
        _refuse(p for group in self.param_groups if group["muon"] for p in group["params"])

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; the loss that ``closure`` returns, if there is one."""
        loss = None
        if closure is not None:
            # The decorator's ``no_grad`` would leave a closure's backward nothing to go through.
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                (self._muon if group["muon"] else self._adamw)(group, parameters)
        return loss

    def _muon(self, group: Group, parameters: list[Tensor]) -> None:
        rate, momentum = group["lr"], group["momentum"]
        averages = [self._momentum(parameter) for parameter in parameters]
        gradients = [_gradient(parameter) for parameter in parameters]
        # m ← μ m + (1 − μ) g, as torch.optim.Muon has it. Keller Jordan's m ← μ m + g differs by a
        # scale, which the division by the norm takes away.
        torch._foreach_lerp_(averages, gradients, 1 - momentum)
        looked_ahead = (
            torch._foreach_lerp(gradients, averages, momentum) if group["nesterov"] else averages
        )
        shapes = [self._matrices.get(p) or Matrices(p.shape[0]) for p in parameters]
        updates = orthogonal(looked_ahead, shapes, group["newton_schulz_steps"], self._dtype)
        # Decoupled, before the update, in AdamW's order.
        torch._foreach_mul_(parameters, 1 - rate * group["weight_decay"])
        torch._foreach_add_(parameters, updates, alpha=-rate)

    def _momentum(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        found: Tensor = state["momentum_buffer"]
        return found

    def _adamw(self, group: Group, parameters: list[Tensor]) -> None:
        states = [self._moments(parameter) for parameter in parameters]
        beta1, beta2 = group["betas"]
        adamw(
            parameters,
            [_gradient(parameter) for parameter in parameters],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )

    def _moments(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if "exp_avg" not in state:
            # A tensor on the parameter's device, as the fused kernel wants it.
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        return state


def _gradient(parameter: Tensor) -> Tensor:
    gradient = parameter.grad
    assert gradient is not None, "parameters without a gradient were left out"
    if gradient.is_sparse:
        raise RuntimeError("gradients must be dense for Muon and AdamW: make the embedding so")
    return gradient


def _refuse(parameters: Iterable[Tensor]) -> None:
    wrong = [tuple(p.shape) for p in parameters if p.dim() < 2 or not p.is_floating_point()]
    if wrong:
        raise ValueError(
            f"Muon's parameters must be real matrices, but got some of shapes {wrong}; "
            "put them into a group without muon=True"
        )


def orthogonal(
    tensors: Sequence[Tensor],
    matrices: Sequence[Matrices],
    steps: int,
    dtype: torch.dtype | None = None,
) -> list[Tensor]:
    """Each tensor with its matrices made orthogonal and scaled to the size of an AdamW update.

    Matrices of one shape are computed in one stack; some are transposed for that.
    """
    pieces = [each.split(tensor) for tensor, each in zip(tensors, matrices, strict=True)]
    stacks: dict[Any, list[tuple[int, int]]] = defaultdict(list)
    for index, parts in enumerate(pieces):
        rows, columns = parts[0].shape
        # The orthogonal factor of a transpose is the transpose of the factor: tall and wide share a
        # stack.
        key = (min(rows, columns), max(rows, columns), parts[0].device, parts[0].dtype)
        stacks[key] += [(index, place) for place in range(len(parts))]
    done: list[list[Tensor]] = [list(parts) for parts in pieces]
    for (_, longest, _, _), members in stacks.items():
        stack = torch.stack([_lying(pieces[index][place]) for index, place in members])
        scale = RMS_OF_ADAMW * math.sqrt(longest)
        results = newton_schulz(stack, steps, dtype).to(stack.dtype).mul_(scale)
        for (index, place), result in zip(members, results.unbind(), strict=True):
            rows, columns = pieces[index][place].shape
            done[index][place] = result if rows <= columns else result.mT
    return [
        (torch.cat(parts, each.along) if len(parts) > 1 else parts[0]).reshape(tensor.shape)
        for tensor, parts, each in zip(tensors, done, matrices, strict=True)
    ]


def _lying(matrix: Tensor) -> Tensor:
    """The matrix, transposed where it is taller than wide."""
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT


def newton_schulz(stack: Tensor, steps: int, dtype: torch.dtype | None = None) -> Tensor:
    """Nearly the nearest matrices with orthonormal rows: (n, r, c), r <= c -> (n, r, c).

        X ← X / ‖X‖, then so many times  X ← a X + (b G + c G²) X  with  G = X Xᵀ

    Singular values come out around 1, from 0.7 to 1.2 after five steps.
    """
    x = stack.to(dtype or (torch.bfloat16 if stack.is_cuda else torch.float32))
    # The Frobenius norm is at least the largest singular value: those well above 1 would diverge.
    x = x / x.flatten(1).norm(dim=1).clamp(min=EPS)[:, None, None]
    for _ in range(steps):
        # r ≤ c: the smaller of the two products, r × r.
        gram = x @ x.mT
        # b G + c G² and a X + (…) X, each a product and its sum in one call.
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
    return x
