"""How a front is read: at a target, beside the control, with what can and can not be said. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from tuning.errors import BadInput
from tuning.findings import format as form
from tuning.findings.context import Background
from tuning.findings.front import (
    _by_seconds,
    control,
    finished,
    front,
    numbers,
)
from tuning.findings.gains import Bests, Controls, ahead, gained
from tuning.layout import resume_command
from tuning.trial.line import Line
from tuning.trial.metric import LOSS, Metric
from tuning.trial.trial import AGAIN, ASIDE, RUNG


def time_to_quality(points: pd.DataFrame, target: float) -> float | None:
    """The least ``train_seconds`` of points whose ``val_loss`` is at or below ``target``; None
    where there is no such point.
    """
    reached = numbers(points, "train_seconds")[numbers(points, "val_loss") <= target]
    return float(reached.min()) if len(reached) else None


@dataclass(frozen=True)
class FrontSummary:
    """What the front says at the target.

    Attributes:
        front: see ``front``.
        control: see ``control``.
        others: finished trials on neither, by number.
        controls: the lines through the controls' runs.
        bests: the recipe that gains most over the own control, and the rivals that do.
        target: the loss at which the front is read, or None.
        front_seconds: time to quality of the front at the target; None when no finished trial
            reached it.
        control_seconds: the same of the control.
        gain: ``control_seconds / front_seconds``, at least 1; None with ``no_gain`` saying why.
        line_gain: as ``gain``, with the control's seconds read off the line between its runs. The
            control is a grid of horizons, and part of ``gain`` may be no more than the distance to
            its next point.
        no_gain: why there is no gain, in words; None when there is one.
        finished, censored, stopped, failed: counts, replicates aside; censored: finished above the
            target.
        background: the noise and the confirmation that the trials are read against.
        looked: how many recipes were looked at for a short time, whatever became of them.
        checked, checked_on_front: trials that would have been stopped and were let run on, and how
            many of them are on the front.
        replicates: how many re-runs on other seeds there are, a confirmation's included, but not
            those that take a recipe apart on its own seed.
    """

    front: pd.DataFrame
    control: pd.DataFrame
    others: pd.DataFrame
    controls: Controls
    bests: Bests
    target: float | None
    front_seconds: float | None
    control_seconds: float | None
    gain: float | None
    line_gain: float | None
    no_gain: str | None
    finished: int
    censored: int
    stopped: int
    failed: int
    background: Background = field(default_factory=Background)
    replicates: int = 0
    looked: int = 0
    checked: int = 0
    checked_on_front: int = 0

    @property
    def metric(self) -> Metric:
        """What a loss is the value of."""
        return self.background.metric

    @property
    def line(self) -> Line:
        """The line through the own control."""
        return self.controls.own

    @property
    def winner(self) -> int | None:
        """The number of the recipe that gains most over the own control, where that reached the
        target. None where no recipe gains, and where the one that leads missed the target.
        """
        best = self.bests.recipe
        if best is None or self.target is None or best.row["val_loss"] > self.target:
            return None
        return best.number

    @cached_property
    def power(self) -> int | None:
        """The power of ten in whose steps losses are shown, so that those that differ look it."""
        known = pd.concat([self.front, self.control])
        return form.told_apart([*numbers(known, "val_loss").tolist(), self.target])

    def shown(self, loss: float | None) -> str:
        """A loss as it is shown to a reader."""
        return form.loss(loss, self.power, self.metric)

    def strays(self, deviation: float) -> str:
        """By how much losses vary, to be read beside losses as they are shown."""
        known = [self.target] if self.target is not None else numbers(self.control, "val_loss")
        last = None if not len(known) else form.last_digit(min(known), self.power)
        return form.strays(deviation, last)

    def apart(self, loss: float, other: float) -> str:
        """By how much two losses differ, to be read beside losses as they are shown."""
        return form.difference(other - loss, form.last_digit(self.metric.of(loss), self.power))

    def within_noise(self, seconds: float, loss: float) -> bool | None:
        """Whether another seed could reverse the order of a schedule and the control's line at its
        seconds. None where that is not known, and where the schedule is worse than any control.
        """
        noise, there = self.background.noise, self.line.loss_at(seconds)
        gain = gained(self.line, seconds, loss)
        if noise is None or there is None or gain is None or gain.bound == "at most":
            return None
        return noise.hides(loss, there)


def recorded_target(frame: pd.DataFrame) -> float | None:
    """The target loss that the newest trial with one was given, or None."""
    targets = numbers(frame, "target_loss")
    known = np.isfinite(targets)
    return (
        float(targets[known][np.argmax(numbers(frame, "number")[known])]) if known.any() else None
    )


def summary(
    frame: pd.DataFrame, target: float | None = None, background: Background | None = None
) -> FrontSummary:
    """Read the front at ``target``, by default the target recorded with the trials, against
    ``background``.
    """
    target = recorded_target(frame) if target is None else target
    members, shorter, competing = front(frame), control(frame), finished(frame)
    background = background or Background()
    controls, noise = Controls.of(frame), background.noise
    leaders = ahead(competing, controls, target, 0.0 if noise is None else noise.limit)
    shown = set(members["number"]) | set(shorter["number"])
    at_front = None if target is None else time_to_quality(members, target)
    at_control = None if target is None else time_to_quality(shorter, target)
    gain = at_control / at_front if at_control is not None and at_front else None
    line_gain = _line_gain(controls.own, target, at_front, gain)
    own = frame[~frame["origin"].isin(ASIDE)]
    return FrontSummary(
        front=members,
        control=shorter,
        others=competing[~competing["number"].isin(shown)]
        .sort_values("number")
        .reset_index(drop=True),
        controls=controls,
        bests=Bests.of(leaders, controls),
        target=target,
        front_seconds=at_front,
        control_seconds=at_control,
        gain=gain,
        line_gain=line_gain,
        no_gain=None
        if gain is not None
        else _why_no_gain(target, at_front, shorter, background.metric),
        finished=len(competing),
        censored=0 if target is None else int((numbers(competing, "val_loss") > target).sum()),
        stopped=int((own["state"] == "stopped").sum()),
        failed=int((own["state"] == "failed").sum()),
        background=background,
        replicates=_elsewhere(frame),
        looked=int((frame["origin"] == RUNG).sum()),
        checked=_checked(competing),
        checked_on_front=_checked(members),
    )


def _elsewhere(frame: pd.DataFrame) -> int:
    """How many re-runs there are on seeds that the search's own trials are not on."""
    again = frame["origin"].isin(AGAIN)
    seeds = numbers(frame, "seed")
    return int((again & ~np.isin(seeds, seeds[~again])).sum())


