"""Early stopping with two objectives: a trial ends where it cannot plausibly reach the front any
more. Pure.

How long a trial will train is known from the start, its horizon h, so its end can only lie on the
front if its final loss is below F, the least of the trials that took no longer. Its loss still
falls until then, and the control shows how far: with c(h, v) the loss of full_update after a
fraction v of the horizon h, in between the control's runs, a trial is ahead of or behind the
control *at the same solo seconds* by its excess

    e(v) = loss(v) − c(h, v),     at its end  E = final loss − c(h, 1)

and it is behind for good if it does not make up for the excess. What part of it others made up for
is their score

    score = max over the evaluations at v in [FIRST, LAST] of (e(v) − E) / (max(e(v), 0) + σ(h))
    (1)

with σ(h) = ``NOISE`` · (c(h, FIRST) − c(h, 1)), so that next to no excess is not divided by. A
trial that is to be judged is taken to be exchangeable with the n trials before it whose score is
known, so its own exceeds q, the ⌈(n + 1)·P⌉-th smallest of theirs, with a probability of at most 1
− P (split conformal prediction with a locally weighted score: Lei et al. 2018, arXiv 1604.04173,
sections 2.2 and 5.2). It is stopped at its first evaluation with

    e(v) − q · (max(e(v), 0) + σ(h)) > F − c(h, 1)
    (2)

that is, where even making up for as much as that would leave it above F. If it ended below F all
the same, then by (2) its score would exceed q. So the probability that a trial is stopped that
would have reached the front is at most 1 − P, over all its evaluations together and whatever the
shape of the curves: c and σ only decide how much is saved. With fewer than P / (1 − P) trials there
is no q, and nothing is stopped; nor is it where q >= 1, as nothing is beyond hope.

That is a share of all trials, and those that reach the front may be just the ones that make up for
most. So q is no less than the same quantile of the scores on the front so far, nor than the largest
of those while they are too few (label-conditional conformal prediction: Vovk et al. 2005, section
4.5): of the trials that belong there no more than 1 − P are stopped either, or 1 / (m + 1) where m
< P / (1 − P) are known.

A stopped trial has no score, and is no random choice: without it the others' scores would be too
small. So one in ``SAMPLED`` of the trials that would be stopped trains on to its end, drawn by its
number. It stands for all of them, by that weight in q (Horvitz and Thompson 1952; for conformal
prediction Tibshirani et al. 2019, arXiv 1904.06019), and shows how often the rule was wrong. Only
the ``NEWEST`` scores count, because what a sampler proposes changes as it learns; that it changes
at all is where exchangeability is an assumption.
"""

from __future__ import annotations

import bisect
import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tuning.findings.front import finished, numbers
from tuning.trial.dominance import Floats
from tuning.trial.trial import ASIDE, Limits, Origin, TrialRecord, TrialSpec

if TYPE_CHECKING:
    from tuning.config.config import SearchConfig
    from tuning.store.info import Target
    from tuning.store.store import Store

STOPPABLE: tuple[Origin, ...] = ("enqueued", "sampled")
CONTROL: tuple[Origin, ...] = ("baseline", "control")
FIRST, LAST = 0.2, 0.8
"""Fractions of a horizon between which trials are judged: before, a loss says little; after, little
is left to save.
"""
NOISE = 0.1
SAMPLED = 5
NEWEST = 256

GRID: Floats = np.linspace(FIRST, LAST, 13)


@dataclass(frozen=True)
class Control:
    """The control's losses c(h, v): linear in log h between its horizons, and in v between the
    points of ``GRID``.

    Beyond the shortest and the longest of its runs it follows the slope of the straight line fitted
    to all of them.

    Attributes:
        horizons: logarithms of the horizons, ascending, shape (runs,).
        losses: at each fraction of ``GRID`` and at the end, shape (runs, 14).
        slopes: of the line fitted to each column, shape (14,).
    """

    horizons: Floats
    losses: Floats
    slopes: Floats

    @classmethod
    def of(cls, runs: Iterable[TrialRecord], baseline_seconds: float) -> Control | None:
        """The losses of the control's finished runs, of two at one horizon those of the later one;
        None where there are no runs.
        """
        rows = {math.log(run.recipe.horizon): _row(run, baseline_seconds) for run in runs}
        if not rows:
            return None
        horizons = np.array(sorted(rows))
        losses = np.array([rows[horizon] for horizon in sorted(rows)])
        off = horizons - horizons.mean()
        # A single horizon has no slope: 0 / 1.
        return cls(horizons, losses, off @ losses / (float(off @ off) or 1.0))

    def at(self, horizon: float) -> Floats:
        """c(horizon, v) at each v of ``GRID`` and at the end, shape (14,)."""
        there = math.log(horizon)
        inside = min(max(there, self.horizons[0]), self.horizons[-1])
        between = np.array([np.interp(inside, self.horizons, column) for column in self.losses.T])
        return np.asarray(between + self.slopes * (there - inside))


