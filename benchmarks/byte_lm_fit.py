"""How ``byte_lm`` was fitted: which shape, batch and learning rate serve full_update best in a given time.

Four parts, each a table:

- ``speed``: a suffix step against a full step, beside the limit 3 / (1 + 2a) at active fraction a;
- ``shapes``: models and batches at equal time;
- ``rates``: learning rate, warm-up and decay at equal time;
- ``gap``: full_update against training only the top blocks at equal time, over several seeds.

Equal time means equal sums of step costs. Costs are medians of ratios between steps that were timed one after
the other in one round, in seconds of one core's own work, so a machine that drifts or is shared favours none;
runs are never timed whole.

    python -m benchmarks.byte_lm_fit --part gap --seeds 4 --json fit.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from models.byte_lm import Recipe, byte_lm
from models.workload import Workload

Row = dict[str, Any]
CHOSEN = Recipe()
SHAPES: Mapping[str, Recipe] = {
    "batch 8": replace(CHOSEN, batch=8),
    "batch 32": replace(CHOSEN, batch=32),
    "window 64, batch 8": replace(CHOSEN, window=64, batch=8),
    "2 heads": replace(CHOSEN, heads=2),
    "6 blocks": replace(CHOSEN, depth=6),
    "12 blocks": replace(CHOSEN, depth=12),
    "width 24, rate 6e-3": replace(CHOSEN, width=24, heads=2, learning_rate=6e-3),
    "width 48, batch 8, rate 3e-3": replace(CHOSEN, width=48, heads=3, batch=8, learning_rate=3e-3),
}
"""Neighbours of the chosen recipe, wider ones with the rate that their width bears."""

RATES: Mapping[str, Recipe] = {
    "rate 3e-3": replace(CHOSEN, learning_rate=3e-3),
    "rate 6e-3": replace(CHOSEN, learning_rate=6e-3),
    "rate 1.5e-2": replace(CHOSEN, learning_rate=1.5e-2),
    "rate 2.2e-2": replace(CHOSEN, learning_rate=2.2e-2),
    "decay 0.1": replace(CHOSEN, decay_fraction=0.1),
    "decay 0.6": replace(CHOSEN, decay_fraction=0.6),
    "warm-up 20": replace(CHOSEN, warmup_steps=20),
    "warm-up 150": replace(CHOSEN, warmup_steps=150),
}


@dataclass
class Run:
    """One model in training: the top ``depth`` blocks and the head, the stem only with all blocks."""

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

    def step(self, step: int, rate: float = 1.0) -> None:
        """Train one batch at ``rate`` times the peak learning rate."""
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * rate
        self.workload.loss(self.model, self.workload.batch_at(self.seed, step)).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def train(self, steps: int) -> float:
        """Train ``steps`` steps and return the validation loss."""
        for step in range(steps):
            self.step(step, wsd(step, steps, self.workload))
        self.model.eval()
        return self.workload.evaluate(self.model)


def wsd(step: int, steps: int, workload: Workload) -> float:
    """Share of the peak learning rate: linear warm-up, constant, linear decay to zero."""
    warm = (step + 1) / max(workload.warmup_steps, 1)
    decay = (1 - step / steps) / workload.decay_fraction if workload.decay_fraction else 1.0
    return min(1.0, warm, decay)


def interleaved(actions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each action in each of ``rounds`` rounds, after one more to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(rounds + 1):
        for name, action in actions.items():
            start = time.process_time()
            action()
            if turn:
                seconds[name].append(time.process_time() - start)
    return seconds


def ratios(seconds: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Ratios within each round."""
    return [a / b for a, b in zip(seconds, reference, strict=True)]


def spread(values: Sequence[float]) -> float:
    """Half the interquartile range over the median."""
    low, middle, high = statistics.quantiles(values, n=4)
    return (high - low) / 2 / middle


def step_costs(workloads: Mapping[str, Workload], rounds: int) -> dict[str, list[float]]:
    """Seconds of a full step of each workload, interleaved."""
    runs = {name: Run(work, depth_of(work)) for name, work in workloads.items()}
    return interleaved({name: partial(run.step, 0) for name, run in runs.items()}, rounds)


def depth_of(workload: Workload) -> int:
    """Blocks of the workload's model."""
    return len(workload.blocks(workload.make_model(0)))


