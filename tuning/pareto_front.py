"""The front of training seconds against validation loss, and what is read off it.

Pure functions over the table of trials (one row a trial, the store's columns); seconds are solo seconds. A
trial enters by its *final* point alone: the losses along its curve were measured before its learning rate had
decayed, so no trial ever stopped there with that loss.

Whether a trial met the target does not decide whether it is on the front: the front is a statement about all
finished trials, the target is where it is read. ``docs/decisions/front-and-censoring.md`` says why.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from tuning.background import Background
from tuning.control import controls, is_control_row, levered

LONGEST_CONTROL = 1.0
AXES = ("train_seconds", "val_loss")

Floats = npt.NDArray[np.float64]


def numbers(frame: pd.DataFrame, column: str) -> Floats:
    """A column as floats, shape (rows,); NaN where it is null or absent."""
    if column not in frame.columns:
        return np.full(len(frame), np.nan)
    return np.asarray(pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float, na_value=np.nan))


def finished(frame: pd.DataFrame) -> pd.DataFrame:
    """The trials that compete: finished, no replicates, finite seconds and loss; in the frame's order."""
    seconds, losses = (numbers(frame, axis) for axis in AXES)
    own = (frame["state"] == "finished") & (frame["origin"] != "replicate")
    kept = frame[own.to_numpy(dtype=bool) & np.isfinite(seconds) & np.isfinite(losses)]
    return kept.assign(**{axis: numbers(kept, axis) for axis in AXES})


def nondominated(seconds: Floats, losses: Floats) -> npt.NDArray[np.bool_]:
    """Which of n finite points no other dominates, both axes minimised; shape (n,), O(n log n).

    One point dominates another when it is no worse on either axis and better on one, so equal points do not
    dominate each other: ties are kept, all of them.
    """
    if not len(seconds):
        return np.zeros(0, dtype=bool)
    order = np.lexsort((losses, seconds))
    ordered_seconds, ordered = seconds[order], losses[order]
    starts = np.r_[True, (np.diff(ordered_seconds) != 0) | (np.diff(ordered) != 0)]
    first_equal = np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))
    best_before = np.r_[np.inf, np.minimum.accumulate(ordered)[:-1]]
    kept = np.empty(len(order), dtype=bool)
    kept[order] = best_before[first_equal] > ordered
    return kept


def front(frame: pd.DataFrame) -> pd.DataFrame:
    """The non-dominated finished trials, control runs included and replicates aside.

    Returns:
        The rows on the front, by seconds, then loss, then number: the same whatever the order of ``frame``.
    """
    return _by_seconds(_front_of(finished(frame)))


def control(frame: pd.DataFrame) -> pd.DataFrame:
    """The finished runs of full_update at horizons up to 1 with no lever pulled, by seconds: training for less.

    A run counts whoever proposed it, so that a sampled full_update is never taken for a schedule that wins.
    """
    runs = finished(frame)
    shorter = numbers(runs, "horizon") <= LONGEST_CONTROL
    return _by_seconds(runs[controls(runs) & shorter])


