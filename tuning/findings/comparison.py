"""What a comparison shows: from what was trained to the rows of the table, means over seeds and the
verdict. Pure.

Three modes stand side by side. At equal ``steps`` every schedule trains the baseline's number of
steps, so that a lighter one is done sooner; at equal ``time`` each trains for the baseline's solo
seconds, so that a lighter one takes more steps; and the ``control`` of a schedule is full_update
that trains for the seconds that schedule took at equal steps, with its learning rate fully decayed.
At equal time the control is full_update itself.

    speedup     = ms a step of full_update / ms a step
    gap         = metric − metric of full_update in the same mode, on the same seed
    gap_percent = 100 · gap / metric of full_update, where that is above 0

The metric is the loss, or its negative where the workload maximises. A control's gap is taken
against full_update's whole run. What is concluded is concluded from differences, which are the same
wherever zero lies.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from tuning.findings import format as form
from tuning.findings.paired import holm, p_value
from tuning.trial.clock import CostTable, Ledger, charge
from tuning.trial.metric import LOSS, Metric
from tuning.trial.trial import TrialRecord

Mode = Literal["steps", "time", "control"]
FULL = "full_update"
Row = dict[str, Any]
AVERAGED = (
    "val_loss",
    "val_metric",
    "ms_per_step",
    "measured_ms_per_step",
    "speedup",
    "gap",
    "gap_percent",
    "seconds",
    "steps",
    "probes",
    "mean_active_blocks",
)


@dataclass(frozen=True)
class Trained:
    """One run.

    Attributes:
        schedule: a name for policy and settings together: ``full_update``, or a preset's.
        policy: the policy's name.
        mode: what the run has in common with full_update's.
        control_for: of a control, the schedule whose seconds it has; else None.
        seed: of weights and batches.
        seconds: solo seconds it is charged.
        measured_seconds: wall seconds that its steps took here.
        steps, probes: counts.
        levels: depths of its reduced steps, ascending; empty where it never froze a block.
        mean_active_blocks: over all steps; None before the first.
        mean_reduced_blocks: over the reduced steps alone; None where there are none.
        val_loss: after the last step, lower is better; None where it failed.
        error: why it failed; None where it did not.
    """

    schedule: str
    policy: str
    mode: Mode
    control_for: str | None
    seed: int
    seconds: float
    measured_seconds: float
    steps: int
    probes: int
    levels: tuple[int, ...]
    mean_active_blocks: float | None
    mean_reduced_blocks: float | None
    val_loss: float | None
    error: str | None = None


def steps_as_seconds(costs: CostTable) -> CostTable:
    """A cost table by which every step takes one second, whatever it trains; a horizon by it is a
    number of steps.
    """
    return CostTable(
        num_blocks=costs.num_blocks,
        step_seconds=dict.fromkeys(costs.step_seconds, 1.0),
        step_flops=costs.step_flops,
        data_seconds=0.0,
        probe_seconds=0.0,
        probe_flops=0.0,
        evaluation_seconds=0.0,
        device=costs.device,
        threads=costs.threads,
    )


def depth_facts(ledger: Ledger, num_blocks: int) -> Row:
    """``levels``, ``mean_active_blocks`` and ``mean_reduced_blocks`` of a run that did what
    ``ledger`` says.
    """
    reduced = {
        depth: count
        for depth, count in ledger.steps_at_depth.items()
        if depth < num_blocks and count
    }
    blocks, steps = sum(depth * count for depth, count in reduced.items()), sum(reduced.values())
    fraction = ledger.mean_active_fraction(num_blocks)
    return {
        "levels": tuple(sorted(reduced)),
        "mean_active_blocks": None if fraction is None else fraction * num_blocks,
        "mean_reduced_blocks": blocks / steps if steps else None,
    }


def ledger_of(record: TrialRecord) -> Ledger:
    """What a run did in the workload's own form, from the decisions in its record."""
    ends = [*(decision.step for decision in record.decisions), record.steps or 0][1:]
    ledger = Ledger(probes=record.probes or 0)
    for decision, end in zip(record.decisions, ends, strict=True):
        taken = ledger.steps_at_depth.get(decision.active_blocks, 0) + end - decision.step
        ledger.steps_at_depth[decision.active_blocks] = taken
    return ledger


