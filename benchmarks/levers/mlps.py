"""What MLPs with fewer hidden units, or with 2:4 sparse matrices, lose and gain. Every row is
beside dense.

- ``error``: of an MLP's outputs on a trained model's inputs, strongest units kept, beside the first
  ones kept;
- ``speed``: of a gated MLP, forward and with the backward, in turns with the dense one, as a share
  of the limit that its operations set. 2:4 sparsity's are counted as dense, so its limit is 1 and a
  ratio above is the hardware's gain;
- ``from which size on``: the speedup is 0.8 of the limit or more;
- ``quality``: byte_lm with all MLPs approximated after training: loss before, just after, and at
  the end, beside the dense model after as many steps on the same batches; and trained so from the
  start with a dense tail.

    python -m benchmarks.levers.mlps [--rounds N] [--device D] [--quick] [--json FILE]
"""

from __future__ import annotations

import copy
from argparse import Namespace
from collections.abc import Sequence
from functools import partial

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
from models.approximation.replace import Kind, approximate, skeleton
from models.approximation.two_four import two_four_fault
from models.workloads.transformer import Shape, SwiGLU

SHARES: Sequence[float] = (0.25, 0.5, 0.75)
WIDTHS: Sequence[int] = (64, 128, 256, 512, 1024)
LAYERS = ("up", "down")
Case = tuple[Kind, float]


def cases_on(device: torch.device, shares: Sequence[float]) -> list[Case]:
    """Hidden units at each share, and 2:4 sparsity where the device has it."""
    units: list[Case] = [("hidden_units", share) for share in shares]
    return units if two_four_fault(device) else [*units, ("two_four", 0.5)]


def errors(trunk: Run, cases: Sequence[Case]) -> list[Row]:
    """Relative error of each MLP's outputs, on what the trained model puts into it."""
    return [
        {"mlp": name, "kind": kind, "share": share} | _errors(mlp, inputs, kind, share)
        for name, mlp, inputs in _mlps(trunk)
        for kind, share in cases
    ]


def _mlps(trunk: Run) -> list[tuple[str, SwiGLU, Tensor]]:
    """Every MLP with its inputs (samples, width) on a batch that no run trains on."""
    seen: dict[str, Tensor] = {}
    found = {
        name: module for name, module in trunk.model.named_modules() if isinstance(module, SwiGLU)
    }
    hooks = [
        mlp.register_forward_pre_hook(partial(_remember, seen, name)) for name, mlp in found.items()
    ]
    with torch.no_grad():
        trunk.workload.loss(trunk.model, trunk.workload.batch_at(0, 10_000).to(trunk.course.device))
    for hook in hooks:
        hook.remove()
    return [(name, mlp, seen[name]) for name, mlp in found.items()]


def _remember(seen: dict[str, Tensor], name: str, _: nn.Module, args: tuple[Tensor, ...]) -> None:
    seen[name] = args[0].flatten(0, -2)


@torch.no_grad()
def _errors(mlp: SwiGLU, inputs: Tensor, kind: Kind, share: float) -> Row:
    strongest, first = copy.deepcopy(mlp), copy.deepcopy(mlp)
    approximate(strongest, kind, LAYERS, share)
    row = {"error": _distance(strongest, mlp, inputs)}
    if kind != "hidden_units":
        return row | {"error, first units": None}
    _keep_first(first, share)
    return row | {"error, first units": _distance(first, mlp, inputs)}


def _keep_first(mlp: SwiGLU, share: float) -> None:
    mlp.down.weight[:, round(share * mlp.down.in_features) :] = 0.0


def _distance(mlp: nn.Module, exact: nn.Module, inputs: Tensor) -> float:
    right = exact(inputs)
    return float((mlp(inputs) - right).norm() / right.norm())


def mlp_speeds(widths: Sequence[int], cases: Sequence[Case], options: Namespace) -> list[Row]:
    """Gated MLPs of each width, all cases of a width taking turns with the dense one."""
    rows = []
    for width in widths:
        dense = SwiGLU(Shape(vocabulary=1, depth=1, width=width, heads=1, window=1)).to(
            options.device
        )
        layers = {f"{kind} {share}": _skeleton_of(dense, kind, share) for kind, share in cases}
        x = torch.randn(options.rows, width, generator=torch.Generator().manual_seed(1)).to(
            options.device
        )
        found = speeds({"dense": dense, **layers}, x, options.rounds)
        rows += [
            {"size": width, "kind": kind, "share": share}
            | found[f"{kind} {share}"]
            | {"n": options.rounds}
            for kind, share in cases
        ]
    return rows


def _skeleton_of(dense: SwiGLU, kind: Kind, share: float) -> nn.Module:
    mlp = copy.deepcopy(dense)
    skeleton(mlp, kind, LAYERS, share)
    return mlp


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON where asked."""
    options = add_options(parser(__doc__, rounds=20)).parse_args(argv)
    torch.set_num_threads(1)
    widths, shares, recipe = WIDTHS, SHARES, RECIPE
    if options.quick:
        options.rounds, options.rows, options.trunk, options.recovery = 2, 32, 3, 2
        widths, shares, recipe = (32, 64), (0.5,), QUICK_RECIPE
    two_four = two_four_fault(options.device) or "measured"
    about = machine() | {"device": str(options.device), "2:4 sparsity": two_four}
    cases = cases_on(options.device, shares)
    trunk = trained(Course(options.trunk, options.recovery, options.device, recipe))
    timed = mlp_speeds(widths, cases, options)
    tables = {
        "error of outputs, relative": errors(trunk, cases),
        "speed, times dense": timed,
        "from which size on": verdicts(timed, ("kind", "share")),
        f"quality, {options.trunk} steps before and {options.recovery} after": recoveries(
            trunk, cases, options.rounds
        ),
        f"from the start, the last {options.recovery} steps dense": from_the_start(
            trunk, cases[-1:], options.rounds
        ),
    }
    publish(tables, options.json, about)


if __name__ == "__main__":
    main()
