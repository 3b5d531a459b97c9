"""From confirmation runs to a verdict. Pure.

``docs/decisions/verdict.md`` says why it is done like this.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tuning.findings.paired import (
    Bound,
    ControlCurve,
    Gain,
    SeedComparison,
    compare,
    gain_over_seeds,
    holm,
    only_counts,
    p_value,
    sign_p,
    t_interval,
)
from tuning.findings.verdict import (
    ALPHA,
    Candidate,
    CandidateVerdict,
    ControlRun,
    ControlVerdict,
    Run,
    Time,
    Verdict,
)
from tuning.findings.verdict_words import sentence
from tuning.trial.metric import LOSS, Metric


def judge(
    candidates: Sequence[tuple[Candidate, Sequence[Run]]],
    control: Mapping[float, Sequence[Run]],
    *,
    seeds: Sequence[int],
    target: float,
    tested: int | None = None,
    metric: Metric = LOSS,
    time: Time = "measured",
) -> Verdict:
    """The verdict on ``candidates`` with their runs, against the control's runs by horizon.

    Args:
        candidates: with their runs, in the order in which they are to be reported.
        control: full_update's runs by horizon, at least two horizons.
        target: the loss whose time is told.
        seeds: the fresh seeds that were asked for; a run that is missing on one of them did not
            finish.
        tested: see ``paired.holm``.
        metric: what a loss is the value of.
        time: the seconds by which to judge; the clock's where some were not measured.
    """
    every = [*(runs for _, runs in candidates), *control.values()]
    measured = all(run.measured_seconds for runs in every for run in runs)
    time = time if measured else "solo"
    curves = curves_of(control, time)
    solo_curves = curves_of(control, "solo")
    seen = [comparisons_of(runs, curves, time) for _, runs in candidates]
    solo = [gain_over_seeds(comparisons_of(runs, solo_curves, "solo")) for _, runs in candidates]
    ps = [p_of(comparisons, curves, len(seeds)) for comparisons in seen]
    corrected = holm(ps, tested)
    terms = Terms(seeds, time, metric)
    judged = tuple(
        _candidate(candidate, runs, comparisons, by_clock, both, terms)
        for (candidate, runs), comparisons, by_clock, both in zip(
            candidates, seen, solo, zip(ps, corrected, strict=True), strict=True
        )
    )
    winner = max((c for c in judged if c.wins), key=_merit, default=None)
    found = Verdict(
        sentence="",
        winner=None if winner is None else winner.number,
        alpha=ALPHA,
        tested=max(tested or 0, len(judged)),
        seeds=tuple(seeds),
        target_loss=target,
        time=time,
        candidates=judged,
        control=_control(control, curves, terms),
        metric=metric,
    )
    return replace(found, sentence=sentence(found))


@dataclass(frozen=True)
class Terms:
    """What holds for every schedule of a verdict: see ``Verdict``."""

    seeds: Sequence[int]
    time: Time
    metric: Metric


def _speeds(control: Mapping[float, Sequence[Run]], time: Time) -> dict[int, float]:
    """The ratio of measured to solo seconds of the control, by seed.

    The control takes full steps only, so all of its runs on a seed measure one number, the cost of
    a full step at the time, and together they measure it better than each run alone.
    """
    ratios: dict[int, list[float]] = {}
    for run in (run for runs in control.values() for run in runs):
        ratio = (
            run.measured_seconds / run.solo_seconds
            if time == "measured" and run.measured_seconds
            else 1.0
        )
        ratios.setdefault(run.seed, []).append(ratio)
    return {seed: statistics.geometric_mean(values) for seed, values in ratios.items()}


def curves_of(control: Mapping[float, Sequence[Run]], time: Time) -> dict[int, ControlCurve]:
    """The control's curve, by seed, for seeds on which it was trained at two or more horizons."""
    runs = [run for horizon in sorted(control) for run in control[horizon]]
    curves = {}
    for seed, speed in _speeds(control, time).items():
        own = [run for run in runs if run.seed == seed]
        if len({run.solo_seconds for run in own}) > 1:
            curves[seed] = ControlCurve.fit(
                [run.solo_seconds * speed for run in own], [run.loss for run in own]
            )
    return curves


