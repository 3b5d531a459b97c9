"""From confirmation runs to a verdict: which schedule beats training for less, by how much, how sure. Pure.

``verdict.json`` in a run directory is ``Verdict.to_json``: the attributes of the classes below by their names, times in
seconds, losses in the workload's unit, None as null, and ``format``, which is raised when a key changes its meaning.
A reader that wants one line takes ``sentence``; ``winner`` is a trial's number or null; each of ``candidates`` has its
``gain`` with ``interval``, ``p_corrected`` and ``wins``; ``control`` has the runs that it was compared with.
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tuning.outcome import seconds_to_quality
from tuning.paired import (
    Bound,
    ControlCurve,
    Gain,
    SeedComparison,
    compare,
    gain_over_seeds,
    holm,
    p_value,
    t_interval,
)
from tuning.trial import Scalar, TrialRecord
from tuning.verdict_words import sentence

FORMAT = 1
ALPHA = 0.008
"""A schedule wins at this p, corrected for all that were tested. Below 0.01, because at most one confirmation in a
hundred may call a false win and losses are not exactly normal (``benchmarks.verdict_power``)."""

Interval = tuple[float | None, float | None]
Time = Literal["measured", "solo"]


@dataclass(frozen=True)
class Run:
    """One finished confirmation run.

    Attributes:
        solo_seconds: what the clock predicts.
        measured_seconds: what its training took, alone on the device; None if that was not measured.
        loss: the final validation loss.
        to_target: solo seconds of its first evaluation at or below the target; None where it is censored.
    """

    seed: int
    solo_seconds: float
    measured_seconds: float | None
    loss: float
    to_target: float | None


@dataclass(frozen=True)
class Candidate:
    """The trial that is confirmed, by number, and its schedule."""

    number: int
    policy: str
    horizon: float
    knobs: Mapping[str, Scalar]


@dataclass(frozen=True)
class CandidateVerdict:
    """What the seeds say about one schedule.

    Attributes:
        number, policy, horizon, knobs: as in ``Candidate``.
        seeds: on how many it and the control finished.
        gain, bound, interval, bootstrap_interval: as ``paired.Gain``.
        lower_loss, lower_loss_interval: mean of the loss by which it is better than the control at equal time, 95 %.
        p, p_corrected: one-sided, that it is no better; as it is, and by Holm for all that were tested.
        wins: p_corrected is at most ``ALPHA``, and the gain does not read 1.00.
        loss, seconds: mean final loss, median seconds.
        reached: on how many seeds it met the target.
        seconds_to_target: median over seeds, a seed that missed counting as longer than any; None where that decides.
        predicted_over_measured: median of solo over measured seconds; None where nothing was measured.
        note: why it could not be judged in full; empty when it could.
        per_seed: the comparisons.
    """

    number: int
    policy: str
    horizon: float
    knobs: Mapping[str, Scalar]
    seeds: int
    gain: float | None
    bound: Bound
    interval: Interval
    bootstrap_interval: Interval
    lower_loss: float | None
    lower_loss_interval: Interval
    p: float
    p_corrected: float
    wins: bool
    loss: float | None
    seconds: float | None
    reached: int
    seconds_to_target: float | None
    predicted_over_measured: float | None
    note: str
    per_seed: tuple[SeedComparison, ...]


@dataclass(frozen=True)
class ControlRun:
    """The control at one horizon, over seeds; attributes as in ``CandidateVerdict``."""

    horizon: float
    seeds: int
    seconds: float
    loss: float
    reached: int
    predicted_over_measured: float | None


@dataclass(frozen=True)
class ControlVerdict:
    """What full_update does when it trains for less.

    Attributes:
        runs: by horizon, ascending.
        loss_per_percent: the exchange rate, how much lower the loss is for one per cent more time at the longest
            horizon; mean over seeds.
        loss_per_percent_interval: 95 %.
        reached, seconds_to_target: as in ``CandidateVerdict``, of the quickest horizon on each seed.
    """

    runs: tuple[ControlRun, ...]
    loss_per_percent: float | None
    loss_per_percent_interval: Interval
    reached: int
    seconds_to_target: float | None


@dataclass(frozen=True)
class Verdict:
    """The whole answer.

    Attributes:
        sentence: the verdict in one sentence.
        winner: number of the winning schedule with the highest gain, or None.
        alpha: the p at which a schedule wins.
        tested: for how many schedules p is corrected, those of earlier confirmations of the run included.
        seeds: the fresh seeds.
        target_loss: the loss whose time is told.
        time: whether seconds are measured ones or, where some were not measured, the clock's.
        candidates: in the order of their picking.
    """

    sentence: str
    winner: int | None
    alpha: float
    tested: int
    seeds: tuple[int, ...]
    target_loss: float
    time: Time
    candidates: tuple[CandidateVerdict, ...]
    control: ControlVerdict
    format: int = FORMAT

    def to_json(self) -> str:
        """JSON text; the same for the same verdict to the last byte."""
        return json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False) + "\n"


def run_of(record: TrialRecord, target: float) -> Run | None:
    """The run that a replicate's record tells of; None where it did not finish."""
    if record.state != "finished" or record.val_loss is None or not record.train_seconds:
        return None
    to_target = seconds_to_quality(record.curve, target)
    return Run(record.seed, record.train_seconds, record.measured_seconds, record.val_loss, to_target)


