"""What a comparison shows: from what was trained to the rows of the table, means over seeds and the
verdict. Pure.

Three modes stand side by side. At equal ``steps`` every schedule trains the baseline's number of
steps, so that a lighter one is done sooner; at equal ``time`` each trains for the baseline's solo
seconds, so that a lighter one takes more steps; and the ``control`` of a schedule is full_update
that trains for the seconds that schedule took at equal steps, with its learning rate fully decayed.
At equal time the control is full_update itself.

    speedup     = ms a step of full_update / ms a step
    gap_percent = 100 · (loss / loss of full_update in the same mode, on the same seed − 1)

A control's gap is taken against full_update's whole run.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from tuning.findings.paired import holm, p_value
from tuning.trial.clock import CostTable, Ledger, charge

Mode = Literal["steps", "time", "control"]
MODES: tuple[Mode, ...] = ("steps", "time", "control")
FULL = "full_update"
Row = dict[str, Any]
AVERAGED = (
    "val_loss",
    "ms_per_step",
    "measured_ms_per_step",
    "speedup",
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
        val_loss: after the last step; None where it failed.
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
    """A clock on which every step takes a second whatever it trains.

    A horizon on it is a number of steps.
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


def solo_seconds(costs: CostTable, ledger: Ledger) -> float:
    """What ``ledger`` costs with the device to itself."""
    return charge(costs, ledger).train_seconds


def rows_of(runs: Iterable[Trained]) -> list[Row]:
    """One row a run, in their order.

    Full_update's whole run is a row of both equal steps and equal time.
    """
    runs = [*runs]
    baselines = {run.seed: run for run in runs if run.schedule == FULL and run.mode == "steps"}
    rows = []
    for run in runs:
        baseline = baselines[run.seed]
        rows.append(_row(run, baseline))
        if run is baseline:
            rows.append(_row(run, baseline) | {"mode": "time"})
    return rows


def _row(run: Trained, baseline: Trained) -> Row:
    facts = asdict(run) | {"levels": list(run.levels)}
    own, full = _per_step(run.seconds, run.steps), _per_step(baseline.seconds, baseline.steps)
    return facts | {
        "ms_per_step": own,
        "measured_ms_per_step": _per_step(run.measured_seconds, run.steps),
        "speedup": full / own if full and own else None,
        "gap_percent": _percent(run.val_loss, baseline.val_loss),
    }


def _per_step(seconds: float, steps: int) -> float | None:
    return 1000 * seconds / steps if steps else None


def _percent(loss: float | None, reference: float | None) -> float | None:
    """By how many per cent ``loss`` lies above ``reference``.

    None where either is missing or the latter is 0.
    """
    return None if loss is None or not reference else 100 * (loss / reference - 1)


def summary_of(rows: Sequence[Row]) -> list[Row]:
    """Each schedule in each mode over its seeds, in the order of the rows: ``n``, and the mean of
    every figure.

    ``val_loss_sd`` is the standard deviation over seeds, None for one. Figures that no seed has are
    None.
    """
    groups: dict[tuple[str, str, str | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["mode"], row["schedule"], row["control_for"]), []).append(row)
    return [_over_seeds(group) for group in groups.values()]


def _over_seeds(group: Sequence[Row]) -> Row:
    losses = [row["val_loss"] for row in group if row["val_loss"] is not None]
    first = {name: group[0][name] for name in ("schedule", "policy", "mode", "control_for")}
    return {
        **first,
        "n": len(losses),
        **{name: _mean(row[name] for row in group) for name in AVERAGED},
        "val_loss_sd": statistics.stdev(losses) if len(losses) > 1 else None,
        "levels": sorted({level for row in group for level in row["levels"]}),
    }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def control_losses(rows: Sequence[Row], schedule: str, mode: str) -> Mapping[int, float]:
    """By seed, what full_update reaches in the seconds that ``schedule`` took in ``mode``."""
    return {
        row["seed"]: row["val_loss"]
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
        percent: by how many per cent its loss lies above the control's, the mean over seeds;
            negative is better.
        lower: seeds on which its loss is the lower one.
        seeds: seeds on which both finished.
        p: of "it is no better", corrected for all comparisons; 1 for a single seed.
    """

    schedule: str
    mode: str
    percent: float
    lower: int
    seeds: int
    p: float

    @property
    def wins(self) -> bool:
        """Whether it is better beyond the noise of its seeds."""
        return self.p < ALPHA


def against_control(rows: Sequence[Row]) -> list[AgainstControl]:
    """Every schedule in both modes, in the order of the rows; those without a finished pair are
    left out.

    So are those that never froze a block on any seed: they are training for less under another
    name.
    """
    names = list(dict.fromkeys(row["schedule"] for row in rows if row["schedule"] != FULL))
    found = [_compared(rows, name, mode) for mode in WORDS for name in names]
    known = [comparison for comparison in found if comparison is not None]
    return [replace(c, p=p) for c, p in zip(known, holm([c.p for c in known]), strict=True)]


def _compared(rows: Sequence[Row], schedule: str, mode: str) -> AgainstControl | None:
    control = control_losses(rows, schedule, mode)
    mine = [row for row in rows if row["schedule"] == schedule and row["mode"] == mode]
    if not any(row["levels"] for row in mine):
        return None
    own = {row["seed"]: row["val_loss"] for row in mine}
    pairs = [
        (own[seed], loss) for seed, loss in control.items() if own.get(seed) is not None and loss
    ]
    if not pairs:
        return None
    lower = [control_loss - loss for loss, control_loss in pairs]
    percent = statistics.fmean(100 * (loss / control_loss - 1) for loss, control_loss in pairs)
    return AgainstControl(
        schedule, mode, percent, sum(d > 0 for d in lower), len(pairs), p_value(lower)
    )


def verdict(comparisons: Sequence[AgainstControl]) -> str:
    """One sentence: which schedules beat the control, or which comes closest."""
    if not comparisons:
        return "Nothing can be said about the control: no schedule finished beside it."
    winners = [c for c in comparisons if c.wins]
    if winners:
        return (
            "Better than full_update trained for the same seconds: "
            f"{'; '.join(map(_told, winners))}."
        )
    best = min(comparisons, key=lambda c: c.percent)
    if best.percent > 0:
        return (
            f"No schedule beats full_update trained for the same seconds. Closest: {_told(best)}."
        )
    return (
        f"No schedule is shown to beat full_update trained for the same seconds: {_told(best)} is "
        "not beyond chance."
    )


def _told(c: AgainstControl) -> str:
    side = "above" if c.percent > 0 else "below"
    odds = f"; corrected p = {c.p:.2g}" if c.seeds > 1 else ""
    return (
        f"{c.schedule} at {WORDS[c.mode]} (loss {abs(c.percent):.1f} % {side} the control's, "
        f"lower on {c.lower} of {c.seeds} {'seeds' if c.seeds > 1 else 'seed'}{odds})"
    )
