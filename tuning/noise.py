"""How much a loss strays from seed to seed, so that a reader can tell a difference from luck. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tuning.trial import TrialRecord

COVERED = 1.96


@dataclass(frozen=True)
class Noise:
    """What full_update's final losses over seeds show.

    Attributes:
        deviation: standard deviation over the seeds.
        seeds: how many there were.
    """

    deviation: float
    seeds: int

    @property
    def limit(self) -> float:
        """Two runs of one schedule on two seeds differ by more than this once in twenty (ISO 5725: repeatability)."""
        return COVERED * math.sqrt(2) * self.deviation

    def hides(self, loss: float, other: float) -> bool:
        """Whether the two losses are so close that another seed could turn them round.

        Trials that share a seed stray together in part, so this marks rather too much than too little.
        """
        return abs(loss - other) <= self.limit


@dataclass(frozen=True)
class LossOverSeeds:
    """The final losses of one schedule on several seeds.

    Attributes:
        mean: of the losses.
        deviation: their standard deviation.
        seeds: how many there are, at least 2.
    """

    mean: float
    deviation: float
    seeds: int


def loss_over_seeds(losses: Sequence[float]) -> LossOverSeeds | None:
    """What losses on different seeds show; None for fewer than two."""
    if len(losses) < 2:
        return None
    return LossOverSeeds(statistics.fmean(losses), statistics.stdev(losses), len(losses))


def noise_of(losses: Iterable[float]) -> Noise | None:
    """The noise that final losses over seeds show; None for fewer than two."""
    values = list(losses)
    return Noise(statistics.stdev(values), len(values)) if len(values) > 1 else None


def noise_of_records(records: Iterable[TrialRecord]) -> Noise | None:
    """The noise of a run, from the records that ``Store.references`` holds: full_update on several seeds."""
    return noise_of(r.val_loss for r in records if r.state == "finished" and r.val_loss is not None)