def judge(
    candidates: Sequence[tuple[Candidate, Sequence[Run]]],
    control: Mapping[float, Sequence[Run]],
    *,
    seeds: Sequence[int],
    target: float,
    tested: int | None = None,
) -> Verdict:
    """The verdict on ``candidates`` with their runs, against the control's runs by horizon.

    Args:
        candidates: in the order they are to be reported.
        control: full_update's runs by horizon, at least two horizons.
        target: the loss whose time is told.
        seeds: the fresh seeds that were asked for; a run that is missing on one of them did not finish.
        tested: see ``paired.holm``.
    """
    everything = [run for _, runs in candidates for run in runs] + [r for rs in control.values() for r in rs]
    time: Time = "measured" if all(run.measured_seconds for run in everything) else "solo"
    speeds = _speeds(control, time)
    curves = _curves(control, speeds)
    seen = [_comparisons(runs, curves, time) for _, runs in candidates]
    ps = [_p(comparisons, len(seeds)) for comparisons in seen]
    corrected = holm(ps, tested)
    judged = tuple(
        _candidate(candidate, runs, comparisons, p, adjusted, seeds, time)
        for (candidate, runs), comparisons, p, adjusted in zip(candidates, seen, ps, corrected, strict=True)
    )
    winner = max((c for c in judged if c.wins), key=_merit, default=None)
    beside = _control(control, curves, speeds, time, seeds)
    count = max(tested or 0, len(judged))
    return Verdict(
        sentence=sentence(judged, winner, beside, len(seeds), count, ALPHA),
        winner=None if winner is None else winner.number,
        alpha=ALPHA,
        tested=count,
        seeds=tuple(seeds),
        target_loss=target,
        time=time,
        candidates=judged,
        control=beside,
    )


def _speeds(control: Mapping[float, Sequence[Run]], time: Time) -> dict[int, float]:
    """Measured over solo seconds of the control on each seed.

    Full steps are all that the control does, so its runs measure one number, the cost of a full step while the seed
    was run, and together they measure it better than each its own.
    """
    ratios: dict[int, list[float]] = {}
    for run in (run for runs in control.values() for run in runs):
        ratio = run.measured_seconds / run.solo_seconds if time == "measured" and run.measured_seconds else 1.0
        ratios.setdefault(run.seed, []).append(ratio)
    return {seed: statistics.geometric_mean(values) for seed, values in ratios.items()}


def _curves(control: Mapping[float, Sequence[Run]], speeds: Mapping[int, float]) -> dict[int, ControlCurve]:
    """The control's curve on each seed that has two horizons."""
    runs = [run for horizon in sorted(control) for run in control[horizon]]
    curves = {}
    for seed, speed in speeds.items():
        own = [run for run in runs if run.seed == seed]
        if len({run.solo_seconds for run in own}) > 1:
            curves[seed] = ControlCurve.fit([run.solo_seconds * speed for run in own], [run.loss for run in own])
    return curves


def _comparisons(runs: Sequence[Run], curves: Mapping[int, ControlCurve], time: Time) -> tuple[SeedComparison, ...]:
    ordered = sorted(runs, key=lambda run: run.seed)
    return tuple(
        compare(run.seed, curves[run.seed], _seconds(run, time), run.loss) for run in ordered if run.seed in curves
    )


def _seconds(run: Run, time: Time) -> float:
    return run.measured_seconds if time == "measured" and run.measured_seconds else run.solo_seconds


def _p(comparisons: Sequence[SeedComparison], seeds: int) -> float:
    """One-sided p over all seeds; 1 where one is missing, or a schedule could win by failing on its worst seed."""
    values = [c.lower_loss for c in comparisons if c.lower_loss is not None]
    return p_value(values) if len(values) == seeds else 1.0


def wins(p_corrected: float, gain: float | None, bound: Bound) -> bool:
    """Sure enough, and by a gain that does not read 1.00 (a bound from below may: it is better than any control)."""
    return p_corrected <= ALPHA and (gain is None or bound == "at least" or round(gain, 2) > 1)


