"""Calibration: what each thing a run does costs, with the device to itself.

Costs are measured in rounds: every round does one step at every depth, one probe, one batch and so
on, in an order that changes from round to round, so that drift (a warming processor, a changing
clock) falls on all alike and cancels in what matters, the ratios. The median over rounds is the
cost, the relative interquartile range its spread. Operations are counted, not estimated. Whether
anything disturbed the rounds is seen in ``company``; disturbed ones are taken again, and
the table says so if it never was quiet.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from models.counting import count_flops
from models.device import device_name
from models.workload import Workload
from tuning.training.calibration.bench import PARTS, StepBench
from tuning.training.calibration.company import (
    Disturbance,
    Evidence,
    Host,
    Lap,
    disturbances,
    drift,
    quietest,
    relative_spread,
    share_elsewhere,
    solo_costs,
    waiting_share,
)
from tuning.training.loop import evaluate
from tuning.trial.clock import CostTable

MAX_LEVELS = 8
"""The most depths that are measured; between them costs are linear in depth (F + 2aF)."""
STEPS_IN_A_ROW = {"cpu": 2, "cuda": 4}
"""The number of steps that are timed as one, after one that is not timed, by kind of device.

A run takes the same step again and again, and the first one after another kind of step finds
neither memory nor caches as a step of its own kind leaves them: on byte_lm a step of twice the
batch seems to take 1.8 times as long, where it takes 1.6 in a row. A GPU is given the next step
before it has done the last.
"""


@dataclass(frozen=True)
class Effort:
    """How long to measure: at least ``min_rounds``, then until ``seconds`` for each kind of work
    are spent or ``max_rounds`` are done.

    Disturbed rounds are taken again after ``rest`` seconds, ``tries`` times in all.
    """

    min_rounds: int = 6
    max_rounds: int = 40
    seconds: float = 0.5
    evaluations: int = 2
    part_rounds: int = 5
    tries: int = 3
    rest: float = 2.0


def measured_depths(num_blocks: int) -> tuple[int, ...]:
    """At most ``MAX_LEVELS`` evenly spaced depths, from 1 to ``num_blocks``.

    >>> measured_depths(4), measured_depths(24)
    ((1, 2, 3, 4), (1, 4, 8, 11, 14, 17, 21, 24))
    """
    count = min(num_blocks, MAX_LEVELS)
    if count == 1:
        return (num_blocks,)
    return tuple(sorted({round(1 + i * (num_blocks - 1) / (count - 1)) for i in range(count)}))


@dataclass(frozen=True)
class Attempt:
    """One series of rounds: what was timed, as solo costs by name, and what the surroundings were
    like.
    """

    costs: Mapping[str, Sequence[float]]
    evidence: Evidence

    @property
    def disturbed(self) -> tuple[Disturbance, ...]:
        """Signs that something else used the machine."""
        return disturbances(self.evidence)


def calibrate(
    workload: Workload,
    *,
    device: torch.device,
    threads: int,
    effort: Effort | None = None,
    seed: int = 0,
    host: Host | None = None,
) -> CostTable:
    """Measure the cost table of ``workload`` on ``device``, which nothing else should use. What did
    use it is named in the table's ``disturbances``.

    Raises:
        ValueError: the workload has no blocks.
    """
    effort, host = effort or Effort(), host or Host()
    bench = StepBench(workload, seed, device, host)
    if bench.num_blocks < 1:
        raise ValueError(
            f"workload {workload.name!r} must have at least one block, but blocks(model) is empty"
        )
    depths = measured_depths(bench.num_blocks)
    warmup = bench.lap(lambda: _warm_up(bench, depths))
    flops = {depth: count_flops(partial(bench.step, depth)) for depth in depths}
    attempt, tries = quietest(
        lambda: _attempt(bench, depths, effort),
        lambda attempt: attempt.disturbed,
        tries=effort.tries,
        rest=lambda: host.rest(effort.rest),
    )
    table = _table(attempt.costs, depths, bench.num_blocks)
    return replace(
        table,
        step_flops=flops,
        step_parts=_parts(bench, table.step_seconds, effort.part_rounds),
        device=device_name(device),
        threads=threads,
        warmup_seconds=warmup.wall,
        tries=tries,
        disturbances=tuple(sign.text for sign in attempt.disturbed),
        key=calibration_key(bench.model, workload, device, threads),
    )


def _warm_up(bench: StepBench, depths: Sequence[int]) -> None:
    """Take every kind of step once, for compilation, caches, the allocator and the optimizer's
    state.
    """
    for depth in (*depths, bench.num_blocks + 1):
        bench.step(depth)


def _attempt(bench: StepBench, depths: Sequence[int], effort: Effort) -> Attempt:
    gpu_busy = _busy_while_idle(bench, effort)
    _warm_up(bench, depths)
    before = bench.host.core_seconds()
    laps = measure_rounds(bench, kinds_of_step(bench, depths), effort)
    kinds = tuple(laps)
    laps["evaluation"] = [
        bench.lap(lambda: evaluate(bench.workload, bench.model)) for _ in range(effort.evaluations)
    ]
    on_cpu = bench.device.type == "cpu"
    costs = {name: solo_costs(kind, on_cpu=on_cpu) for name, kind in laps.items()}
    rounds = [sum(each) for each in zip(*(costs[kind] for kind in kinds), strict=True)]
    full = costs[f"step_{bench.num_blocks}"]
    # A share of its round: what slows all kinds of work alike is no company, and is in no ratio.
    share = [own / whole for own, whole in zip(full, rounds, strict=True)]
    evidence = Evidence(
        waiting=waiting_share(laps) if on_cpu else None,
        drift=drift(share),
        spread=relative_spread(share),
        speed=drift(rounds),
        elsewhere=share_elsewhere(before, bench.host.core_seconds()) if on_cpu else None,
        gpu_busy=gpu_busy,
        throttled=_gpu(bench.host, bench.device)[1],
    )
    return Attempt(costs, evidence)


def _table(
    costs: Mapping[str, Sequence[float]], depths: Sequence[int], num_blocks: int
) -> CostTable:
    middle = {name: statistics.median(values) for name, values in costs.items()}
    extra = [
        probe - step
        for probe, step in zip(costs["probe"], costs[f"step_{num_blocks}"], strict=True)
    ]
    return CostTable(
        num_blocks=num_blocks,
        step_seconds={depth: middle[f"step_{depth}"] for depth in depths},
        step_flops={},
        data_seconds=middle["data"],
        probe_seconds=max(
            0.0, statistics.median(extra)
        ),  # paired within a round; noise must not pay a trial
        # a probe's backward is a full step's; norms are not matrix products and not counted
        probe_flops=0.0,
        evaluation_seconds=middle["evaluation"],
        device="",
        threads=0,
        spread={name: relative_spread(values) for name, values in costs.items()},
    )


def kinds_of_step(bench: StepBench, depths: Sequence[int]) -> dict[str, Callable[[], object]]:
    """What is timed, by name: a step at each depth, a probe, a batch."""
    work: dict[str, Callable[[], object]] = {
        f"step_{depth}": lambda depth=depth: bench.step(depth)  # type: ignore[misc]
        for depth in depths
    }
    return {**work, "probe": lambda: bench.step(bench.num_blocks + 1), "data": bench.make_batch}


def measure_rounds(
    bench: StepBench, work: Mapping[str, Callable[[], object]], effort: Effort
) -> dict[str, list[Lap]]:
    """Laps of every kind of work, one a round, in an order that is drawn anew for each round."""
    in_a_row = STEPS_IN_A_ROW.get(bench.device.type, 1)

    def lap(name: str) -> Lap:
        # Not timed: it finds the caches as another kind of step left them, which a run's steps do
        # not.
        work[name]()
        return bench.lap(work[name], in_a_row)

    laps: dict[str, list[Lap]] = {name: [] for name in work}
    order, wall, rounds = list(work), bench.host.wall, 0
    # An order of measurement, not a secret.
    shuffle, start = random.Random(0).shuffle, wall()  # noqa: S311
    while rounds < effort.min_rounds or (
        rounds < effort.max_rounds and wall() - start < effort.seconds * len(work)
    ):
        # In a fixed order each kind would always follow the same other one, and be charged for its
        # traces.
        shuffle(order)
        for name in order:
            laps[name].append(lap(name))
        rounds += 1
    return laps


def _parts(
    bench: StepBench, step_seconds: Mapping[int, float], rounds: int
) -> dict[str, dict[int, float]]:
    """Each step's seconds divided among its parts in the ratio of their medians, so that the parts
    add up to the step; by part and depth.
    """
    on_cpu = bench.device.type == "cpu"
    shared: dict[str, dict[int, float]] = {part: {} for part in PARTS}
    for depth, seconds in step_seconds.items():
        series = [bench.parts(depth) for _ in range(rounds)]
        middle = {
            p: statistics.median(solo_costs([laps[p] for laps in series], on_cpu=on_cpu))
            for p in PARTS
        }
        for part in PARTS:
            shared[part][depth] = seconds * middle[part] / sum(middle.values())
    return shared


def _busy_while_idle(bench: StepBench, effort: Effort) -> float | None:
    """How busy the GPU is when nothing here uses it; None on a CPU."""
    if bench.device.type != "cuda":
        return None
    bench.host.rest(effort.rest)  # longer than the driver looks back
    return _gpu(bench.host, bench.device)[0]


def _gpu(host: Host, device: torch.device) -> tuple[float | None, tuple[str, ...]]:
    if device.type != "cuda":
        return None, ()
    return host.gpu(f"GPU-{torch.cuda.get_device_properties(device).uuid}")


def surroundings(device: torch.device) -> dict[str, str]:
    """What a run's costs depend on beside the run itself. It must be the same whenever the run goes
    on.
    """
    return {"device": device_name(device), "torch": torch.__version__}


def calibration_key(
    model: torch.nn.Module, workload: Workload, device: torch.device, threads: int
) -> dict[str, str]:
    """Everything that changes what a step costs, by name."""
    return {
        **surroundings(device),
        "workload": workload.name,
        "fingerprint": workload.fingerprint,
        "dtype": ", ".join(
            sorted({str(p.dtype).removeprefix("torch.") for p in model.parameters()})
        ),
        "matmul precision": torch.get_float32_matmul_precision(),
        "threads": str(threads),
    }
