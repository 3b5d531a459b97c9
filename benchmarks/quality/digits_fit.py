"""How far the numbers of ``digits`` stray from seed to seed, beside the best that a search of the
space ``tune`` found on one.

Each setting is trained plainly on every seed, for the workload's own steps:

    python -m benchmarks.quality.digits_fit --seeds 5 [--json FILE]
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from functools import partial

import torch
from torch import nn
from torch.optim import Optimizer

from benchmarks.common import Row, machine, parser, publish
from benchmarks.quality.byte_lm_narrow_fit import Run
from models.workload import Workload
from models.workloads.digits import Recipe, digits
from models.workloads.optimizers import fused_adamw

Betas = tuple[float, float]
SETTINGS: tuple[tuple[float, float, Betas, int, float], ...] = (
    (1.7e-2, 0.09, (0.82, 0.975), 7, 0.5),
    (9.9e-3, 0.12, (0.82, 0.977), 5, 0.38),
    (1.64e-2, 0.144, (0.85, 0.972), 26, 0.83),
    (4.8e-3, 0.45, (0.81, 0.98), 4, 0.45),
    (9e-3, 0.05, (0.9, 0.95), 20, 0.3),
    (9e-3, 0.05, (0.9, 0.95), 20, 0.6),
)
"""Rate, weight decay, betas, warm-up and decay: of the four best of the search, of the workload,
and the workload's with a longer decay.
"""


def main() -> None:
    """Train, print, and write JSON where asked."""
    made = parser(__doc__)
    made.add_argument("--seeds", type=int, default=5, metavar="K", help="seeds 1 to K")
    options = made.parse_args()
    torch.set_num_threads(1)
    seeds = range(1, options.seeds + 1)
    rows = [row(*setting, seeds) for setting in SETTINGS]
    publish({f"digits, accuracy over {len(seeds)} seeds": rows}, options.json, machine())


def row(
    rate: float, weight_decay: float, betas: Betas, warmup: int, decay: float, seeds: range
) -> Row:
    """One setting on every seed."""
    recipe = Recipe(
        learning_rate=rate, weight_decay=weight_decay, warmup_steps=warmup, decay_fraction=decay
    )
    workload = with_betas(recipe, betas)
    accuracies = [Run(workload, recipe.depth, seed).train(recipe.steps) for seed in seeds]
    return {
        "rate": rate,
        "weight decay": weight_decay,
        "betas": f"{betas[0]} {betas[1]}",
        "warm-up": warmup,
        "decay": decay,
        "mean": statistics.fmean(accuracies),
        "deviation": statistics.stdev(accuracies) if len(seeds) > 1 else None,
        "n": len(seeds),
    }


def with_betas(recipe: Recipe, betas: Betas) -> Workload:
    """The workload of a recipe with other betas of AdamW."""
    return replace(digits(recipe), make_optimizer=partial(_optimizer, recipe=recipe, betas=betas))


def _optimizer(model: nn.Module, recipe: Recipe, betas: Betas) -> Optimizer:
    return fused_adamw(model, recipe.learning_rate, recipe.weight_decay, betas)


if __name__ == "__main__":
    main()
