"""Solo seconds: what a run takes with the device to itself, whatever ran beside it.

A wall clock lies when trials share a device: it charges a trial for its neighbours. Here a run keeps a *ledger* of
what it did (steps at each depth, probes) and a *cost table*, calibrated alone on the device before the search, says
what each entry costs. Seconds are always computed from the whole ledger, never accumulated, so a run that was
stopped and resumed, or forked from another, reads the same to the last bit as one that ran straight through.

    train_seconds     = Σ_d steps_d · (step_d + data) + probes · probe
    required_flops    = Σ_d steps_d · flops_d + probes · probe_flops
    pipeline_overhead = (Σ_d steps_d) · data + probes · probe
    effective_flops_per_second = required_flops / (train_seconds − pipeline_overhead)

so that train_seconds = required_flops / effective_flops_per_second + pipeline_overhead. Evaluation is off the clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CostTable:
    """What a device takes for each thing a run does, measured alone. Times are seconds, medians over rounds.

    Attributes:
        num_blocks: blocks of the model; depth ``num_blocks`` is a full step.
        step_seconds: forward, backward and optimizer at each measured depth (must include ``num_blocks``).
        step_flops: floating-point operations of such a step, counted.
        data_seconds: making one batch and moving it to the device.
        probe_seconds: what reading relevance adds to a full step.
        probe_flops: operations that reading relevance adds.
        evaluation_seconds: one evaluation; off the clock, used to predict wall time.
        spread: relative interquartile range of each median, by the same names (``step_4``, ``data``, ...).
        device: the device's name as reported in records.
        threads: threads a trial computes with on a CPU.
        step_parts: seconds of ``forward``, ``backward`` and ``optimizer`` at each depth; they add up to the step.
        warmup_seconds: the first steps, with compilation; not part of any cost.
        tries: how often everything was measured until nothing disturbed it, or until patience ended.
        disturbances: what disturbed the measurements that were kept, in words; empty if they were taken alone.
        key: what the costs hold for, by name: the device, the workload and all else that changes them.

    """

    num_blocks: int
    step_seconds: Mapping[int, float]
    step_flops: Mapping[int, float]
    data_seconds: float
    probe_seconds: float
    probe_flops: float
    evaluation_seconds: float
    device: str
    threads: int
    spread: Mapping[str, float] = field(default_factory=dict)
    step_parts: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    warmup_seconds: float = 0.0
    tries: int = 1
    disturbances: tuple[str, ...] = ()
    key: Mapping[str, str] = field(default_factory=dict)

    def step_cost(self, depth: int) -> float:
        """Seconds of a step at ``depth``; between measured depths linear, as the cost is (anchors: F + 2aF)."""
        return _interpolate(self.step_seconds, depth)

    def flops(self, depth: int) -> float:
        """Operations of a step at ``depth``, linear between counted depths."""
        return _interpolate(self.step_flops, depth)


def _interpolate(table: Mapping[int, float], depth: int) -> float:
    if depth in table:
        return table[depth]
    below = max((d for d in table if d < depth), default=None)
    above = min((d for d in table if d > depth), default=None)
    if below is None or above is None:
        raise ValueError(f"depth must lie within the calibrated depths {sorted(table)}, but got {depth}")
    weight = (depth - below) / (above - below)
    return (1 - weight) * table[below] + weight * table[above]


class OtherSurroundings(ValueError):  # noqa: N818 - what the user is told, not a fault of the program
    """A clock calibrated on one device, or with one version of torch, is read on another."""


def refuse_other_surroundings(costs: CostTable, here: Mapping[str, str]) -> None:
    """Refuse to charge by ``costs`` what runs ``here``; a table that does not know where it holds is believed.

    Raises:
        OtherSurroundings: something in ``here`` is not as ``costs.key`` has it.
    """
    others = [name for name, value in here.items() if costs.key.get(name, value) != value]
    if others:
        then, now = (", ".join(f"{name} {table[name]}" for name in others) for table in (costs.key, here))
        raise OtherSurroundings(
            f"the clock must have been calibrated where the search goes on, but it was calibrated on {then}, "
            f"and this is {now}: go on there, or start a new run here, whose seconds are this device's own"
        )


@dataclass
class Ledger:
    """What a run has done so far. Integers only, so that it is exact and order does not matter."""

    steps_at_depth: dict[int, int] = field(default_factory=dict)
    probes: int = 0

    @property
    def steps(self) -> int:
        """Steps taken, at any depth."""
        return sum(self.steps_at_depth.values())

    def record(self, depth: int, *, probe: bool) -> None:
        """Enter one step at ``depth`` active blocks (a suffix)."""
        self.steps_at_depth[depth] = self.steps_at_depth.get(depth, 0) + 1
        self.probes += probe

    def mean_active_fraction(self, num_blocks: int) -> float | None:
        """Mean share of blocks updated in a step; None before the first."""
        if not self.steps:
            return None
        return sum(d * n for d, n in self.steps_at_depth.items()) / (self.steps * num_blocks)


@dataclass(frozen=True)
class TimeTerms:
    """The three terms of time to quality and their sum, ``train_seconds`` (solo)."""

    train_seconds: float
    required_flops: float
    effective_flops_per_second: float | None
    pipeline_overhead_seconds: float


def charge(costs: CostTable, ledger: Ledger) -> TimeTerms:
    """What ``ledger`` costs on the device of ``costs``, by the equations at the top of this module."""
    depths = sorted(ledger.steps_at_depth.items())
    compute = sum(n * costs.step_cost(d) for d, n in depths)
    overhead = ledger.steps * costs.data_seconds + ledger.probes * costs.probe_seconds
    flops = sum(n * costs.flops(d) for d, n in depths) + ledger.probes * costs.probe_flops
    return TimeTerms(
        train_seconds=compute + overhead,
        required_flops=flops,
        effective_flops_per_second=flops / compute if compute > 0 else None,
        pipeline_overhead_seconds=overhead,
    )


def baseline_seconds(costs: CostTable, steps: int) -> float:
    """Solo seconds of the full-update baseline: ``steps`` full steps. A horizon of 1.0 is this long."""
    return charge(costs, Ledger({costs.num_blocks: steps})).train_seconds