def trained_of(
    costs: CostTable, record: TrialRecord, schedule: str, mode: Mode, control_for: str | None
) -> Trained:
    """The run that a record tells of, charged by ``costs`` whatever clock it was trained on."""
    ledger = ledger_of(record)
    return Trained(
        schedule=schedule,
        policy=record.recipe.policy,
        mode=mode,
        control_for=control_for,
        seed=record.seed,
        seconds=charge(costs, ledger).train_seconds,
        measured_seconds=record.measured_seconds or 0.0,
        steps=ledger.steps,
        probes=ledger.probes,
        val_loss=record.val_loss if record.state == "finished" else None,
        error=record.error,
        **depth_facts(ledger, costs.num_blocks),
    )


def rows_of(runs: Iterable[Trained], metric: Metric = LOSS) -> list[Row]:
    """One row for each run, in their order, with values of the ``metric`` beside the losses. The
    whole run of full_update makes two rows, one in each of the modes equal steps and equal time.
    """
    runs = [*runs]
    baselines = {run.seed: run for run in runs if run.schedule == FULL and run.mode == "steps"}
    rows = []
    for run in runs:
        baseline = baselines[run.seed]
        row = _row(run, baseline, metric)
        rows += [row, row | {"mode": "time"}] if run is baseline else [row]
    return rows


def _row(run: Trained, baseline: Trained, metric: Metric) -> Row:
    facts = asdict(run) | {"levels": list(run.levels)}
    own, full = _per_step(run.seconds, run.steps), _per_step(baseline.seconds, baseline.steps)
    value, full_value = (_value(trained.val_loss, metric) for trained in (run, baseline))
    return facts | {
        "val_metric": value,
        "ms_per_step": own,
        "measured_ms_per_step": _per_step(run.measured_seconds, run.steps),
        "speedup": full / own if full and own else None,
        "gap": None if value is None or full_value is None else value - full_value,
        "gap_percent": _percent(value, full_value),
    }


def _per_step(seconds: float, steps: int) -> float | None:
    return 1000 * seconds / steps if steps else None


def _percent(value: float | None, reference: float | None) -> float | None:
    """By how many per cent a value lies above a ``reference``.

    None where either is missing, and where the reference is not above zero: a percentage of that
    would have the wrong sign or no meaning.
    """
    if value is None or reference is None or reference <= 0:
        return None
    return 100 * (value / reference - 1)


def _value(loss: float | None, metric: Metric) -> float | None:
    return None if loss is None else metric.of(loss)


def summary_of(rows: Sequence[Row]) -> list[Row]:
    """Each schedule in each mode over its seeds, in the order of the rows: ``n``, the number of
    seeds, and the mean of every figure.

    ``val_loss_sd`` is the standard deviation over seeds, None for one seed. Figures that no seed
    has are None.
    """
    groups: dict[tuple[str, str, str | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["mode"], row["schedule"], row["control_for"]), []).append(row)
    return [_over_seeds(group) for group in groups.values()]


def _over_seeds(group: Sequence[Row]) -> Row:
    losses = [row["val_loss"] for row in group if row["val_loss"] is not None]
    first = {name: group[0][name] for name in ("schedule", "policy", "mode", "control_for")}
    means = {name: _mean(row[name] for row in group) for name in AVERAGED}
    if any(row["gap_percent"] is None for row in group if row["gap"] is not None):
        means["gap_percent"] = None  # per cent of some seeds alone would stand for all
    return {
        **first,
        "n": len(losses),
        **means,
        "val_loss_sd": statistics.stdev(losses) if len(losses) > 1 else None,
        "levels": sorted({level for row in group for level in row["levels"]}),
    }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def controls_of(rows: Sequence[Row], schedule: str, mode: str) -> Mapping[int, Row]:
    """Runs of full_update in the seconds that ``schedule`` took in ``mode``, by seed."""
    return {
        row["seed"]: row
        for row in rows
        if row["val_loss"] is not None and _is_control(row, schedule if mode == "steps" else None)
    }


