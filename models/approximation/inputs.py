"""Second moments of layers' inputs, for a data-aware fit; collected while the model runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.approximation.matching import matching


class Moments(NamedTuple):
    """Second moments of a layer's inputs X (samples, n).

    Attributes:
        gram: XᵀX, (n, n), float64.
        samples: rows of X.
    """

    gram: Tensor
    samples: int


def collect_inputs(
    model: nn.Module, patterns: Sequence[str], forward: Callable[[], object]
) -> Mapping[str, Moments]:
    """Run ``forward``, which calls ``model``, and add up the inputs of the layers that match.

    Args:
        model: stays as it is; set it to evaluation mode first if it has dropout.
        patterns: as in ``matching``.
        forward: called once, without gradients; it may run as many batches as it likes.

    Returns:
        Moments of each layer by its dotted name; with zero samples where ``forward`` never reached
        the layer.

    Raises:
        ValueError: a pattern matches no layer.
    """
    layers = matching(model, patterns)
    sums = {name: _Sum(layer) for name, layer in layers.items()}
    with ExitStack() as hooks, torch.no_grad():
        for name in layers:
            hooks.callback(model.get_submodule(name).register_forward_pre_hook(sums[name]).remove)
        forward()
    return {name: Moments(each.gram, each.samples) for name, each in sums.items()}


class _Sum:
    """A hook that adds up x xᵀ. Memory does not grow with the samples."""

    def __init__(self, layer: nn.Linear) -> None:
        size = layer.in_features
        self.gram = torch.zeros(size, size, dtype=torch.float64, device=layer.weight.device)
        self.samples = 0

    def __call__(self, _: nn.Module, args: tuple[Any, ...]) -> None:
        rows = args[0].detach().flatten(0, -2).double()
        self.gram += rows.T @ rows
        self.samples += len(rows)
