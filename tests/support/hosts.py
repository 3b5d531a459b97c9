"""A machine whose clocks and surroundings are made up, for calibrations that are tested without
timing anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from tuning.training.calibration.company import Host

TICK = 0.001


class ScriptedHost(Host):
    """Every piece of work takes one tick of CPU time and of wall time, a few ``stretch`` ticks of
    wall time.

    ``elsewhere`` is the share of the cores' time that others have, one for each try; after the
    last, none. With ``slower`` every tick is longer than the one before by so large a fraction.
    """

    def __init__(
        self, *, stretch: float = 1.0, elsewhere: Sequence[float] = (), slower: float = 0.0
    ) -> None:
        self._stretch, self._elsewhere, self._slower = stretch, iter(elsewhere), slower
        self._wall = self._cpu = self._spent = 0.0
        self._readings = self._glances = 0
        self.rests: list[float] = []

    def wall(self) -> float:
        self._readings += 1
        self._wall += self._tick * (self._stretch if self._readings % 7 == 0 else 1.0)
        return self._wall

    def cpu(self) -> float:
        self._cpu += self._tick
        return self._cpu

    def queued(self) -> float:
        return 0.0

    @property
    def _tick(self) -> float:
        return TICK * (1 + self._slower) ** self._readings

    def rest(self, seconds: float) -> None:
        self.rests.append(seconds)

    def core_seconds(self) -> tuple[float, float]:
        self._glances += 1
        if self._glances % 2 == 0:  # the end of a try, which is a second of one core long
            self._spent += next(self._elsewhere, 0.0)
        return self._spent, self._glances // 2