def comparisons_of(
    runs: Sequence[Run], curves: Mapping[int, ControlCurve], time: Time
) -> tuple[SeedComparison, ...]:
    """Each run beside the control's curve on its seed, by seed; without those that have none."""
    ordered = sorted(runs, key=lambda run: run.seed)
    return tuple(
        compare(run.seed, curves[run.seed], _seconds(run, time), run.loss)
        for run in ordered
        if run.seed in curves
    )


def _seconds(run: Run, time: Time) -> float:
    return run.measured_seconds if time == "measured" and run.measured_seconds else run.solo_seconds


def p_of(
    comparisons: Sequence[SeedComparison], curves: Mapping[int, ControlCurve], seeds: int
) -> float:
    """One-sided p over all seeds. It is 1 where a seed is missing: otherwise a schedule could win
    by failing on its worst seed.
    """
    values = [c.lower_loss for c in comparisons if c.lower_loss is not None]
    if len(values) < max(seeds, 2):
        return 1.0
    beside = [curves[c.seed] for c in comparisons]
    return sign_p(values) if only_counts(comparisons, beside) else p_value(values)


def wins(p_corrected: float, gain: float | None, bound: Bound) -> bool:
    """Whether a schedule wins: p is low enough, and the gain does not read 1.00. A bound from below
    may read 1.00, because the schedule is then better than the control ever was.
    """
    return p_corrected <= ALPHA and (gain is None or bound == "at least" or round(gain, 2) > 1)


def _merit(candidate: CandidateVerdict) -> tuple[float, float]:
    return candidate.gain or 0.0, candidate.lower_loss or 0.0


def _candidate(
    candidate: Candidate,
    runs: Sequence[Run],
    comparisons: tuple[SeedComparison, ...],
    by_clock: Gain,
    ps: tuple[float, float],
    terms: Terms,
) -> CandidateVerdict:
    gain, time, loss = gain_over_seeds(comparisons), terms.time, mean(run.loss for run in runs)
    # Sorted, as the last bit of a mean or a deviation depends on the order.
    lower = sorted(c.lower_loss for c in comparisons if c.lower_loss is not None)
    return CandidateVerdict(
        number=candidate.number,
        recipe=candidate.recipe,
        seeds=len(comparisons),
        gain=gain.value,
        bound=gain.bound,
        interval=gain.interval,
        bootstrap_interval=gain.bootstrap,
        solo_gain=None if by_clock.bound else by_clock.value,
        solo_interval=(None, None) if by_clock.bound else by_clock.interval,
        lower_loss=math.fsum(lower) / len(lower) if lower else None,
        lower_loss_interval=t_interval(np.array(lower)) or (None, None),
        p=ps[0],
        p_corrected=ps[1],
        wins=wins(ps[1], gain.value, gain.bound),
        loss=loss,
        seconds=statistics.median(_seconds(run, time) for run in runs) if runs else None,
        reached=sum(run.to_target is not None for run in runs),
        seconds_to_target=_median_reached(
            [_to_target(run, time) for run in runs], len(terms.seeds)
        ),
        predicted_over_measured=_predicted(runs),
        note=note_of(comparisons, gain, terms),
        per_seed=comparisons,
        val_metric=None if loss is None else terms.metric.of(loss),
    )


def mean(values: Iterable[float]) -> float | None:
    """The mean, the same to the last bit whatever the order; None where there are no values."""
    known = list(values)
    return math.fsum(known) / len(known) if known else None


