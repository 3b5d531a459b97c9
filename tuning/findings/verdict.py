"""A verdict as data: which schedule beats training for less, by how much, how sure.

``verdict.json`` in a run directory is ``Verdict.to_json``: the attributes of the classes below by
their names, times in seconds, losses in the workload's unit, None as null, and ``format``, which is
raised when a key changes its meaning. A reader that wants one line takes ``sentence``; ``winner``
is a trial's number or null; each of ``candidates`` has its ``gain`` with ``interval``,
``p_corrected`` and ``wins``; ``control`` has the runs that it was compared with.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from tuning.findings import format as form
from tuning.findings.paired import Bound, SeedComparison
from tuning.layout import VERDICT
from tuning.trial.built import built
from tuning.trial.metric import LOSS, Metric
from tuning.trial.recipe import ControlKind, Recipe, flat
from tuning.trial.record import seconds_to_quality
from tuning.trial.trial import TrialRecord

FORMAT = 1
ALPHA = 0.008
"""A schedule wins at this p, corrected for all that were tested. Below 0.01, because at most one
confirmation in a hundred may call a false win and losses are not exactly normal
(``benchmarks.truth.verdict``)."""

Interval = tuple[float | None, float | None]
Time = Literal["measured", "solo"]


@dataclass(frozen=True)
class Run:
    """One finished confirmation run.

    Attributes:
        solo_seconds: what the clock predicts.
        measured_seconds: what its training took, alone on the device; None if that was not
            measured.
        loss: the final validation loss.
        to_target: solo seconds of its first evaluation at or below the target; None where it is
            censored.
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
    recipe: Recipe


@dataclass(frozen=True)
class Against:
    """What the seeds say about one schedule beside a rival of the own control.

    Attributes as in ``CandidateVerdict``; p is corrected for the schedules held against this rival.
    """

    seeds: int
    gain: float | None
    bound: Bound
    interval: Interval
    lower_loss: float | None
    lower_loss_interval: Interval
    p: float
    p_corrected: float
    wins: bool
    note: str


@dataclass(frozen=True)
class CandidateVerdict:
    """What the seeds say about one schedule.

    Attributes:
        number, recipe: as in ``Candidate``.
        seeds: on how many it and the control finished.
        gain, bound, interval, bootstrap_interval: as ``paired.Gain``.
        solo_gain, solo_interval: the same gain by the clock's seconds, which do not stray; beside
            it one sees whether losses or the machine make the interval wide. None for a bound.
        lower_loss, lower_loss_interval: mean of the loss by which it is better than the control at
            equal time, 95 %.
        p, p_corrected: one-sided, that it is no better; as it is, and by Holm for all that were
            tested.
        wins: p_corrected is at most ``ALPHA``, and the gain does not read 1.00.
        loss, seconds: mean final loss, median seconds.
        val_metric: the mean final value of the metric, in its own sign.
        reached: on how many seeds it met the target.
        seconds_to_target: median over seeds, a seed that missed counting as longer than any; None
            where that decides.
        predicted_over_measured: median of solo over measured seconds; None where nothing was
            measured.
        note: why it could not be judged in full; empty when it could.
        per_seed: the comparisons.
        over: the same beside the tuned and the smaller control, by name, where the search has one;
            everything above is beside the own control.
    """

    number: int
    recipe: Recipe
    seeds: int
    gain: float | None
    bound: Bound
    interval: Interval
    bootstrap_interval: Interval
    solo_gain: float | None
    solo_interval: Interval
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
    val_metric: float | None = None
    over: Mapping[ControlKind, Against] = field(default_factory=dict)


@dataclass(frozen=True)
class ControlRun:
    """The control at one horizon, over seeds; attributes as in ``CandidateVerdict``."""

    horizon: float
    seeds: int
    seconds: float
    loss: float
    reached: int
    predicted_over_measured: float | None
    val_metric: float | None = None


