"""What a policy costs: deciding, applying, and reading relevance on a probe.

Deciding is ``plan`` and ``observe`` without a model. The rest is measured on a transformer, by
taking turns between a plain full step, the same under a BlockUpdater that never freezes, and a
probe; ratios are of medians over rounds, so that a machine that slows down slows all of them.

    python -m benchmarks.cost.policy [--rounds N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from policies.apply import BlockUpdater
from policies.base import Observation, Progress, UpdatePolicy
from policies.dynamic_suffix import DynamicSuffix
from policies.full_update import FullUpdate
from policies.presets import PRESETS
from policies.static_suffix import StaticSuffix

NUM_BLOCKS = 24
DECISION_GOAL_US = 50.0
PROBE_GOAL = 0.03


@dataclass(frozen=True)
class Row:
    """One line of the table: median and quartiles over rounds, their unit, and the goal if any."""

    name: str
    median: float
    low: float
    high: float
    unit: str
    goal: float | None = None


def decision_row(name: str, policy: UpdatePolicy[Any], rounds: int, steps: int = 1000) -> Row:
    """Microseconds a step of ``plan`` and ``observe`` on 24 blocks, over runs of ``steps``."""
    loss = [2.0 + (step % 7) / 10 for step in range(steps)]
    scores = tuple(1.0 + block / NUM_BLOCKS for block in range(NUM_BLOCKS))
    per_step = []
    for _ in range(rounds):
        state = policy.init(NUM_BLOCKS)
        start = time.perf_counter()
        for step in range(steps):
            plan = policy.plan(state, Progress(step, step / steps))
            seen = Observation(step, loss[step], scores if plan.probe else None, phase=plan.phase)
            state = policy.observe(state, seen)
        per_step.append((time.perf_counter() - start) / steps * 1e6)
    return _row(f"decide: {name}", per_step, "us/step", DECISION_GOAL_US)


def step_rows(rounds: int) -> list[Row]:
    """The milliseconds of a plain full step, and the extra cost of an updater and of each probe.

    All are timed in turns.
    """
    plain, updated, probed = (
        _Trainer(None),
        _Trainer(FullUpdate()),
        _Trainer(_always_probing("ratio")),
    )
    salient = _Trainer(_always_probing("saliency"))
    works: dict[str, Callable[[], None]] = {
        "plain": plain.step,
        "updater": updated.step,
        "ratio": probed.step,
        "saliency": salient.step,
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 3):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if turn >= 3:  # the first turns allocate
                seconds[name].append(time.perf_counter() - start)
    return [
        _row("full step, plain", [s * 1e3 for s in seconds["plain"]], "ms"),
        _extra("full step under an updater", seconds["updater"], seconds["plain"], None),
        _extra("probe: ratio", seconds["ratio"], seconds["updater"], PROBE_GOAL),
        _extra("probe: saliency", seconds["saliency"], seconds["updater"], None),
    ]


def apply_row(rounds: int) -> Row:
    """Microseconds to enter and leave a step that freezes three quarters of the blocks."""
    trainer = _Trainer(StaticSuffix(active_fraction=0.25))
    trainer.loss()  # the gradients that a step must have
    microseconds = []
    for _ in range(10 * rounds):
        start = time.perf_counter()
        trainer.enter_and_leave()
        microseconds.append((time.perf_counter() - start) * 1e6)
    return _row("freeze and restore 6 of 8 blocks", microseconds, "us/step")


def _always_probing(metric: str) -> DynamicSuffix:
    return DynamicSuffix(probe_every=1, freeze_start=1.0, recovery=0.0, relevance=metric)


class _Trainer:
    """A small byte-sized language model's encoder, trained on one fixed batch."""

    def __init__(self, policy: UpdatePolicy[Any] | None) -> None:
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(
            128, 4, 512, dropout=0.0, batch_first=True, norm_first=True
        )
        self._model = nn.TransformerEncoder(layer, 8, enable_nested_tensor=False)
        self._optimizer = torch.optim.AdamW(self._model.parameters(), lr=1e-4)
        self._updater = None if policy is None else self._updated_by(policy)
        self._x = torch.randn(4, 128, 128)

    def _updated_by(self, policy: UpdatePolicy[Any]) -> BlockUpdater:
        blocks = list(self._model.layers)
        return BlockUpdater(self._model, blocks, policy, self._optimizer, total_steps=1_000_000)

    def step(self) -> None:
        if self._updater is None:
            self.loss()
        else:
            with self._updater.step() as step:
                step.observe(self.loss())
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def enter_and_leave(self) -> None:
        assert self._updater is not None
        with self._updater.step() as step:
            step.observe(0.0)

    def loss(self) -> Tensor:
        loss: Tensor = self._model(self._x).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss


def _row(name: str, values: list[float], unit: str, goal: float | None = None) -> Row:
    low, median, high = statistics.quantiles(values, n=4)
    return Row(name, median, low, high, unit, goal)


def _extra(name: str, seconds: list[float], base: list[float], goal: float | None) -> Row:
    """A line with the extra cost over ``base``, as a fraction of it.

    Its median is the ratio of the medians less one; the quartiles are those of the ratios by turn.
    """
    turns = _row(
        name, [a / b - 1 for a, b in zip(seconds, base, strict=True)], "of a full step", goal
    )
    return replace(turns, median=statistics.median(seconds) / statistics.median(base) - 1)


def show(rows: list[Row]) -> None:
    """Print the table."""
    print(f"{'':34}{'median':>10}{'quartiles':>22}  unit")
    for row in rows:
        goal = (
            ""
            if row.goal is None
            else f"  goal < {row.goal:g}: {'met' if row.median < row.goal else 'MISSED'}"
        )
        print(f"{row.name:34}{row.median:10.4g}{row.low:11.4g}{row.high:11.4g}  {row.unit}{goal}")


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rounds", type=int, default=40, help="rounds of each measurement (default 40)"
    )
    parser.add_argument("--json", type=Path, help="file to write the table to")
    options = parser.parse_args()
    torch.set_num_threads(1)
    everything = DynamicSuffix(
        gate=True, adaptive=True, probe_every=1, freeze_start=0.0, stability_window=2
    )
    decided = {"full_update": FullUpdate(), **PRESETS, "dynamic, always probing": everything}
    rows = [decision_row(name, policy, options.rounds) for name, policy in decided.items()]
    rows += [apply_row(options.rounds), *step_rows(options.rounds)]
    show(rows)
    if options.json is not None:
        options.json.write_text(json.dumps({"rows": [vars(row) for row in rows]}, indent=2) + "\n")


if __name__ == "__main__":
    main()
