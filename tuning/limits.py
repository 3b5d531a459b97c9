"""The losses above which a trial in flight is stopped, as its worker is given them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuning.trial import CurvePoint


@dataclass(frozen=True)
class Limits:
    """What a trial's evaluations are held against; ``tuning.stopping`` says where the numbers come from.

    They are fixed when the trial is asked for, so that a worker that goes on from a checkpoint holds it against the
    same ones.

    Attributes:
        seconds: solo seconds, ascending, at least one; before the first and after the last there is no limit.
        losses: the highest loss that goes on there, linear in between.
        runs_on: the trial is of the sample that trains to its end whatever it shows, to check the rule.
    """

    seconds: tuple[float, ...]
    losses: tuple[float, ...]
    runs_on: bool

    def crossed(self, curve: Sequence[CurvePoint]) -> int | None:
        """The step of the first evaluation above its limit, or None.

        >>> limits = Limits(seconds=(2.0, 4.0), losses=(3.0, 2.0), runs_on=False)
        >>> limits.crossed([CurvePoint(10, 1.0, 9.0), CurvePoint(20, 2.0, 3.0), CurvePoint(30, 3.0, 2.6)])
        30
        """
        return next((point.step for point in curve if point.val_loss > self._at(point.train_seconds)), None)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"seconds": list(self.seconds), "losses": list(self.losses), "runs_on": self.runs_on}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Limits:
        """The inverse of ``to_json``; KeyError or TypeError where it is not that."""
        return cls(tuple(data["seconds"]), tuple(data["losses"]), bool(data["runs_on"]))

    def _at(self, seconds: float) -> float:
        return float(np.interp(seconds, self.seconds, self.losses, left=np.inf, right=np.inf))