class Staircase:
    """The least loss of the trials that took no longer than given seconds."""

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._losses: list[float] = []

    def add(self, seconds: float, loss: float) -> None:
        """Enter a trial that has finished."""
        if loss >= self.least(seconds):
            return
        first = last = bisect.bisect_left(self._seconds, seconds)
        while last < len(self._losses) and self._losses[last] >= loss:
            last += 1
        self._seconds[first:last], self._losses[first:last] = [seconds], [loss]

    def least(self, seconds: float) -> float:
        """The least loss of the trials that took at most ``seconds``; infinite where there is
        none.
        """
        place = bisect.bisect_right(self._seconds, seconds)
        return self._losses[place - 1] if place else math.inf


class Stopping:
    """The rule of one search: told of every trial that is over, it gives each new one its limits.

    Args:
        confidence: P in (0, 1): a trial that would reach the front is stopped with a probability of
            at most 1 − P.
        seed: the search's; with a trial's number it decides whether the trial is let run on.
        baseline_seconds: solo seconds of a horizon of 1.0.
        good_enough: a final loss; a trial that may end at or below it is not stopped, even where it
            cannot reach the front.
        ends: seconds and loss of each trial that has finished.
        records: records of finished trials that are needed: the control's, and those of the
            ``NEWEST`` that could have been stopped.
    """

    def __init__(
        self,
        confidence: float,
        *,
        seed: int,
        baseline_seconds: float,
        good_enough: float = -math.inf,
        ends: Iterable[tuple[float, float]] = (),
        records: Iterable[TrialRecord] = (),
    ) -> None:
        self._confidence, self._seed, self._good_enough = confidence, seed, good_enough
        self._baseline_seconds = baseline_seconds
        self._front = Staircase()
        self._runs: dict[int, TrialRecord] = {}
        self._control: Control | None = None
        self._judged: dict[int, TrialRecord] = {}
        self._scores: dict[int, float] = {}
        for seconds, loss in ends:
            self._front.add(seconds, loss)
        for record in sorted(records, key=lambda each: each.number):
            self.tell(record)

    def tell(self, record: TrialRecord) -> None:
        """Take note of a trial that is over."""
        if (
            record.state != "finished"
            or record.val_loss is None
            or record.train_seconds is None
            or not record.curve
        ):
            return
        if record.origin not in ASIDE:
            self._front.add(record.train_seconds, record.val_loss)
        if record.origin in CONTROL:
            self._runs[record.number] = record
            self._control = Control.of(
                map(self._runs.__getitem__, sorted(self._runs)), self._baseline_seconds
            )
            # Every score is relative to the control, which has just changed.
            self._score(self._judged.values())
        elif record.origin in STOPPABLE:
            self._judged[record.number] = record
            self._score([record])
            self._forget()

    @property
    def quantile(self) -> float | None:
        """The q of equation (2); None while too few trials are known."""
        every = conformal_quantile(
            [self._weighted(number) for number in self._scores], self._confidence
        )
        if every is None:
            return None
        members = [
            self._weighted(number)
            for number in self._scores
            if self._on_front(self._judged[number])
        ]
        there = conformal_quantile(members, self._confidence)
        # Too few on the front for a quantile: then the worst of them, so that none like it is
        # stopped.
        q = max(every, max(members, default=(-math.inf, 0))[0] if there is None else there)
        return q if math.isfinite(q) else None

    def limits(self, spec: TrialSpec) -> Limits | None:
        """The limits of a new trial; None where it is not to be stopped, or too little is known to
        judge it.
        """
        seconds = spec.recipe.horizon * self._baseline_seconds
        q, front = self.quantile, max(self._front.least(seconds), self._good_enough)
        if (
            spec.origin not in STOPPABLE
            or self._control is None
            or q is None
            or q >= 1
            # No trial has ended in as little time, so that any end is on the front.
            or math.isinf(front)
        ):
            return None
        *losses, final = self._control.at(spec.recipe.horizon)
        noise = NOISE * (losses[0] - final)
        if noise <= 0:
            return None
        # Equation (2) solved for e(v), which has the sign of lead as q < 1: below 0 the maximum
        # drops out, else (1 − q) · e(v) is left.
        lead = float(front - final + q * noise)
        excess = lead if lead < 0 else lead / (1 - q)
        highest = [float(loss + excess) for loss in losses]
        return Limits(
            tuple((GRID * seconds).tolist()), tuple(highest), runs_on(self._seed, spec.number)
        )

    def _score(self, records: Iterable[TrialRecord]) -> None:
        if self._control is not None:
            for record in records:
                self._scores[record.number] = score(record, self._control, self._baseline_seconds)

    def _forget(self) -> None:
        if len(self._judged) > NEWEST:
            oldest = min(self._judged)
            del self._judged[oldest]
            self._scores.pop(oldest, None)

    def _weighted(self, number: int) -> tuple[float, int]:
        return self._scores[number], 1 if self._judged[
            number
        ].would_stop_at_step is None else SAMPLED

    def _on_front(self, record: TrialRecord) -> bool:
        seconds, loss = record.train_seconds, record.val_loss
        return seconds is not None and loss is not None and loss <= self._front.least(seconds)