@dataclass(frozen=True)
class ControlVerdict:
    """What full_update does when it trains for less.

    Attributes:
        runs: by horizon, ascending.
        loss_per_percent: the exchange rate, how much lower the loss is for one per cent more time
            at the longest horizon; mean over seeds.
        loss_per_percent_interval: 95 %.
        reached, seconds_to_target: as in ``CandidateVerdict``, of the quickest horizon on each
            seed.
        time_spread: standard deviation of the logarithm of measured over solo seconds. All of the
            control's steps cost the same, so this is what the machine strayed by; None where
            nothing was measured.
    """

    runs: tuple[ControlRun, ...]
    loss_per_percent: float | None
    loss_per_percent_interval: Interval
    reached: int
    seconds_to_target: float | None
    time_spread: float | None


@dataclass(frozen=True)
class RivalVerdict:
    """The tuned or the smaller control that schedules were held against.

    Attributes:
        number, recipe: of the search's trial whose knobs it has, as in ``Candidate``.
        runs: by horizon, ascending.
        over_own: what it gains over the own control at the first of them.
    """

    number: int
    recipe: Recipe
    runs: tuple[ControlRun, ...]
    over_own: Against


@dataclass(frozen=True)
class Verdict:
    """The whole answer.

    Attributes:
        sentence: the verdict in one sentence.
        winner: number of the winning schedule with the highest gain, or None.
        alpha: the p at which a schedule wins.
        tested: for how many schedules p is corrected, those of earlier confirmations of the run
            included.
        seeds: the fresh seeds.
        target_loss: the loss whose time is told.
        time: whether seconds are measured ones or, where some were not measured, the clock's.
        candidates: in the order of their picking.
        metric: what a loss is the value of; losses here are what is minimised.
        rivals: the other controls, by name.
        behind: those of them that were not trained again, by the trial that gained most of them in
            the search: it gained nothing there, and every schedule far more.
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
    metric: Metric = LOSS
    format: int = FORMAT
    rivals: Mapping[ControlKind, RivalVerdict] = field(default_factory=dict)
    behind: Mapping[ControlKind, int] = field(default_factory=dict)

    @cached_property
    def power(self) -> int | None:
        """The power of ten in whose steps losses are shown, so that those that differ look it."""
        losses = [*(c.loss for c in self.candidates), *(run.loss for run in self.control.runs)]
        return form.told_apart([*losses, self.target_loss])

    def shown(self, loss: float | None) -> str:
        """A loss as it is shown to a reader."""
        return form.loss(loss, self.power, self.metric)

    def apart(self, by: float) -> str:
        """By how much two losses differ, as it is shown to a reader; without a sign."""
        last = form.last_digit(self.metric.of(self.target_loss), self.power)
        return form.difference(by, last)

    def to_json(self) -> str:
        """JSON text; the same for the same verdict to the last byte."""
        return json.dumps(self.as_json(), indent=2, allow_nan=False) + "\n"

    def as_json(self) -> dict[str, Any]:
        """The verdict as JSON values."""
        data = dataclasses.asdict(self)
        candidates = [flat(candidate) for candidate in data["candidates"]]
        rivals = {kind: flat(rival) for kind, rival in data["rivals"].items()}
        return data | {"candidates": candidates, "rivals": rivals}


def run_of(record: TrialRecord, target: float) -> Run | None:
    """The run that a replicate's record tells of; None where it did not finish."""
    if record.state != "finished" or record.val_loss is None or not record.train_seconds:
        return None
    to_target = seconds_to_quality(record.curve, target)
    return Run(
        record.seed, record.train_seconds, record.measured_seconds, record.val_loss, to_target
    )


def read_verdict(run: Path) -> tuple[Verdict | None, str]:
    """The verdict in RUN/verdict.json, or None with a remark on why it cannot be read (empty where
    there is none).
    """
    path = run / VERDICT
    try:
        return verdict_from_json(path.read_text(encoding="utf-8")), ""
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError, TypeError, KeyError) as error:
        return (
            None,
            f"{path} must hold a verdict that this version reads, but {error!r}; confirm again to "
            "renew it",
        )


def verdict_from_json(text: str) -> Verdict:
    """The inverse of ``Verdict.to_json``; keys that this version does not know are passed over.

    Raises:
        ValueError, TypeError, KeyError: the text is no such verdict, or one of another format.
    """
    data = json.loads(text)
    if data["format"] != FORMAT:
        raise ValueError(f"its format is {data['format']}, and {FORMAT} is read")
    return built(Verdict, data, others=True)