def _merit(candidate: CandidateVerdict) -> tuple[float, float]:
    return candidate.gain or 0.0, candidate.lower_loss or 0.0


def _candidate(
    candidate: Candidate,
    runs: Sequence[Run],
    comparisons: tuple[SeedComparison, ...],
    p: float,
    p_corrected: float,
    seeds: Sequence[int],
    time: Time,
) -> CandidateVerdict:
    gain = gain_over_seeds(comparisons)
    lower = sorted(c.lower_loss for c in comparisons if c.lower_loss is not None)
    return CandidateVerdict(
        number=candidate.number,
        policy=candidate.policy,
        horizon=candidate.horizon,
        knobs=dict(candidate.knobs),
        seeds=len(comparisons),
        gain=gain.value,
        bound=gain.bound,
        interval=gain.interval,
        bootstrap_interval=gain.bootstrap,
        lower_loss=math.fsum(lower) / len(lower) if lower else None,
        lower_loss_interval=t_interval(np.array(lower)) or (None, None),
        p=p,
        p_corrected=p_corrected,
        wins=wins(p_corrected, gain.value, gain.bound),
        loss=_mean(run.loss for run in runs),
        seconds=statistics.median(_seconds(run, time) for run in runs) if runs else None,
        reached=sum(run.to_target is not None for run in runs),
        seconds_to_target=_median_reached([_to_target(run, time) for run in runs], len(seeds)),
        predicted_over_measured=_predicted(runs),
        note=_note(comparisons, gain, seeds),
        per_seed=comparisons,
    )


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return math.fsum(known) / len(known) if known else None


def _to_target(run: Run, time: Time) -> float | None:
    """Seconds to the target; a solo time along a run is scaled as the whole run was."""
    return None if run.to_target is None else run.to_target * _seconds(run, time) / run.solo_seconds


def _median_reached(seconds: Sequence[float | None], seeds: int) -> float | None:
    """The median over seeds where one that missed is longer than any; None where it is such a one."""
    reached = sorted(value for value in seconds if value is not None)
    # Of an even number the upper middle: half of a known and an unknown time would be no time at all.
    return reached[seeds // 2] if seeds // 2 < len(reached) else None


def _predicted(runs: Sequence[Run]) -> float | None:
    ratios = [run.solo_seconds / run.measured_seconds for run in runs if run.measured_seconds]
    return statistics.median(ratios) if ratios else None


def _note(comparisons: Sequence[SeedComparison], gain: Gain, seeds: Sequence[int]) -> str:
    compared = {c.seed for c in comparisons if c.lower_loss is not None}
    if missing := [seed for seed in seeds if seed not in {c.seed for c in comparisons}]:
        return f"it or the control did not finish on seeds {missing}"
    if outside := [seed for seed in seeds if seed not in compared]:
        return f"it trained far longer or shorter than any control on seeds {outside}"
    if any(c.gain is None for c in comparisons):
        return "the control's loss does not fall with time on every seed"
    if gain.value is None:
        return "its loss is below all of the control's on some seeds and above them on others"
    return {
        "": "",
        "at least": "its loss is below any control's on some seeds",
        "at most": "its loss is above any control's on some seeds",
    }[gain.bound]


def _control(
    control: Mapping[float, Sequence[Run]],
    curves: Mapping[int, ControlCurve],
    speeds: Mapping[int, float],
    time: Time,
    seeds: Sequence[int],
) -> ControlVerdict:
    # d(loss)/d(log seconds) at the longest run; one per cent more time is 0.01 of a logarithm.
    rates = np.sort([-0.01 * curve.slope for curve in curves.values()])
    quickest = {seed: _quickest(control, seed, time) for seed in speeds}
    return ControlVerdict(
        runs=tuple(_control_run(horizon, runs, time) for horizon, runs in sorted(control.items()) if runs),
        loss_per_percent=_mean(rates.tolist()),
        loss_per_percent_interval=t_interval(rates) or (None, None),
        reached=sum(value is not None for value in quickest.values()),
        seconds_to_target=_median_reached(list(quickest.values()), len(seeds)),
    )


def _quickest(control: Mapping[float, Sequence[Run]], seed: int, time: Time) -> float | None:
    times = (_to_target(run, time) for runs in control.values() for run in runs if run.seed == seed)
    return min((value for value in times if value is not None), default=None)


def _control_run(horizon: float, runs: Sequence[Run], time: Time) -> ControlRun:
    return ControlRun(
        horizon=horizon,
        seeds=len(runs),
        seconds=statistics.median(_seconds(run, time) for run in runs),
        loss=math.fsum(run.loss for run in runs) / len(runs),
        reached=sum(run.to_target is not None for run in runs),
        predicted_over_measured=_predicted(runs),
    )
