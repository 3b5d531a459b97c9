"""What low-rank and Monarch matrices lose, what they gain, and what training on recovers. Every row
is beside dense.

- ``error``: of the matrix and of a layer's outputs on data not fitted to, on a random and on a
  trained matrix;
- ``speed``: of a layer, forward and with the backward, in turns with the dense one, as a share of
  the limit that its operations set: at rank r a square matrix of size n costs 2 r / n of the dense
  one's;
- ``from which size on``: where the machine is bound by arithmetic, so that the speedup is 0.8 of
  the limit or more;
- ``quality``: byte_lm with all MLPs approximated after training, and trained so from the start with
  a dense tail. Loss before, just after, and at the end, beside the dense model after as many steps
  on the same batches.

    python -m benchmarks.levers.matrices [--rounds N] [--device D] [--quick] [--json FILE]
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.common import Row, machine, parser, publish
from benchmarks.levers.structured import (
    QUICK_RECIPE,
    RECIPE,
    Course,
    Run,
    add_options,
    from_the_start,
    recoveries,
    speeds,
    trained,
    verdicts,
)
from models.approximation.inputs import Moments
from models.approximation.replace import Kind, approximate, skeleton

KINDS: tuple[Kind, ...] = ("svd", "data_aware", "low_rank_diagonal", "monarch")
TIMED: tuple[Kind, ...] = ("svd", "low_rank_diagonal", "monarch")
"""A layer fitted to data is the same layer as one that is not."""

METHODS: Sequence[tuple[Kind, bool]] = (
    ("svd", False),
    ("data_aware", True),
    ("low_rank_diagonal", False),
    ("low_rank_diagonal", True),
    ("monarch", False),
)
"""Kinds, and whether they are fitted to data."""

SHARES: Sequence[float] = (0.0625, 0.125, 0.25)
SIZES: Sequence[int] = (64, 128, 256, 512, 1024, 2048)
GAUSSIAN = 192


def errors(trunk: Run, shares: Sequence[float]) -> list[Row]:
    """Each kind at each share on a random matrix and on a trained one."""
    name = trunk.mlps()[0]
    layer = trunk.model.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    fitted, unseen = (
        trunk.moments([name], steps)[name] for steps in (range(1000, 1016), range(2000, 2016))
    )
    matrices = {
        "random": (_gaussian(GAUSSIAN, GAUSSIAN, 0), _uneven(GAUSSIAN, 1), _uneven(GAUSSIAN, 2)),
        f"trained {name}": (layer.weight.detach().cpu(), _on_cpu(fitted), _on_cpu(unseen)),
    }
    return [
        {"matrix": matrix, "kind": kind, "fitted to data": aware, "share": share}
        | _errors(kind, aware, share, *parts)
        for matrix, parts in matrices.items()
        for share in shares
        for kind, aware in METHODS
    ]


def _errors(
    kind: Kind, aware: bool, share: float, weight: Tensor, fitted: Moments, unseen: Moments
) -> Row:
    holder = nn.Sequential(_linear(weight))
    approximate(holder, kind, ["0"], share, {"0": fitted} if aware else None)
    layer = holder[0]
    assert isinstance(layer.weight, Tensor)
    exact, rest = weight.double(), weight.double() - layer.weight.detach().double()
    return {
        "operations": layer.flops(1) / (2 * weight.numel()),  # type: ignore[operator]
        "error of the matrix": float(rest.norm() / exact.norm()),
        "error of outputs, seen": _output_error(rest, exact, fitted),
        "error of outputs, unseen": _output_error(rest, exact, unseen),
    }


def _output_error(rest: Tensor, exact: Tensor, moments: Moments) -> float:
    """||X Rᵀ|| / ||X Wᵀ||, from XᵀX."""
    error, size = (torch.trace(each @ moments.gram @ each.T) for each in (rest, exact))
    return float((error / size).sqrt())


def _linear(weight: Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    linear.weight = nn.Parameter(weight.clone())
    return linear


def _gaussian(rows: int, columns: int, seed: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def _uneven(size: int, seed: int) -> Moments:
    """Moments of rotated inputs whose spread falls from 1 to 0.01 over the features.

    Real inputs are like that.
    """
    turn = torch.linalg.qr(_gaussian(size, size, 0).double()).Q
    rows = (
        _gaussian(8 * size, size, seed).double()
        * torch.logspace(0, -2, size, dtype=torch.float64)
        @ turn
    )
    return Moments(rows.T @ rows, len(rows))


def _on_cpu(moments: Moments) -> Moments:
    return Moments(moments.gram.cpu(), moments.samples)


def layer_speeds(sizes: Sequence[int], shares: Sequence[float], options: Namespace) -> list[Row]:
    """Square layers of each size, kinds and shares taking turns with the dense one."""
    rows = []
    for size in sizes:
        dense = _linear(_gaussian(size, size, 0)).to(options.device)
        cases = {f"{kind} {share}": (kind, share) for kind in TIMED for share in shares}
        layers = {name: _timed_layer(dense, kind, share) for name, (kind, share) in cases.items()}
        x = _gaussian(options.rows, size, 1).to(options.device)
        found = speeds({"dense": dense, **layers}, x, options.rounds)
        rows += [
            {"size": size, "kind": kind, "share": share} | found[name] | {"n": options.rounds}
            for name, (kind, share) in cases.items()
        ]
    return rows


def _timed_layer(dense: nn.Linear, kind: Kind, share: float) -> nn.Module:
    """Of random values: how long a product takes does not depend on them, and a fit of the largest
    takes minutes.
    """
    holder = nn.Sequential(dense)
    skeleton(holder, kind, ["0"], share)
    with torch.no_grad():
        for seed, parameter in enumerate(holder.parameters()):
            values = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
            parameter.copy_(values / parameter.shape[-1] ** 0.5)
    return holder[0]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON where asked."""
    options = add_options(parser(__doc__, rounds=20)).parse_args(argv)
    torch.set_num_threads(1)
    sizes, shares, recipe = SIZES, SHARES, RECIPE
    if options.quick:
        options.rounds, options.rows, options.trunk, options.recovery = 2, 32, 3, 2
        sizes, shares, recipe = (32, 64), (0.25,), QUICK_RECIPE
    about = machine() | {"device": str(options.device)}
    trunk = trained(Course(options.trunk, options.recovery, options.device, recipe))
    timed = layer_speeds(sizes, shares, options)
    cases = [(kind, share) for kind in KINDS for share in shares[-2:]]
    tables = {
        "error, relative": errors(trunk, shares),
        "speed, times dense": timed,
        "from which size on": verdicts(timed, ("kind", "share")),
        f"quality, {options.trunk} steps before and {options.recovery} after": recoveries(
            trunk, cases, options.rounds
        ),
        f"from the start, the last {options.recovery} steps dense": from_the_start(
            trunk, [(kind, shares[-1]) for kind in ("svd", "monarch")], options.rounds
        ),
    }
    publish(tables, options.json, about)


if __name__ == "__main__":
    main()