def score(record: TrialRecord, control: Control, baseline_seconds: float) -> float:
    """The score of a finished trial by equation (1). It is −∞ where the trial cannot be stopped,
    because it lacks evaluations or σ is not above 0.
    """
    fractions, losses = _curve(record, baseline_seconds)
    *along, final = control.at(record.recipe.horizon)
    noise = NOISE * (along[0] - final)
    judged = (fractions >= FIRST) & (fractions <= LAST)
    if noise <= 0 or record.val_loss is None:
        return -math.inf
    excess = (losses - np.interp(fractions, GRID, along))[judged]
    made_up = excess - (record.val_loss - final)
    return float(np.max(made_up / (np.maximum(excess, 0) + noise), initial=-math.inf))


def conformal_quantile(weighted: Sequence[tuple[float, int]], confidence: float) -> float | None:
    """The least score at or below which lies a share ``confidence`` of the total weight of all
    scores and one more; None where there are too few scores.

    Args:
        weighted: (score, weight) of each trial.
        confidence: P in (0, 1).

    >>> [conformal_quantile([(n, 1) for n in range(m)], 0.95) for m in (19, 18)]
    [18, None]
    """
    needed = (
        confidence * (sum(weight for _, weight in weighted) + 1) - 1e-9
    )  # 0.95 · 20 is not to be 19 and a bit
    below = 0
    for value, weight in sorted(weighted):
        below += weight
        if below >= needed:
            return value
    return None


def runs_on(seed: int, number: int) -> bool:
    """Whether a trial is the one in ``SAMPLED`` that no limit stops."""
    # A digest, as hash() of a text differs from process to process.
    digest = hashlib.blake2b(f"{seed} {number}".encode(), digest_size=8).digest()
    # By number and seed alone, so that an interrupted search checks the trials that it would have.
    return int.from_bytes(digest, "big") % SAMPLED == 0


def _curve(record: TrialRecord, baseline_seconds: float) -> tuple[Floats, Floats]:
    """Fractions of the horizon and losses of a trial's evaluations, each of shape
    (evaluations,).
    """
    seconds = np.array([point.train_seconds for point in record.curve])
    return seconds / (record.recipe.horizon * baseline_seconds), np.array(
        [point.val_loss for point in record.curve]
    )


def _row(run: TrialRecord, baseline_seconds: float) -> Floats:
    """A run's losses at each fraction of ``GRID`` and at its end, shape (14,). Between evaluations
    they are linear in the log of time.
    """
    fractions, losses = _curve(run, baseline_seconds)
    return np.append(np.interp(np.log(GRID), np.log(fractions), losses), losses[-1])


COLUMNS = ("number", "state", "origin", "train_seconds", "val_loss")


def stopping_of(
    store: Store, config: SearchConfig, target: Target, baseline_seconds: float
) -> Stopping | None:
    """The rule of the run's search, told of the run's records; None where trials are not to be
    stopped.
    """
    if config.stop_confidence is None:
        return None
    trials = finished(store.frame(COLUMNS))
    judged = trials["number"][trials["origin"].isin(STOPPABLE)].nlargest(NEWEST)
    control = trials["number"][trials["origin"].isin(CONTROL)]
    # A trial may be the first to reach the target although its end does not reach the front.
    good_enough = target.loss if config.objective == "time-to-quality" else -math.inf
    return Stopping(
        config.stop_confidence,
        seed=config.seed,
        baseline_seconds=baseline_seconds,
        good_enough=good_enough,
        ends=zip(
            numbers(trials, "train_seconds").tolist(),
            numbers(trials, "val_loss").tolist(),
            strict=True,
        ),
        records=store.records({*judged.tolist(), *control.tolist()}),
    )