def _to_target(run: Run, time: Time) -> float | None:
    """Seconds to the target, None where the run missed it. Solo seconds along a run are scaled as
    those of the whole run were.
    """
    return None if run.to_target is None else run.to_target * _seconds(run, time) / run.solo_seconds


def _median_reached(seconds: Sequence[float | None], seeds: int) -> float | None:
    """The median over seeds of the seconds to the target, where a seed that missed the target
    counts as longer than any other. None where such a seed is the median.
    """
    reached = sorted(value for value in seconds if value is not None)
    # The upper middle of an even number: the mean of a known and an unknown time is not known.
    return reached[seeds // 2] if seeds // 2 < len(reached) else None


def _predicted(runs: Sequence[Run]) -> float | None:
    ratios = [run.solo_seconds / run.measured_seconds for run in runs if run.measured_seconds]
    return statistics.median(ratios) if ratios else None


def note_of(comparisons: Sequence[SeedComparison], gain: Gain, terms: Terms) -> str:
    """Why a schedule could not be judged in full; empty where it could."""
    seeds, metric = terms.seeds, terms.metric
    compared = {c.seed for c in comparisons if c.lower_loss is not None}
    if missing := [seed for seed in seeds if seed not in {c.seed for c in comparisons}]:
        return f"it or the control did not finish on seeds {missing}"
    if outside := [seed for seed in seeds if seed not in compared]:
        return f"it trained far longer or shorter than any control on seeds {outside}"
    if any(c.gain is None for c in comparisons):
        return f"the control's {metric.short} does not get better with time on every seed"
    if gain.value is None:
        return (
            f"its {metric.short} is {metric.beyond} all of the control's on some seeds and "
            f"{metric.short_of} them on others"
        )
    where = "every seed" if all(c.bound for c in comparisons) else "some seeds"
    return {
        "": "",
        "at least": f"its {metric.short} is {metric.beyond} any control's on {where}",
        "at most": f"its {metric.short} is {metric.short_of} any control's on {where}",
    }[gain.bound]


def _control(
    control: Mapping[float, Sequence[Run]],
    curves: Mapping[int, ControlCurve],
    terms: Terms,
) -> ControlVerdict:
    time, seeds = terms.time, terms.seeds
    # d(loss)/d(log seconds) at the longest run; one per cent more time is 0.01 of a logarithm.
    rates = np.sort([-0.01 * curve.slope for curve in curves.values()])
    quickest = [_quickest(control, seed, time) for seed in seeds]
    return ControlVerdict(
        runs=tuple(
            control_run(horizon, runs, terms) for horizon, runs in sorted(control.items()) if runs
        ),
        loss_per_percent=mean(rates.tolist()),
        loss_per_percent_interval=t_interval(rates) or (None, None),
        reached=sum(value is not None for value in quickest),
        seconds_to_target=_median_reached(quickest, len(seeds)),
        time_spread=_time_spread(run for runs in control.values() for run in runs),
    )


def _time_spread(runs: Iterable[Run]) -> float | None:
    logs = sorted(
        math.log(run.measured_seconds / run.solo_seconds) for run in runs if run.measured_seconds
    )
    return statistics.stdev(logs) if len(logs) > 1 else None


def _quickest(control: Mapping[float, Sequence[Run]], seed: int, time: Time) -> float | None:
    times = (_to_target(run, time) for runs in control.values() for run in runs if run.seed == seed)
    return min((value for value in times if value is not None), default=None)


def control_run(horizon: float, runs: Sequence[Run], terms: Terms) -> ControlRun:
    """What the control's ``runs`` at one horizon, at least one of them, come to."""
    loss = math.fsum(run.loss for run in runs) / len(runs)
    return ControlRun(
        horizon=horizon,
        seeds=len(runs),
        seconds=statistics.median(_seconds(run, terms.time) for run in runs),
        loss=loss,
        reached=sum(run.to_target is not None for run in runs),
        predicted_over_measured=_predicted(runs),
        val_metric=terms.metric.of(loss),
    )