def _is_control(row: Row, control_for: str | None) -> bool:
    if control_for is None:
        return bool(row["schedule"] == FULL and row["mode"] == "time")
    return bool(row["control_for"] == control_for)


ALPHA = 0.05


WORDS = {"steps": "equal steps", "time": "equal time"}


@dataclass(frozen=True)
class AgainstControl:
    """A schedule beside full_update of the same solo seconds.

    Attributes:
        schedule, mode: which; ``steps`` or ``time``.
        above: by how much its loss lies above the control's, the mean over seeds; negative is
            better.
        percent: by how many per cent its metric lies above the control's, the mean over seeds; None
            where the control's is not above zero on every seed.
        lower: seeds on which its loss is the lower one.
        seeds: seeds on which both finished.
        p: of "it is no better", corrected for all comparisons; 1 for a single seed.
    """

    schedule: str
    mode: str
    above: float
    percent: float | None
    lower: int
    seeds: int
    p: float

    @property
    def wins(self) -> bool:
        """Whether it is better beyond the noise of its seeds."""
        return self.p < ALPHA


def against_control(rows: Sequence[Row]) -> list[AgainstControl]:
    """Every schedule in both modes, in the order of the rows, beside the control of equal seconds.

    Left out are schedules without a seed on which both finished, and those that never froze a block
    on any seed: they are training for less under another name.
    """
    names = list(dict.fromkeys(row["schedule"] for row in rows if row["schedule"] != FULL))
    found = [_compared(rows, name, mode) for mode in WORDS for name in names]
    known = [comparison for comparison in found if comparison is not None]
    return [replace(c, p=p) for c, p in zip(known, holm([c.p for c in known]), strict=True)]


def _compared(rows: Sequence[Row], schedule: str, mode: str) -> AgainstControl | None:
    control = controls_of(rows, schedule, mode)
    mine = [row for row in rows if row["schedule"] == schedule and row["mode"] == mode]
    if not any(row["levels"] for row in mine):
        return None
    own = {row["seed"]: row for row in mine if row["val_loss"] is not None}
    pairs = [(own[seed], row) for seed, row in control.items() if seed in own]
    if not pairs:
        return None
    gaps = [row["val_loss"] - beside["val_loss"] for row, beside in pairs]
    shares = [_percent(row["val_metric"], beside["val_metric"]) for row, beside in pairs]
    known = [share for share in shares if share is not None]
    return AgainstControl(
        schedule,
        mode,
        above=statistics.fmean(gaps),
        percent=statistics.fmean(known) if len(known) == len(pairs) else None,
        lower=sum(gap < 0 for gap in gaps),
        seeds=len(pairs),
        p=p_value([-gap for gap in gaps]),
    )


def verdict(comparisons: Sequence[AgainstControl], metric: Metric = LOSS) -> str:
    """One sentence: which schedules beat the control, or which comes closest."""
    if not comparisons:
        return "Nothing can be said about the control: no schedule finished beside it."
    winners = [c for c in comparisons if c.wins]
    if winners:
        return (
            "Better than full_update trained for the same seconds: "
            f"{'; '.join(_told(c, metric) for c in winners)}."
        )
    best = min(comparisons, key=lambda c: c.above)
    told = _told(best, metric)
    if best.above > 0:
        return f"No schedule beats full_update trained for the same seconds. Closest: {told}."
    return (
        f"No schedule is shown to beat full_update trained for the same seconds: {told} is not "
        "beyond chance."
    )


def _told(c: AgainstControl, metric: Metric) -> str:
    by = form.difference(c.above) if c.percent is None else f"{abs(c.percent):.1f} %"
    side = metric.short_of if c.above > 0 else metric.beyond
    odds = f"; corrected p = {c.p:.2g}" if c.seeds > 1 else ""
    return (
        f"{c.schedule} at {WORDS[c.mode]} ({metric.short} {by} {side} the control's, "
        f"{metric.better} on {c.lower} of {c.seeds} {'seeds' if c.seeds > 1 else 'seed'}{odds})"
    )
