"""The line through the front of some runs: what training for less takes to a loss. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuning.trial.dominance import Floats, nondominated


def between(x: float, xs: Sequence[float] | Floats, ys: Sequence[float] | Floats) -> float:
    """The value at ``x`` of the line through points (xs, ys), each of shape (points,), with xs
    ascending. The line is flat beyond its ends.

    >>> between(0.5, [0.0, 2.0], [4.0, 8.0]), between(1e-323, [0.0, 2e-323], [4.0, 8.0])
    (5.0, 6.0)
    """
    found = float(np.interp(x, xs, ys))
    if math.isfinite(found):
        return found
    # The points are so close that the slope between them overflows; shares do not.
    right = int(np.searchsorted(xs, x, side="right"))
    share = (x - xs[right - 1]) / (xs[right] - xs[right - 1])
    return float(ys[right - 1] + share * (ys[right] - ys[right - 1]))


def tried_for(best: float, longest: float, seconds: float) -> float:
    """Seconds for which a control did not have a loss below all of its own, as far as they count
    beside a run of ``seconds``.

    >>> tried_for(5.0, 9.0, 4.0), tried_for(5.0, 9.0, 7.0), tried_for(5.0, 9.0, 12.0)
    (5.0, 7.0, 9.0)

    Args:
        best: seconds of the control's best run.
        longest: of its longest.
        seconds: of the run beside it.
    """
    # Runs beyond the best never had the loss either. But counting more of their seconds than the
    # other took would reward it for a control that overfits.
    return max(best, min(longest, seconds))


@dataclass(frozen=True)
class Line:
    """The line through the front of some points, linear between neighbours and never extended.

    Attributes:
        losses: ascending, shape (points on it,).
        seconds: at those losses, descending.
        longest: seconds of the longest of all the points; more than the line's where that one is no
            better than a shorter one.
    """

    losses: Floats
    seconds: Floats
    longest: float = 0.0

    @classmethod
    def through(cls, seconds: Floats, losses: Floats) -> Line:
        """The line through the front of n points, in any order; both of shape (n,)."""
        kept = nondominated(seconds, losses)
        # lexsort goes by its last key first; reversed, seconds fall and losses rise.
        order = np.lexsort((losses[kept], seconds[kept]))[::-1]
        longest = float(seconds.max()) if len(seconds) else 0.0
        return cls(losses[kept][order], seconds[kept][order], longest)

    def seconds_at(self, loss: float) -> float | None:
        """Seconds at which the line passes ``loss``; None outside the losses that it covers."""
        if not len(self.losses) or not self.losses[0] <= loss <= self.losses[-1]:
            return None
        return between(loss, self.losses, self.seconds)

    def loss_at(self, seconds: float) -> float | None:
        """The line's loss after ``seconds``; beyond either end it is that end's. None where there
        is no line.
        """
        if not len(self.losses):
            return None
        return float(np.interp(seconds, self.seconds[::-1], self.losses[::-1]))

    def gain(self, seconds: float, loss: float) -> float | None:
        """The line's seconds at ``loss`` divided by ``seconds``; None where the line does not cover
        the loss.
        """
        there = self.seconds_at(loss)
        return None if there is None or seconds <= 0 else there / seconds
