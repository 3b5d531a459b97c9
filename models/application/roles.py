"""Which group of the optimizer lever each parameter of a model is in, and which matrices it holds.

Hidden matrices are the weights inside blocks that multiply activations: of linear layers and
convolutions. What embeds (matrices of the stem, embedding tables), the head's matrices, and the
rest (norms, biases, scales, anything with a side of 1) are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import ParametrizationList

from policies.applying.faults import checked_blocks
from policies.applying.parts import STEM
from policies.applying.wiring import Wiring

Role = Literal["hidden", "embeddings", "head", "rest"]
ROLES: tuple[Role, ...] = ("hidden", "embeddings", "head", "rest")
THREE = ("qkv", "wqkv", "qkv_proj", "query_key_value", "c_attn", "to_qkv", "in_proj_weight")
TWO = ("gate_up_proj", "gate_up", "up_gate", "gate_and_up", "w12", "kv", "to_kv", "kv_proj")
"""Names of layers that hold so many matrices of one shape, in lower case."""
NORMS = (nn.LayerNorm, nn.RMSNorm)
"""Norms whose scales may have several dimensions."""
HINT = "matrices"
"""A module says by an attribute of this name how many matrices its weight holds, whatever it is
called.
"""


@dataclass(frozen=True)
class Matrices:
    """How a parameter is a stack of matrices.

    Attributes:
        rows: of the parameter seen as one matrix.
        count: matrices that it holds.
        along: the dimension along which they lie in that one matrix.
    """

    rows: int
    count: int = 1
    along: int = 0

    def split(self, tensor: Tensor) -> Sequence[Tensor]:
        """The matrices in a tensor of the parameter's shape."""
        whole = tensor.reshape(self.rows, -1)
        return whole.chunk(self.count, self.along) if self.count > 1 else (whole,)


@dataclass(frozen=True)
class Place:
    """A parameter's role, and its matrices where it is a hidden one."""

    role: Role
    matrices: Matrices | None = None


def places(model: nn.Module, blocks: Sequence[nn.Module]) -> Mapping[nn.Parameter, Place]:
    """The place of every parameter that requires a gradient, in the model's order.

    Raises:
        ValueError: ``blocks`` are no blocks of the model; see ``BlockUpdater``.
    """
    parts = Wiring(model, checked_blocks(model, blocks, None)).divide(None)
    part_of = {parameter: number for number, part in parts.items() for parameter in part.parameters}
    owners = dict(_owners(model))
    return {
        parameter: _place(parameter, part_of[parameter], len(blocks), *owners[parameter])
        for parameter in model.parameters()
        if parameter in part_of
    }


def _owners(model: nn.Module) -> Iterator[tuple[nn.Parameter, tuple[nn.Module, str]]]:
    """Each parameter with a module that holds it, and the name that says what it is.

    What a parametrization (weight_norm, spectral_norm) makes a weight of counts as its layer's.
    """
    for name, module in model.named_modules():
        layer, path, weight = module, name, ""
        if isinstance(module, ParametrizationList):
            path, _, weight = name.rpartition("parametrizations.")
            layer = model.get_submodule(path := path.removesuffix("."))
        for own, parameter in module.named_parameters(recurse=False):
            what = weight or own
            yield parameter, (layer, path.rpartition(".")[2] if what == "weight" else what)


def _place(
    parameter: nn.Parameter, part: int, num_blocks: int, module: nn.Module, name: str
) -> Place:
    if parameter.dim() < 2 or isinstance(module, NORMS) or "bias" in name.lower():
        return Place("rest")
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and part != num_blocks:
        return Place("embeddings")
    if part in (STEM, num_blocks):
        return Place("embeddings" if part == STEM else "head")
    matrices = matrices_of(parameter, module, name)
    if min(matrices.split(parameter)[0].shape) < 2:
        return Place("rest")
    return Place("hidden", matrices)


def matrices_of(parameter: Tensor, module: nn.Module, name: str) -> Matrices:
    """The matrices that a weight of two dimensions or more holds.

    Args:
        parameter: of ``module``.
        module: a layer; convolutions are one matrix a group, outputs by inputs × kernel.
        name: of the layer, by which fused projections are known, or of the parameter.
    """
    if isinstance(module, _ConvNd):
        return Matrices(parameter.shape[0], module.groups)
    if parameter.dim() > 2:  # experts, say: a stack of matrices as it is
        rows = parameter.shape[:-1].numel()
        return Matrices(rows, rows // parameter.shape[-2])
    short, long = sorted(parameter.shape)
    count = _fused(module, name, thrice=long == 3 * short)
    if count == 1 or long % count:
        return Matrices(parameter.shape[0])
    return Matrices(parameter.shape[0], count, along=parameter.shape.index(long))


def _fused(module: nn.Module, name: str, thrice: bool) -> int:
    said = getattr(module, HINT, None)
    if isinstance(said, int):
        return said
    # Where heads share keys and values the three are not of one shape, and cannot be told apart.
    three = thrice and name.lower() in THREE
    return 3 if three else 2 if name.lower() in TWO else 1
