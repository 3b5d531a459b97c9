"""Calibration: what each thing a run does costs, with the device to itself.

Costs are measured in rounds: every round does one step at every depth, one probe, one batch and so on, in an order
that changes from round to round, so that drift (a warming processor, a changing clock) falls on all alike and cancels
in what matters, the ratios. The median over rounds is the cost, the relative interquartile range its spread.
Operations are counted, not estimated.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from models.counting import count_flops
from models.workload import Workload
from policies.apply import BlockUpdater
from policies.base import Observation, Progress, StepPlan, UpdatePolicy
from tuning.clock import CostTable
from tuning.train import evaluate, to_device

MAX_LEVELS = 8
"""Depths measured at most; between them costs are linear in depth (F + 2aF)."""


@dataclass(frozen=True)
class Effort:
    """How long to measure: at least ``min_rounds``, then on until ``seconds`` are spent or ``max_rounds`` done."""

    min_rounds: int = 9
    max_rounds: int = 60
    seconds: float = 8.0
    evaluations: int = 2


@dataclass(frozen=True)
class _NoState:
    num_blocks: int


@dataclass(frozen=True)
class DepthDial(UpdatePolicy[_NoState]):
    """Updates the depth that the fraction names: ``dial(depth, L)`` for depths 1 to L, and 1.0 to probe."""

    name = "depth_dial"
    State = _NoState

    def init(self, num_blocks: int) -> _NoState:
        """Remember how many blocks there are."""
        return _NoState(num_blocks)

    def plan(self, state: _NoState, progress: Progress) -> StepPlan:
        """The suffix that ``progress.fraction`` names."""
        blocks = state.num_blocks
        mark = round(progress.fraction * (blocks + 1))
        depth = min(mark, blocks)
        return StepPlan(tuple(range(blocks - depth, blocks)), probe=mark > blocks, phase="full")

    def observe(self, state: _NoState, observation: Observation) -> _NoState:
        """Nothing is learnt."""
        return state


def dial(depth: int, num_blocks: int) -> float:
    """The fraction at which ``DepthDial`` updates ``depth`` blocks; ``num_blocks + 1`` probes."""
    return depth / (num_blocks + 1)


def measured_depths(num_blocks: int) -> tuple[int, ...]:
    """At most ``MAX_LEVELS`` evenly spaced depths, from 1 to ``num_blocks``.

    >>> measured_depths(4), measured_depths(24)
    ((1, 2, 3, 4), (1, 4, 8, 11, 14, 17, 21, 24))
    """
    count = min(num_blocks, MAX_LEVELS)
    if count == 1:
        return (num_blocks,)
    return tuple(sorted({round(1 + i * (num_blocks - 1) / (count - 1)) for i in range(count)}))


class StepBench:
    """A model with its optimizer, on which single steps are timed."""

    def __init__(self, workload: Workload, seed: int, device: torch.device) -> None:
        torch.manual_seed(seed)
        self.workload, self.seed, self.device = workload, seed, device
        self.model = workload.make_model(seed).to(device)
        self.optimizer = workload.make_optimizer(self.model)
        blocks = list(workload.blocks(self.model))
        self.num_blocks = len(blocks)
        self.updater = BlockUpdater(self.model, blocks, DepthDial(), self.optimizer)
        self.batch = self.make_batch()

    def make_batch(self) -> Any:
        return to_device(self.workload.batch_at(self.seed, 0), self.device)

    def step(self, depth: int) -> None:
        with self.updater.step(fraction=dial(depth, self.num_blocks)) as update:
            loss = self.workload.loss(self.model, self.batch)
            loss.item()
            loss.backward()  # type: ignore[no-untyped-call]
            update.observe(loss)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def seconds(self, work: Callable[[], object]) -> float:
        self._synchronize()
        start = time.perf_counter()
        work()
        self._synchronize()
        return time.perf_counter() - start

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def calibrate(
    workload: Workload, *, device: torch.device, threads: int, effort: Effort | None = None, seed: int = 0
) -> CostTable:
    """Measure the cost table of ``workload`` on ``device``; nothing else should run on it meanwhile.

    Raises:
        ValueError: the workload has no blocks.

    """
    bench = StepBench(workload, seed, device)
    if bench.num_blocks < 1:
        raise ValueError(f"workload {workload.name!r} must have at least one block, but blocks(model) is empty")
    depths = measured_depths(bench.num_blocks)
    flops = {depth: count_flops(lambda depth=depth: bench.step(depth)) for depth in depths}  # type: ignore[misc]
    for depth in (*depths, bench.num_blocks + 1):  # warm-up: caches, allocator, optimizer state
        bench.step(depth)
    times = _measure_rounds(bench, depths, effort or Effort())
    cost = {name: statistics.median(values) for name, values in times.items()}
    full = f"step_{bench.num_blocks}"
    extra = [probe - step for probe, step in zip(times["probe"], times[full], strict=True)]
    return CostTable(
        num_blocks=bench.num_blocks,
        step_seconds={depth: cost[f"step_{depth}"] for depth in depths},
        step_flops=flops,
        data_seconds=cost["data"],
        probe_seconds=max(0.0, statistics.median(extra)),  # paired within a round; noise must not pay a trial
        probe_flops=0.0,  # a probe's backward is a full step's; norms are not matrix products and not counted
        evaluation_seconds=cost["evaluation"],
        device=device_name(device),
        threads=threads,
        spread={name: relative_spread(values) for name, values in times.items()},
    )


def _measure_rounds(bench: StepBench, depths: Sequence[int], effort: Effort) -> dict[str, list[float]]:
    work: dict[str, Callable[[], object]] = {
        f"step_{depth}": lambda depth=depth: bench.step(depth)  # type: ignore[misc]
        for depth in depths
    }
    work["probe"] = lambda: bench.step(bench.num_blocks + 1)
    work["data"] = bench.make_batch
    times: dict[str, list[float]] = {name: [] for name in work}
    order, start, rounds = list(work), time.perf_counter(), 0
    shuffle = random.Random(0).shuffle  # noqa: S311 - an order of measurement, not a secret
    while rounds < effort.min_rounds or (rounds < effort.max_rounds and time.perf_counter() - start < effort.seconds):
        shuffle(order)
        for name in order:
            times[name].append(bench.seconds(work[name]))
        rounds += 1
    times["evaluation"] = [
        bench.seconds(lambda: evaluate(bench.workload, bench.model)) for _ in range(effort.evaluations)
    ]
    return times


def relative_spread(values: Sequence[float]) -> float:
    """Interquartile range over median; 0 for fewer than two values."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / statistics.median(values)


def device_name(device: torch.device) -> str:
    """The name records carry: the GPU's, or the processor's with the number of threads left to the cost table."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({_processor()})"


def _processor() -> str:
    import platform
    from pathlib import Path

    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