def fastest_at(points: pd.DataFrame, target: float) -> pd.Series | None:
    """The row with the least seconds whose loss is at or below ``target``; of several, the one with
    the lower loss, then the lower number. None where there is none.
    """
    reached = _by_seconds(points[numbers(points, "val_loss") <= target])
    return reached.iloc[0] if len(reached) else None


def _line_gain(
    line: Line, target: float | None, at_front: float | None, gain: float | None
) -> float | None:
    """The gain, with the control's seconds at ``target`` read off its line. Above the line's
    highest loss the shortest run is all there is, and ``gain`` is kept.
    """
    if target is None or not at_front or gain is None:
        return None
    there = line.seconds_at(target)
    return gain if there is None else there / at_front


def _why_no_gain(
    target: float | None, at_front: float | None, shorter: pd.DataFrame, metric: Metric
) -> str:
    if target is None:
        return "no target was given"
    if at_front is None:
        return f"no finished trial reached {form.loss(target, metric=metric)}"
    if shorter.empty:
        return "the run has no finished control (full_update with no lever pulled)"
    least = float(numbers(shorter, "val_loss").min())
    if least > target:
        aim, best = _both(target, least, metric)
        return f"the control never reached {aim} (its {metric.best} {metric.short} is {best})"
    return "the front's seconds at the target are zero"


def _both(loss: float, other: float, metric: Metric = LOSS) -> tuple[str, str]:
    """Two losses in as many digits as show that they differ."""
    power = form.told_apart([loss, other])
    return form.loss(loss, power, metric), form.loss(other, power, metric)


def _checked(trials: pd.DataFrame) -> int:
    """How many trials were let run on where they would have been stopped."""
    return int(np.isfinite(numbers(trials, "would_stop_at_step")).sum())


def read_front(
    run: Path, frame: pd.DataFrame, target: float | None, background: Background | None = None
) -> FrontSummary:
    """The front at ``target`` (by default the run's own), against ``background``.

    Raises:
        BadInput: nothing has finished, or no finished trial reached the target that was asked for.
    """
    reading = summary(frame, target, background)
    if not reading.finished:
        raise BadInput(
            f"a front needs a finished trial, but {run} has none ({reading.stopped} stopped, "
            f"{reading.failed} failed); go on with it by {resume_command(run)}"
        )
    if target is not None and reading.front_seconds is None:
        raise BadInput(unreached("--target", target, reading.front, reading.metric))
    return reading


def unreached(what: str, target: float, trials: pd.DataFrame, metric: Metric) -> str:
    """The fault of a target that none of the finished ``trials`` reached."""
    losses = numbers(trials, "val_loss")
    number = int(numbers(trials, "number")[losses.argmin()])
    aim, least = _both(target, float(losses.min()), metric)
    return (
        f"{what} must be {metric.one} that a finished trial reached, but got {aim} "
        f"and the {metric.best} is {least} (trial {number}); give --target "
        f"{form.no_better(float(losses.min()), metric)} or {metric.worse}, or search further"
    )
