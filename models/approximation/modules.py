"""Layers that stand for a linear one: same inputs, outputs and bias, fewer operations between.

Each has ``weight``, the matrix it stands for (out, in), worked out anew at each reading, so that
what only looks at a linear layer's weight still works; what trains are its factors. The bias is the
very parameter of the layer replaced. Operations are counted as PyTorch's counter does: 2·m·n·k for
each product of matrices, nothing for the rest.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.approximation import monarch
from models.approximation.two_four import sparse_linear


class Structured(nn.Module):
    """Base of the layers that stand for linear ones.

    Attributes:
        in_features, out_features: as of the linear layer it stands for.
        kind: the class of the layer that it replaced.
    """

    kind: type[nn.Module] = nn.Linear

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features

    @abstractmethod
    def flops(self, rows: int) -> int:
        """Floating-point operations of a forward pass over ``rows`` vectors."""

    @abstractmethod
    def dense(self) -> nn.Linear:
        """The linear layer it stands for, with weights of its own."""

    def extra_repr(self) -> str:
        """Sizes for ``print(model)``."""
        return f"in_features={self.in_features}, out_features={self.out_features}"


def as_linear(weight: Tensor, bias: nn.Parameter | None, *, requires_grad: bool) -> nn.Linear:
    """A linear layer with this weight and this very bias; no random number is drawn for it."""
    out_features, in_features = weight.shape
    linear = nn.Linear(in_features, out_features, bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight.detach().contiguous(), requires_grad=requires_grad)
    if bias is not None:
        linear.bias = bias
    return linear


def factor(values: Tensor, like: Tensor) -> nn.Parameter:
    """A parameter of these values with the type, device and ``requires_grad`` of ``like``."""
    return nn.Parameter(
        values.to(like.device, like.dtype).contiguous(), requires_grad=like.requires_grad
    )


class LowRankLinear(Structured):
    """y = A (B x) + bias, with A (out, r) and B (r, in)."""

    def __init__(self, linear: nn.Linear, a: Tensor, b: Tensor) -> None:
        super().__init__(linear.in_features, linear.out_features)
        self.a = factor(a, linear.weight)
        self.b = factor(b, linear.weight)
        self.bias = linear.bias

    @property
    def weight(self) -> Tensor:
        """A B, (out, in)."""
        return self.a @ self.b

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return functional.linear(functional.linear(x, self.b), self.a, self.bias)

    def flops(self, rows: int) -> int:
        """2·rows·r·(in + out)."""
        return 2 * rows * self.a.shape[1] * (self.in_features + self.out_features)

    def dense(self) -> nn.Linear:
        """The linear layer of ``weight``."""
        return as_linear(self.weight, self.bias, requires_grad=self.a.requires_grad)


class LowRankDiagonalLinear(LowRankLinear):
    """y = A (B x) + d x + bias, with d on the diagonal of the leading square, (min(in, out),)."""

    def __init__(self, linear: nn.Linear, a: Tensor, b: Tensor, d: Tensor) -> None:
        super().__init__(linear, a, b)
        self.d = factor(d, linear.weight)

    @property
    def weight(self) -> Tensor:
        """A B + diag(d), (out, in)."""
        size = len(self.d)
        beyond = (0, self.in_features - size, 0, self.out_features - size)
        return super().weight + functional.pad(torch.diag(self.d), beyond)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        size = len(self.d)
        low_rank = super().forward(x)
        scaled = x[..., :size] * self.d
        if size < self.out_features:
            scaled = functional.pad(scaled, (0, self.out_features - size))
        return low_rank + scaled


class MonarchLinear(Structured):
    """y = L P (R x) + bias with block-diagonal R (k, k b, in / k) and L (k, out / k, k b).

    The module ``monarch`` says how they are fitted.
    """

    def __init__(self, linear: nn.Linear, right: Tensor, left: Tensor) -> None:
        super().__init__(linear.in_features, linear.out_features)
        self.right = factor(right, linear.weight)
        self.left = factor(left, linear.weight)
        self.bias = linear.bias

    @property
    def weight(self) -> Tensor:
        """The product of the two factors, (out, in)."""
        return monarch.dense(self.right, self.left)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        rows = monarch.apply_blocks(x.reshape(-1, self.in_features), self.right, self.left)
        y = rows.reshape(*x.shape[:-1], self.out_features)
        return y if self.bias is None else y + self.bias

    def flops(self, rows: int) -> int:
        """2·rows times the weights of both factors."""
        return 2 * rows * (self.right.numel() + self.left.numel())

    def dense(self) -> nn.Linear:
        """The linear layer of ``weight``."""
        return as_linear(self.weight, self.bias, requires_grad=self.right.requires_grad)


class TwoFourLinear(Structured):
    """y = (W * mask) x + bias, with a 2:4 mask that stays: weights it hides have no gradient and
    never come back.

    Its operations are counted as a dense layer's, as the counter does: the hardware does them at a
    higher rate, so this lever acts on operations a second and not on their number.
    """

    mask: Tensor

    def __init__(self, linear: nn.Linear, mask: Tensor) -> None:
        super().__init__(linear.in_features, linear.out_features)
        self.dense_weight = linear.weight
        self.register_buffer("mask", mask)
        self.bias = linear.bias

    @property
    def weight(self) -> Tensor:
        """W * mask, (out, in)."""
        return self.dense_weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return sparse_linear(x, self.weight, self.bias)

    def flops(self, rows: int) -> int:
        """2·rows·in·out."""
        return 2 * rows * self.in_features * self.out_features

    def dense(self) -> nn.Linear:
        """The linear layer of ``weight``, zeros and all; they may then learn."""
        return as_linear(self.weight, self.bias, requires_grad=self.dense_weight.requires_grad)
