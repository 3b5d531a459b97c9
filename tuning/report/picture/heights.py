"""Where losses stand on a picture's axis, and how its ticks are named."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tuning.findings import format as form
from tuning.findings.front import numbers
from tuning.findings.summary import FrontSummary
from tuning.trial.dominance import Floats
from tuning.trial.metric import Metric

DRAWABLE = 100
"""Losses beyond ten to this power, or below its inverse, are drawn in a unit of their own:
Matplotlib would take all of them for one value.
"""


@dataclass(frozen=True)
class Heights:
    """Converts losses into heights in a picture: the metric's own values, higher ones above lower
    ones, in a unit that can be drawn.
    """

    metric: Metric
    unit: float

    @classmethod
    def of(cls, summary: FrontSummary) -> Heights:
        """The heights for a picture of the front and the control."""
        losses = np.abs(numbers(pd.concat([summary.front, summary.control]), "val_loss"))
        power = form.power_of(float(losses.max(initial=0.0)))
        unit = max(10.0**power, sys.float_info.min)  # nothing can be divided by less
        return cls(summary.metric, unit if abs(power) > DRAWABLE else 1.0)

    def at(self, loss: float) -> float:
        """The height of a loss."""
        return self.metric.of(loss) / self.unit

    def all(self, losses: Floats) -> Floats:
        """The heights of losses, any shape."""
        return (-losses if self.metric.maximize else losses) / self.unit

    def loss(self, height: float) -> float:
        """The loss at a height: the inverse of ``at``."""
        return self.metric.loss(height * self.unit)

    def limits(self, losses: tuple[float, float]) -> tuple[float, float]:
        """The two heights between which losses lie, the lower one first."""
        low, high = sorted(map(self.at, losses))
        return low, high

    @property
    def up(self) -> float:
        """1 where a worse value stands above a better one, -1 where it stands below."""
        return -1.0 if self.metric.maximize else 1.0

    def text(self, tick: float, ticks: Sequence[float] | Floats) -> str:
        """The label of the tick at this height among its axis' ``ticks``."""
        step = float(np.diff(np.sort(ticks)).min(initial=np.inf))
        return form.tick(tick * self.unit, step * self.unit if np.isfinite(step) else 0.0)
