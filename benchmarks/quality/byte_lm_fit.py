"""How the shape of ``byte_lm`` was fitted: models and batches of many sizes for the same seconds.

Each is trained by full_update for as long as ``byte_lm`` takes, at the learning rate that its width
and batch bear. Equal time means equal sums of step costs: ratios of medians of steps that took
turns with those of ``byte_lm``, a few at a time, in seconds of one core's own work. Every loss is
also reported on standard error as it comes; all of them take some five minutes of a core a seed.

    python -m benchmarks.quality.byte_lm_fit --seeds 2 --json shapes.json
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from benchmarks.common import Row, machine, parser, publish
from benchmarks.quality.byte_lm_narrow_fit import Run
from models.workloads.byte_lm import Recipe, byte_lm
from models.workloads.byte_lm_narrow import NARROW

CHOSEN = Recipe()
HEADS = {16: 1, 24: 1, 32: 2, 48: 2, 64: 2, 96: 3}
BURST = 4
"""Steps of one model before the other's turn: alternating single ones would find cold caches."""


def shape(depth: int, width: int, batch: int, rate: float) -> Recipe:
    """With the weight decay, betas, warm-up and decay that the search began with."""
    return replace(
        NARROW,
        depth=depth,
        width=width,
        heads=HEADS[width],
        batch=batch,
        learning_rate=rate,
    )


SHAPES: Sequence[Recipe] = (
    shape(2, 32, 16, 1.4e-2),
    shape(2, 48, 16, 9.5e-3),
    shape(2, 64, 16, 7.5e-3),
    shape(2, 96, 16, 5e-3),
    shape(3, 32, 16, 9.5e-3),
    shape(3, 48, 16, 9.5e-3),
    shape(4, 24, 16, 1.25e-2),
    shape(4, 32, 8, 9.5e-3),
    shape(4, 32, 16, 6.5e-3),
    shape(4, 32, 16, 9.5e-3),
    shape(4, 32, 16, 1.4e-2),
    shape(4, 48, 16, 6.5e-3),
    shape(4, 64, 16, 6.5e-3),
    shape(6, 32, 16, 9.5e-3),
    NARROW,
)


def costs(recipe: Recipe, rounds: int) -> float:
    """What a step costs, in steps of the chosen recipe."""
    runs = [Run(byte_lm(recipe=each), each.depth) for each in (recipe, CHOSEN)]
    for run in runs:
        burst(run)
    return statistics.median(burst(runs[0]) / burst(runs[1]) for _ in range(rounds))


def burst(run: Run) -> float:
    """Processor seconds of a few steps in a row."""
    start = time.process_time()
    for step in range(BURST):
        run.step(step)
    return time.process_time() - start


def trained(recipe: Recipe, rounds: int, seeds: Sequence[int]) -> Row:
    """Train for the chosen recipe's time, once a seed."""
    cost = costs(recipe, rounds)
    workload = byte_lm(recipe=replace(recipe, steps=round(CHOSEN.steps / cost)))
    losses = []
    for seed in seeds:
        losses.append(Run(workload, recipe.depth, seed).train(workload.steps))
        print(f"{name(recipe)}, seed {seed}: {losses[-1]:.4f}", file=sys.stderr, flush=True)
    each = {f"seed {seed}": loss for seed, loss in zip(seeds, losses, strict=True)}
    about: Mapping[str, object] = {"step cost": cost, "steps": workload.steps}
    return {"what": name(recipe), **about, "val loss": statistics.mean(losses), **each}


def name(recipe: Recipe) -> str:
    """Shape, batch and rate."""
    size = f"{recipe.depth} × {recipe.width}, batch {recipe.batch}"
    return f"{size}, rate {recipe.learning_rate:g}"


def main() -> None:
    """Measure, print the table, and write JSON where asked."""
    arguments = parser(__doc__, rounds=12)
    arguments.add_argument(
        "--seeds", type=int, default=2, metavar="N", help="seeds of each run (default: 2)"
    )
    options = arguments.parse_args()
    torch.set_num_threads(1)
    about = machine() | {"corpus": byte_lm().fingerprint}
    rows = [trained(recipe, options.rounds, range(options.seeds)) for recipe in (CHOSEN, *SHAPES)]
    publish({"shapes": sorted(rows, key=lambda row: row["val loss"])}, options.json, about)


if __name__ == "__main__":
    main()
