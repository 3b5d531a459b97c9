"""Solo seconds: what a run takes with the device to itself, whatever ran beside it.

A wall clock lies when trials share a device: it charges a trial for its neighbours. Here a run
keeps a *ledger* of what it did (steps at each depth, probes) and a *cost table*, calibrated alone
on the device before the search, says what each entry costs. Seconds are always computed from the
whole ledger, never accumulated, so a run that was stopped and resumed, or forked from another,
reads the same to the last bit as one that ran straight through.

    train_seconds     = Σ_d steps_d · (step_d + data) + probes · probe + entries · entry
    required_flops    = Σ_d steps_d · flops_d + probes · probe_flops
    pipeline_overhead = (Σ_d steps_d) · data + probes · probe + entries · entry
    effective_flops_per_second = required_flops / (train_seconds − pipeline_overhead)

so that train_seconds = required_flops / effective_flops_per_second + pipeline_overhead. Evaluation
is off the clock. A lever gives the model another *form*, whose steps cost something else: table and
ledger have a part of their own for each form, entering one (fitting matrices, compiling) is charged
each time, and the sums run over all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CostTable:
    """What a device takes for each thing a run does, measured alone. Times are seconds, medians
    over rounds.

    Attributes:
        num_blocks: blocks of the model; depth ``num_blocks`` is a full step.
        step_seconds: forward, backward and optimizer at each measured depth (must include
            ``num_blocks``).
        step_flops: floating-point operations of such a step, counted.
        data_seconds: making one batch and moving it to the device.
        probe_seconds: what reading relevance adds to a full step.
        probe_flops: operations that reading relevance adds.
        evaluation_seconds: one evaluation; off the clock, used to predict wall time.
        spread: relative interquartile range of each median, by the same names (``step_4``,
            ``data``, ...).
        device: the device's name as reported in records.
        threads: threads a trial computes with on a CPU.
        step_parts: seconds of ``forward``, ``backward`` and ``optimizer`` at each depth; they add
            up to the step.
        warmup_seconds: the first steps, with compilation; not part of any cost.
        tries: how often everything was measured until nothing disturbed it, or until patience
            ended.
        disturbances: what disturbed the measurements that were kept, in words; empty if they were
            taken alone.
        key: what the costs hold for, by name: the device, the workload and all else that changes
            them.
        forms: such a table for each other form of the model that has been met, by ``Form.key``.
        entry_seconds: in a form's own table, what bringing the model into the form and back takes;
            for an event that is no form, what it takes each time.
        composed: whether the form was not measured itself; see ``tuning.trial.parts``.
        baseline_step_seconds: in the table of a variant (``tuning.trial.variants``), what a full
            step of the workload as it is takes, data included; horizons are measured by it.

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
    forms: Mapping[str, CostTable] = field(default_factory=dict)
    entry_seconds: float = 0.0
    composed: bool = False
    baseline_step_seconds: float | None = None

    def step_cost(self, depth: int) -> float:
        """Seconds of a step at ``depth``. They are linear between measured depths, because the cost
        is (F + 2aF for a share ``a`` of active blocks).
        """
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
        raise ValueError(
            f"depth must lie within the calibrated depths {sorted(table)}, but got {depth}"
        )
    weight = (depth - below) / (above - below)
    return (1 - weight) * table[below] + weight * table[above]


def impossible(costs: CostTable, form: str = "") -> str | None:
    """What in ``costs`` no device can take, in words; None for a table that a calibration may have
    given.

    A step takes some time and everything else no less than none. A full step of the workload's own
    form has to be known.
    """
    where = f" of the form {form!r}" if form else ""
    if not form and costs.num_blocks not in costs.step_seconds:
        return f"no step at depth {costs.num_blocks}, a full one"
    for depth, seconds in costs.step_seconds.items():
        if not 0 < seconds < math.inf:
            return f"{seconds} s for a step at depth {depth}{where}"
    least = {
        "a batch": costs.data_seconds,
        "a probe": costs.probe_seconds,
        "an evaluation": costs.evaluation_seconds,
        "an entry": costs.entry_seconds,
    }
    for what, seconds in least.items():
        if not 0 <= seconds < math.inf:
            return f"{seconds} s for {what}{where}"
    baseline = costs.baseline_step_seconds
    if baseline is not None and not 0 < baseline < math.inf:
        return f"{baseline} s for a step of the baseline{where}"
    found = (impossible(table, name) for name, table in costs.forms.items())
    return next((fault for fault in found if fault is not None), None)


class OtherSurroundings(ValueError):  # noqa: N818 - what the user is told, not a fault of the program
    """Raised where a clock that was calibrated on one device, or with one version of torch, is read
    on another.
    """