def never_froze(points: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which of n schedules updated every block in every step and pulled no lever, shape (n,): full_update renamed."""
    plain = ~controls(points) & ~levered(points)
    return np.asarray(plain & (numbers(points, "mean_active_fraction") == 1.0))


def time_to_quality(points: pd.DataFrame, target: float) -> float | None:
    """The least ``train_seconds`` of points whose ``val_loss`` is at or below ``target``; None if none is."""
    reached = numbers(points, "train_seconds")[numbers(points, "val_loss") <= target]
    return float(reached.min()) if len(reached) else None


@dataclass(frozen=True)
class Line:
    """The line through the front of some points, linear between neighbours and never extended.

    Attributes:
        losses: ascending, shape (points on it,).
        seconds: at those losses, descending.
    """

    losses: Floats
    seconds: Floats

    @classmethod
    def through(cls, seconds: Floats, losses: Floats) -> Line:
        """The line through the front of n points, in any order; both of shape (n,)."""
        kept = nondominated(seconds, losses)
        order = np.lexsort((losses[kept], seconds[kept]))[::-1]
        return cls(losses[kept][order], seconds[kept][order])

    def seconds_at(self, loss: float) -> float | None:
        """Seconds at which the line passes ``loss``; None outside the losses that it covers."""
        if not len(self.losses) or not self.losses[0] <= loss <= self.losses[-1]:
            return None
        return float(np.interp(loss, self.losses, self.seconds))

    def loss_at(self, seconds: float) -> float | None:
        """The line's loss after ``seconds``, beyond either end that end's; None of no line."""
        if not len(self.losses):
            return None
        return float(np.interp(seconds, self.seconds[::-1], self.losses[::-1]))

    def gain(self, seconds: float, loss: float) -> float | None:
        """Seconds of the line at ``loss`` over ``seconds``; None where the line does not go."""
        there = self.seconds_at(loss)
        return None if there is None or seconds <= 0 else there / seconds


def line_through(points: pd.DataFrame) -> Line:
    """The line through the points' front."""
    return Line.through(*(numbers(points, axis) for axis in AXES))


@dataclass(frozen=True)
class FrontSummary:
    """What the front says at the target.

    Attributes:
        front: see ``front``.
        control: see ``control``.
        others: finished trials on neither, by number.
        line: the line through the control.
        target: the loss at which the front is read, or None.
        front_seconds: time to quality of the front at the target; None when no finished trial reached it.
        control_seconds: the same of the control.
        gain: ``control_seconds / front_seconds``, at least 1; None with ``no_gain`` saying why.
        line_gain: as ``gain``, with the control's seconds read off the line between its runs. The control is
            a grid of horizons, and part of ``gain`` may be no more than the distance to its next point.
        no_gain: why there is no gain, in words; None when there is one.
        winner: number of the schedule that beat training for less at the target, or None when none did. One that
            never froze a block is no winner: it is training for less.
        finished, censored, stopped, failed: counts, replicates aside; censored: finished above the target.
        background: the noise and the confirmation that the trials are read against.
        checked, checked_on_front: trials that would have been stopped and were let run on, and how many of them are on
            the front.
        replicates: how many re-runs on other seeds there are, a confirmation's included.
    """

    front: pd.DataFrame
    control: pd.DataFrame
    others: pd.DataFrame
    line: Line
    target: float | None
    front_seconds: float | None
    control_seconds: float | None
    gain: float | None
    line_gain: float | None
    no_gain: str | None
    winner: int | None
    finished: int
    censored: int
    stopped: int
    failed: int
    background: Background = field(default_factory=Background)
    replicates: int = 0
    checked: int = 0
    checked_on_front: int = 0

    def within_noise(self, seconds: float, loss: float) -> bool | None:
        """Whether another seed could turn a schedule and the control's line at its seconds round.

        None where that is not known, and where it has no gain.
        """
        noise, there = self.background.noise, self.line.loss_at(seconds)
        if noise is None or there is None or self.line.gain(seconds, loss) is None:
            return None
        return noise.hides(loss, there)


def recorded_target(frame: pd.DataFrame) -> float | None:
    """The target loss that the newest trial with one was given, or None."""
    targets = numbers(frame, "target_loss")
    known = np.isfinite(targets)
    return float(targets[known][np.argmax(numbers(frame, "number")[known])]) if known.any() else None


def summary(frame: pd.DataFrame, target: float | None = None, background: Background | None = None) -> FrontSummary:
    """Read the front at ``target``, by default the target recorded with the trials, against ``background``."""
    target = recorded_target(frame) if target is None else target
    members, shorter, competing = front(frame), control(frame), finished(frame)
    line = line_through(shorter)
    shown = set(members["number"]) | set(shorter["number"])
    at_front = None if target is None else time_to_quality(members, target)
    at_control = None if target is None else time_to_quality(shorter, target)
    gain = at_control / at_front if at_control is not None and at_front else None
    line_gain = _line_gain(line, target, at_front, gain)
    own = frame[frame["origin"] != "replicate"]
    return FrontSummary(
        front=members,
        control=shorter,
        others=competing[~competing["number"].isin(shown)].sort_values("number").reset_index(drop=True),
        line=line,
        target=target,
        front_seconds=at_front,
        control_seconds=at_control,
        gain=gain,
        line_gain=line_gain,
        no_gain=None if gain is not None else _why_no_gain(target, at_front, at_control, shorter),
        winner=_winner(members, target, gain, line_gain),
        finished=len(competing),
        censored=0 if target is None else int((numbers(competing, "val_loss") > target).sum()),
        stopped=int((own["state"] == "stopped").sum()),
        failed=int((own["state"] == "failed").sum()),
        background=background or Background(),
        replicates=len(frame) - len(own),
        checked=_checked(competing),
        checked_on_front=_checked(members),
    )


def fastest_at(points: pd.DataFrame, target: float) -> pd.Series | None:
    """The row with the least seconds at or below ``target``; ties: the lower loss, then the lower number."""
    reached = _by_seconds(points[numbers(points, "val_loss") <= target])
    return reached.iloc[0] if len(reached) else None


def _line_gain(line: Line, target: float | None, at_front: float | None, gain: float | None) -> float | None:
    """Gain with the control read off its line; above its highest loss the shortest run is all there is."""
    if target is None or not at_front or gain is None:
        return None
    there = line.seconds_at(target)
    return gain if there is None else there / at_front


def _winner(members: pd.DataFrame, target: float | None, gain: float | None, line_gain: float | None) -> int | None:
    """The fastest schedule at the target, if it lies left of the control's line as well as of its runs."""
    best = None if target is None else fastest_at(members, target)
    if best is None or is_control_row(best) or never_froze(best.to_frame().T)[0]:
        return None
    gains = [value for value in (gain, line_gain) if value is not None]
    # A gain that reads 1.00 is no gain.
    return int(best["number"]) if all(round(value, 2) > 1 for value in gains) else None


def _why_no_gain(target: float | None, at_front: float | None, at_control: float | None, shorter: pd.DataFrame) -> str:
    if target is None:
        return "no target was given"
    if at_front is None:
        return f"no finished trial reached {target:.4g}"
    if shorter.empty:
        return "the run has no finished control (full_update at horizons up to 1)"
    if at_control is None:
        lowest = numbers(shorter, "val_loss").min()
        return f"the control never reached {target:.4g} (its lowest loss is {lowest:.4g})"
    return "the front's seconds at the target are zero"


def _checked(trials: pd.DataFrame) -> int:
    """How many trials were let run on where they would have been stopped."""
    return int(np.isfinite(numbers(trials, "would_stop_at_step")).sum())


def _front_of(points: pd.DataFrame) -> pd.DataFrame:
    return points[nondominated(*(numbers(points, axis) for axis in AXES))]


def _by_seconds(points: pd.DataFrame) -> pd.DataFrame:
    return points.sort_values([*AXES, "number"]).reset_index(drop=True)
