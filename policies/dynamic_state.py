"""What dynamic_suffix remembers, and how it takes in scores and losses."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace

from policies.losses import unit_of, widened, zero_of


@dataclass(frozen=True)
class DynamicSuffixState:
    """What the policy remembers; its size does not grow with the steps.

    Attributes:
        num_blocks: blocks of the model.
        budget: most blocks that may be active now.
        ema: smoothed relevance, shape (num_blocks,); None before the first probe.
        probe_loss: smoothed loss of the probes; None before the first.
        stable: whether the last two complete windows were stable.
        window_count: losses in the present window.
        window_mean: their mean.
        window_squares: their summed squared deviations from it, in units of ``window_unit``
            squared.
        window_unit: 1, but for losses whose squares are out of range.
        previous_mean: mean of the window before; None before the first is complete.
        lowest: the lowest finite loss seen; None before the first.
        highest: the highest.
    """

    num_blocks: int
    budget: int
    ema: tuple[float, ...] | None = None
    probe_loss: float | None = None
    stable: bool = False
    window_count: int = 0
    window_mean: float = 0.0
    window_squares: float = 0.0
    window_unit: float = 1.0
    previous_mean: float | None = None
    lowest: float | None = None
    highest: float | None = None

    @property
    def zero(self) -> float:
        """What losses are measured from; see ``policies.losses``."""
        return zero_of(self.lowest, self.highest)

    def with_range(self, loss: float) -> DynamicSuffixState:
        """``loss`` counted among those seen."""
        lowest, highest = widened(self.lowest, self.highest, loss)
        return replace(self, lowest=lowest, highest=highest)

    def with_relevance(self, scores: tuple[float, ...], beta: float) -> DynamicSuffixState:
        """Smoothed by a probe's scores; those that are not finite are passed over.

        Raises:
            ValueError: the number of scores is not the number of blocks.
        """
        if len(scores) != self.num_blocks:
            raise ValueError(
                f"one score a block must hold, but got {len(scores)} for {self.num_blocks} blocks"
            )
        if not all(map(math.isfinite, scores)):
            return self
        if self.ema is None:
            return replace(self, ema=scores)
        pairs = zip(self.ema, scores, strict=True)
        return replace(self, ema=tuple(beta * past + (1 - beta) * score for past, score in pairs))

    def with_probe_loss(self, loss: float, beta: float) -> DynamicSuffixState:
        """Smoothed by a probe's loss."""
        past = self.probe_loss
        # The mean of equal losses is that loss: rounding must not pass for a change of it.
        if past is None or loss == past:
            return replace(self, probe_loss=loss)
        return replace(self, probe_loss=beta * past + (1 - beta) * loss)

    def probe_ratio(self, loss: float) -> float:
        """A probe's loss over the smoothed one before, both above zero; 1 for the first."""
        level = 0.0 if self.probe_loss is None else self.probe_loss - self.zero
        return (loss - self.zero) / level if level else 1.0

    def with_loss(
        self, loss: float, window: int, change: float, variation: float
    ) -> DynamicSuffixState:
        """One more loss in the window, by Welford's update: no sum of squares to cancel.

        Args:
            loss: finite.
            window: losses in a window.
            change: most change of a window's mean that is stable, of the mean.
            variation: most deviation within a window that is stable, of the mean.
        """
        size = self.window_count + 1
        unit = self.window_unit if size > 1 else unit_of(loss)
        step = loss - self.window_mean
        mean = self.window_mean + step / size
        squares = self.window_squares + (step / unit) * ((loss - mean) / unit)
        squares = min(squares, sys.float_info.max)  # infinity is no JSON
        if size < window:
            return replace(
                self, window_count=size, window_mean=mean, window_squares=squares, window_unit=unit
            )
        steady = self.previous_mean is not None and abs(mean - self.previous_mean) <= change * abs(
            self.previous_mean - self.zero
        )
        level = math.sqrt(squares / size) * unit <= variation * abs(mean - self.zero)
        fresh = replace(self, window_count=0, window_mean=0.0, window_squares=0.0, window_unit=1.0)
        return replace(fresh, stable=steady and level, previous_mean=mean)
