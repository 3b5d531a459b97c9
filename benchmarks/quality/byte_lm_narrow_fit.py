"""How ``byte_lm_narrow`` was fitted: shape, batch and rate that serve full_update in a time, and
whether training every block is worth its time.

Three parts, each a table:

- ``shapes``: models and batches at equal time;
- ``rates``: learning rate, warm-up and decay at equal time;
- ``gap``: full_update against training only the top blocks at equal time, over several seeds.

Equal time means equal sums of step costs. Costs are ratios of medians of steps that took turns, in
seconds of one core's own work, so a machine that drifts or is shared favours none; runs are never
timed whole. Every loss is also reported on standard error as it comes, since all of them take some
ten minutes.

    python -m benchmarks.quality.byte_lm_narrow_fit --part gap --seeds 4 --json fit.json
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from benchmarks.common import Row, interleaved, machine, parser, publish, ratio_of_medians
from models.workload import Workload
from models.workloads.byte_lm import Recipe, byte_lm
from models.workloads.byte_lm_narrow import NARROW, byte_lm_narrow
from tuning.trial.course import wsd_factor

SHAPES: Mapping[str, Recipe] = {
    "chosen": NARROW,
    "batch 16": replace(NARROW, batch=16),
    "batch 64": replace(NARROW, batch=64),
    "window 64, batch 16": replace(NARROW, window=64, batch=16),
    "2 heads": replace(NARROW, heads=2),
    "6 blocks": replace(NARROW, depth=6),
    "12 blocks": replace(NARROW, depth=12),
    "width 24, rate 8e-3": replace(NARROW, width=24, learning_rate=8e-3),
    "width 48, batch 8, rate 3e-3": replace(NARROW, width=48, heads=3, batch=8, learning_rate=3e-3),
}
"""Neighbours of the chosen recipe, wider ones with the rate that their width bears."""

RATES: Mapping[str, Recipe] = {
    "chosen": NARROW,
    "rate 5e-3": replace(NARROW, learning_rate=5e-3),
    "rate 1e-2": replace(NARROW, learning_rate=1e-2),
    "rate 2e-2": replace(NARROW, learning_rate=2e-2),
    "rate 3e-2": replace(NARROW, learning_rate=3e-2),
    "decay 0.1": replace(NARROW, decay_fraction=0.1),
    "decay 0.6": replace(NARROW, decay_fraction=0.6),
    "warm-up 20": replace(NARROW, warmup_steps=20),
    "warm-up 80": replace(NARROW, warmup_steps=80),
}
PARTS = ("shapes", "rates", "gap")


@dataclass
class Run:
    """One model in training.

    The top ``depth`` blocks and the head are trained, and the stem only with all blocks.
    """

    workload: Workload
    depth: int
    seed: int = 0

    def __post_init__(self) -> None:
        self.model: nn.Module = self.workload.make_model(self.seed)
        blocks = self.workload.blocks(self.model)
        self.model.get_submodule("stem").requires_grad_(self.depth == len(blocks))
        for index, block in enumerate(blocks):
            block.requires_grad_(index >= len(blocks) - self.depth)
        self.optimizer = self.workload.make_optimizer(self.model)
        self.peaks = [group["lr"] for group in self.optimizer.param_groups]

    def step(self, step: int, factor: float = 1.0) -> None:
        """Train one batch at ``factor`` times the peak learning rate."""
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        batch = self.workload.batch_at(self.seed, step)
        self.workload.loss(self.model, batch).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def train(self, steps: int) -> float:
        """Train ``steps`` steps and return the validation loss."""
        warmup, decay = self.workload.warmup_steps, self.workload.decay_fraction
        for step in range(steps):
            self.step(
                step, wsd_factor(step, step / steps, warmup_steps=warmup, decay_fraction=decay)
            )
        self.model.eval()
        return self.workload.evaluate(self.model)


def depth_of(workload: Workload) -> int:
    """Blocks of the workload's model."""
    return len(workload.blocks(workload.make_model(0)))


def costs(runs: Mapping[str, Run], reference: str, rounds: int) -> dict[str, float]:
    """What a step of each run costs, in steps of ``reference``."""
    seconds = interleaved(
        {name: partial(run.step, 0) for name, run in runs.items()}, rounds, time.process_time
    )
    return {name: ratio_of_medians(seconds[name], seconds[reference]) for name in runs}


def shapes(rounds: int, seeds: Sequence[int]) -> list[Row]:
    """Train each shape and batch for as long as the chosen one takes."""
    workloads = {name: byte_lm(recipe=recipe) for name, recipe in SHAPES.items()}
    runs = {name: Run(work, depth_of(work)) for name, work in workloads.items()}
    cost = costs(runs, "chosen", rounds)
    return [
        trained(name, work, depth_of(work), cost[name], seeds) for name, work in workloads.items()
    ]


def rates(_: int, seeds: Sequence[int]) -> list[Row]:
    """Train with each learning rate, warm-up and decay; a step costs the same in all."""
    return [
        trained(name, byte_lm(recipe=recipe), recipe.depth, 1.0, seeds)
        for name, recipe in RATES.items()
    ]


def gap(rounds: int, seeds: Sequence[int]) -> list[Row]:
    """Train all blocks, and only the top three eighths and the top quarter, for the same time."""
    workload = byte_lm_narrow()
    blocks = depth_of(workload)
    depths = {f"top {depth} of {blocks}": depth for depth in (blocks, 3 * blocks // 8, blocks // 4)}
    full = next(iter(depths))
    cost = costs({name: Run(workload, depth) for name, depth in depths.items()}, full, rounds)
    rows = [trained(name, workload, depth, cost[name], seeds) for name, depth in depths.items()]
    return [row | {"behind, in deviations": deviations(row, rows[0])} for row in rows]


def trained(name: str, workload: Workload, depth: int, cost: float, seeds: Sequence[int]) -> Row:
    """Train once a seed for the chosen recipe's time.

    The row has mean and standard deviation of the final losses.
    """
    steps = round(NARROW.steps / cost)
    losses = []
    for seed in seeds:
        losses.append(Run(workload, depth, seed).train(steps))
        print(f"{name}: {steps} steps, seed {seed}: {losses[-1]:.4f}", file=sys.stderr, flush=True)
    deviation = statistics.stdev(losses) if len(losses) > 1 else None
    row = {"what": name, "step cost": cost, "steps": steps, "val loss": statistics.mean(losses)}
    return row | {"deviation": deviation, "losses": " ".join(f"{loss:.4f}" for loss in losses)}


def deviations(row: Row, best: Row) -> float | None:
    """Difference of the means in units of the larger standard deviation over seeds.

    None where there is only one seed.
    """
    if row["deviation"] is None:
        return None
    return float((row["val loss"] - best["val loss"]) / max(row["deviation"], best["deviation"]))


def main() -> None:
    """Measure the parts asked for, print them, and write JSON where asked."""
    arguments = parser(__doc__, rounds=40)
    arguments.add_argument(
        "--part", choices=(*PARTS, "all"), default="all", help="which table (default: all)"
    )
    arguments.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="seeds of each run (default: 3)"
    )
    options = arguments.parse_args()
    torch.set_num_threads(1)
    about = machine() | {"corpus": byte_lm_narrow().fingerprint}
    measures: dict[str, Callable[[int, Sequence[int]], list[Row]]] = {
        "shapes": shapes,
        "rates": rates,
        "gap": gap,
    }
    chosen = PARTS if options.part == "all" else (options.part,)
    tables = {part: measures[part](options.rounds, range(options.seeds)) for part in chosen}
    publish(tables, options.json, about)


if __name__ == "__main__":
    main()