def speed(rounds: int) -> list[Row]:
    """Time steps at a quarter, a half, three quarters and all of the blocks."""
    workload = byte_lm()
    blocks = depth_of(workload)
    runs = {depth: Run(workload, depth) for depth in (blocks // 4, blocks // 2, 3 * blocks // 4, blocks)}
    seconds = interleaved({str(depth): partial(run.step, 0) for depth, run in runs.items()}, rounds)
    return [_speed_row(depth, blocks, seconds) for depth in runs]


def _speed_row(depth: int, blocks: int, seconds: Mapping[str, Sequence[float]]) -> Row:
    gains = ratios(seconds[str(blocks)], seconds[str(depth)])
    limit = 3 / (1 + 2 * depth / blocks)
    return {
        "active": f"{depth}/{blocks}",
        "ms a step": 1e3 * statistics.median(seconds[str(depth)]),
        "speedup": statistics.median(gains),
        "spread": spread(gains),
        "limit": limit,
        "of limit": statistics.median(gains) / limit,
        "rounds": len(gains),
    }


def equal_time(recipes: Mapping[str, Recipe], rounds: int, seeds: Sequence[int]) -> list[Row]:
    """Train each recipe for as long as the chosen one takes."""
    workloads = {"chosen": byte_lm(), **{name: byte_lm(recipe=recipe) for name, recipe in recipes.items()}}
    seconds = step_costs(workloads, rounds)
    return [
        _trained_row(name, work, statistics.median(ratios(seconds[name], seconds["chosen"])), seeds)
        for name, work in workloads.items()
    ]


def _trained_row(name: str, workload: Workload, cost: float, seeds: Sequence[int]) -> Row:
    steps = round(CHOSEN.steps / cost)
    losses = [Run(workload, depth_of(workload), seed).train(steps) for seed in seeds]
    return {"recipe": name, "step cost": cost, "steps": steps, **_summary(losses)}


def rates(seeds: Sequence[int]) -> list[Row]:
    """Train with each learning rate, warm-up and decay; a step costs the same in all."""
    recipes = {"chosen": CHOSEN, **RATES}
    return [_trained_row(name, byte_lm(recipe=recipe), 1.0, seeds) for name, recipe in recipes.items()]


def gap(rounds: int, seeds: Sequence[int]) -> list[Row]:
    """Train all blocks, and only the top quarter and top three eighths, for the same time."""
    workload = byte_lm()
    blocks = depth_of(workload)
    depths = [blocks, 3 * blocks // 8, blocks // 4]
    runs = {depth: Run(workload, depth) for depth in depths}
    seconds = interleaved({str(depth): partial(run.step, 0) for depth, run in runs.items()}, rounds)
    rows: list[Row] = []
    for depth in depths:
        cost = statistics.median(ratios(seconds[str(depth)], seconds[str(blocks)]))
        steps = round(CHOSEN.steps / cost)
        losses = [Run(workload, depth, seed).train(steps) for seed in seeds]
        rows.append({"active": f"{depth}/{blocks}", "step cost": cost, "steps": steps, **_summary(losses)})
        rows[-1]["gap in deviations"] = _deviations(losses, rows[0]["losses"])
    return rows


def _summary(losses: Sequence[float]) -> Row:
    deviation = statistics.stdev(losses) if len(losses) > 1 else None
    return {"val loss": statistics.mean(losses), "deviation": deviation, "losses": list(losses)}


def _deviations(losses: Sequence[float], best: Sequence[float]) -> float | None:
    """Difference of the means in units of the larger standard deviation over seeds."""
    if len(losses) < 2 or list(losses) == list(best):
        return None
    difference = statistics.mean(losses) - statistics.mean(best)
    return difference / max(statistics.stdev(losses), statistics.stdev(best))


def show(console: Console, title: str, rows: Sequence[Row]) -> None:
    """Print a table of ``rows``."""
    columns = [column for column in rows[0] if column != "losses"]
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    console.print(table)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def machine() -> Row:
    """Say what was measured on, and with what."""
    return {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "corpus": byte_lm().fingerprint,
    }


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = ("speed", "shapes", "rates", "gap")
    parser.add_argument("--part", choices=(*parts, "all"), default="all", help="which table (default: all)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds of each run (default: 3)")
    parser.add_argument("--rounds", type=int, default=40, metavar="N", help="timed rounds (default: 40)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables there as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(options.seeds)
    measure: dict[str, Callable[[], list[Row]]] = {
        "speed": lambda: speed(options.rounds),
        "shapes": lambda: equal_time(SHAPES, options.rounds, seeds),
        "rates": lambda: rates(seeds),
        "gap": lambda: gap(options.rounds, seeds),
    }
    console = Console()
    results: dict[str, Any] = {"machine": machine()}
    console.print(results["machine"])
    for part in parts if options.part == "all" else (options.part,):
        results[part] = measure[part]()
        show(console, part, results[part])
        if options.json:
            options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