def differing(then: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """Names of values in ``here`` that are not as they were ``then``. A value that was not noted
    then does not count.
    """
    return [name for name, value in here.items() if then.get(name, value) != value]


def refuse_other_surroundings(costs: CostTable, here: Mapping[str, str]) -> None:
    """Refuse to charge by ``costs`` what runs ``here``; a table that does not say where it holds is
    believed.

    Raises:
        OtherSurroundings: something in ``here`` is not as ``costs.key`` has it.
    """
    if others := differing(costs.key, here):
        then, now = (
            ", ".join(f"{name} {table[name]}" for name in others) for table in (costs.key, here)
        )
        raise OtherSurroundings(
            "the clock must have been calibrated where the search goes on, but it was calibrated "
            f"on {then}, "
            f"and this is {now}: go on there, or start a new run here, without --clock, "
            "whose seconds are this device's own"
        )


@dataclass
class Ledger:
    """What a run has done so far. Integers only, so that it is exact and order does not matter.

    Attributes:
        steps_at_depth: steps in the workload's own form, by depth.
        probes: how many of those steps probed.
        forms: what was done in each other form, by ``Form.key``.
        entries: in a form's own ledger, how often the form was entered.
    """

    steps_at_depth: dict[int, int] = field(default_factory=dict)
    probes: int = 0
    forms: dict[str, Ledger] = field(default_factory=dict)
    entries: int = 0

    @property
    def steps(self) -> int:
        """Steps taken, at any depth and in any form."""
        return sum(sum(part.steps_at_depth.values()) for part in self._parts())

    @property
    def all_probes(self) -> int:
        """Probes, in any form."""
        return sum(part.probes for part in self._parts())

    def of(self, form: str) -> Ledger:
        """The part in which the steps of ``form`` are entered."""
        return self.forms.setdefault(form, Ledger()) if form else self

    def enter(self, form: str) -> None:
        """Enter a change to ``form``. A change back to the workload's own form is part of the one
        before.
        """
        if form:
            self.of(form).entries += 1

    def record(self, depth: int, *, probe: bool, form: str = "") -> None:
        """Enter one step at ``depth`` active blocks (a suffix) in ``form``."""
        part = self.of(form)
        part.steps_at_depth[depth] = part.steps_at_depth.get(depth, 0) + 1
        part.probes += probe

    def mean_active_fraction(self, num_blocks: int) -> float | None:
        """The mean fraction of blocks updated in a step; None before the first step."""
        if not self.steps:
            return None
        total = sum(d * n for part in self._parts() for d, n in part.steps_at_depth.items())
        return total / (self.steps * num_blocks)

    def _parts(self) -> tuple[Ledger, ...]:
        return (self, *self.forms.values())


@dataclass(frozen=True)
class TimeTerms:
    """The three terms of time to quality and their sum, ``train_seconds`` (solo)."""

    train_seconds: float
    required_flops: float
    effective_flops_per_second: float | None
    pipeline_overhead_seconds: float


def charge(costs: CostTable, ledger: Ledger) -> TimeTerms:
    """What ``ledger`` costs on the device of ``costs``, by the equations at the top of this module.

    Raises:
        UnknownForm: the ledger has steps in a form that was not calibrated.
    """
    # In the order of forms and depths, not of a run's steps: the last bit of a sum depends on it.
    bills = [
        _bill(costs, ledger),
        # Sorted, as float sums depend on their order, and a resumed run met its forms in another
        # one.
        *(_bill(_table_of(costs, form), part) for form, part in sorted(ledger.forms.items())),
    ]
    compute, overhead, flops = (sum(column) for column in zip(*bills, strict=True))
    return TimeTerms(
        train_seconds=compute + overhead,
        required_flops=flops,
        effective_flops_per_second=flops / compute if compute > 0 else None,
        pipeline_overhead_seconds=overhead,
    )


def _bill(costs: CostTable, part: Ledger) -> tuple[float, float, float]:
    """(computing seconds, overhead seconds, operations) of the steps in one form."""
    depths = sorted(part.steps_at_depth.items())
    compute = sum(n * costs.step_cost(d) for d, n in depths)
    steps = sum(n for _, n in depths)
    overhead = (
        steps * costs.data_seconds
        + part.probes * costs.probe_seconds
        + part.entries * costs.entry_seconds
    )
    flops = sum(n * costs.flops(d) for d, n in depths) + part.probes * costs.probe_flops
    return compute, overhead, flops


class UnknownForm(ValueError):  # noqa: N818 - named for what is unknown
    """Raised where a run took steps in a form whose cost was not measured."""


def _table_of(costs: CostTable, form: str) -> CostTable:
    if form not in costs.forms:
        raise UnknownForm(
            f"the clock must be calibrated for the form {form!r}, but knows {sorted(costs.forms)}"
        )
    return costs.forms[form]


def baseline_seconds(costs: CostTable, steps: int) -> float:
    """Solo seconds of the full-update baseline, ``steps`` full steps: the length of a horizon of
    1.0.
    """
    if costs.baseline_step_seconds is not None:
        return steps * costs.baseline_step_seconds
    return charge(costs, Ledger({costs.num_blocks: steps})).train_seconds
