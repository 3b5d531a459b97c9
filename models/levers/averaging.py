"""The lever of which weights are evaluated: the last ones, or an average of late ones. Pure.

No torch. What is trained is not touched. Both averages reach ``averaging_window`` of the horizon
back; before an average begins the weights themselves are evaluated.

    ema    a ← a + (1 − exp(−Δ / window)) (w − a) after every step, Δ the share of the horizon since
           the last; begun REACH windows before the end
    last   the mean of averaging_count snapshots, evenly spaced over the last window, the end's own
           among them
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from models.levers.form import AVERAGING
from models.levers.lever import Lever
from policies.rules import setting

NONE, EMA, LAST = "none", "ema", "last"
REACH = 5
"""What lies so many windows back has less than a hundredth of the weight."""
ENDED = 1 - 1e-9
"""A horizon counts as spent a rounding error short of it."""


@dataclass(frozen=True)
class Averaging(Lever):
    """What is evaluated in place of the last weights."""

    name: ClassVar[str] = "averaging"
    switches: ClassVar[tuple[str, ...]] = ("averaging",)

    averaging: str = setting(
        NONE, choices=(NONE, EMA, LAST), meaning="which average of late weights is evaluated"
    )
    averaging_window: float = setting(
        0.05,
        likely=0.05,
        low=0.0001,
        high=1.0,
        unit="fraction",
        meaning="of the horizon that is averaged over",
    )
    averaging_count: int = setting(
        5, low=2, high=1000, unit="snapshots", meaning="averaged by ``last``"
    )

    def idle(self) -> frozenset[str]:
        """Of how many snapshots the mean is, where it is none of snapshots."""
        return super().idle() | (set() if self.averaging == LAST else {"averaging_count"})

    @property
    def start(self) -> float:
        """The share of the horizon from which weights are averaged.

        >>> Averaging("ema", 0.1).start, Averaging("ema", 0.5).start, Averaging("last", 0.2).start
        (0.5, 0.0, 0.8)
        """
        reach = REACH * self.averaging_window if self.averaging == EMA else self.averaging_window
        return max(0.0, 1 - reach)

    def events(self, num_blocks: int) -> tuple[str, ...]:
        """The event of taking the weights into the average, where the lever is on."""
        return (AVERAGING,) if self.on else ()

    def due(self, before: float, now: float) -> bool:
        """Whether weights are taken in after a step from ``before`` to ``now`` of the horizon.

        >>> [Averaging("last", 0.2, averaging_count=3).due(*f) for f in ((0.7, 0.79), (0.79, 0.81))]
        [False, True]
        """
        if not self.on or now < self.start:
            return False
        return self.averaging == EMA or self.snapshots(now) > self.snapshots(before)

    def weight(self, before: float, now: float) -> float:
        """What the weights at ``now`` count in the moving average, last brought up at ``before``.

        >>> round(Averaging("ema", 0.1).weight(0.5, 0.6), 3)
        0.632
        """
        return -math.expm1((before - now) / self.averaging_window)

    def weight_of(self, taken: int, before: float, now: float) -> float:
        """What the weights at ``now`` count in the average of ``taken`` before, the last then.

        >>> [Averaging("last").weight_of(n, 0.9, 0.95) for n in (0, 1, 3)]
        [1.0, 0.5, 0.25]
        """
        if not taken or self.averaging == LAST:
            return 1 / (taken + 1)
        return self.weight(before, now)

    def snapshots(self, fraction: float) -> int:
        """How many snapshots are due by ``fraction`` of the horizon.

        >>> lever = Averaging("last", 0.2, averaging_count=3)
        >>> [lever.snapshots(f) for f in (0.7, 0.8, 0.89, 0.9, 0.999999, 1.0)]
        [0, 1, 1, 2, 2, 3]
        """
        if fraction < self.start:
            return 0
        if fraction >= ENDED:
            return self.averaging_count
        passed = (fraction - self.start) / (1 - self.start) * (self.averaging_count - 1)
        return min(self.averaging_count - 1, int(passed + 1e-9) + 1)
