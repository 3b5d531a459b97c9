"""What the own control takes to any loss: a line through its runs, extended beyond both ends.

A sampler has to be told what every trial was worth, also one whose loss the control never had. So
beyond its ends the line goes on as between the last two runs; a verdict reads nothing there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuning.trial.line import Line, between
from tuning.trial.outcome import Outcome

FARTHEST = 3.0
"""Beyond an end the logarithm of the seconds goes no farther: a factor of 20."""


@dataclass(frozen=True)
class ControlLine:
    """The own control's line: logarithms of solo seconds by loss, linear between its runs.

    Attributes:
        losses: ascending, at least two.
        log_seconds: the logarithms of the seconds at those losses, descending.
    """

    losses: tuple[float, ...]
    log_seconds: tuple[float, ...]

    @classmethod
    def through(cls, runs: Sequence[Outcome]) -> ControlLine | None:
        """The line through the front of finished runs; None where fewer than two are on it."""
        points = [
            (run.train_seconds, run.val_loss)
            for run in runs
            if run.state == "finished" and run.train_seconds and run.val_loss is not None
        ]
        sound = [p for p in points if math.isfinite(p[0]) and math.isfinite(p[1]) and p[0] > 0]
        if not sound:
            return None
        seconds, losses = (np.array(column, dtype=float) for column in zip(*sound, strict=True))
        line = Line.through(seconds, losses)
        # Once each: equal runs are all on the line, and between two of them there is no slope.
        pairs = dict(zip(line.losses.tolist(), line.seconds.tolist(), strict=True))
        if len(pairs) < 2:
            return None
        return cls(tuple(pairs), tuple(math.log(each) for each in pairs.values()))

    def log_gain(self, seconds: float, loss: float) -> float:
        """The logarithm of the control's seconds at ``loss`` over ``seconds``."""
        return self._at(loss) - math.log(max(seconds, 1e-300))

    def _at(self, loss: float) -> float:
        if loss < self.losses[0]:
            return self.log_seconds[0] + self._beyond(0, 1, self.losses[0] - loss)
        if loss > self.losses[-1]:
            return self.log_seconds[-1] - self._beyond(-2, -1, loss - self.losses[-1])
        return between(loss, self.losses, self.log_seconds)

    def _beyond(self, lower: int, upper: int, distance: float) -> float:
        """By how much the log of the seconds changes within ``distance`` of an end, with the slope
        between two runs.
        """
        width = self.losses[upper] - self.losses[lower]
        height = self.log_seconds[lower] - self.log_seconds[upper]
        slope = height / width
        # Where the slope overflows, as between tiny losses, the share of the width does not.
        rise = slope * distance if math.isfinite(slope) else height * (distance / width)
        return min(rise, FARTHEST)
