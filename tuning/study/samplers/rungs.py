"""Rungs: a recipe is first trained at a short horizon, decayed to its end there, and goes on only
where it held up.

A rung lasts ``share`` of the horizon that its recipe is meant for. All rungs that are over are
ranked by their gain over the own control *at their own loss*, so that what is compared is what the
same seconds would have bought otherwise. The best ``KEEP`` of them go on, at any time: one that was
not among them may be later, as more are known (asynchronous successive halving: Li et al. 2020,
arXiv 1810.05934). One in ``CHECK`` goes on whatever it showed, drawn by its number, so that how
often the rule is wrong can be read off the table. What goes on is trained from its first step:
``docs/decisions/rungs.md`` has what was measured.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Sequence

from tuning.study.samplers.control_line import ControlLine
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe
from tuning.trial.trial import RUNG

KEEP = 1 / 4
CHECK = 8


@dataclasses.dataclass(frozen=True)
class Rungs:
    """How a search uses rungs, short first looks at recipes.

    Attributes:
        share: how long a rung lasts, as a share of the horizon that its recipe is meant for; a
            power of two, so that a horizon divided by it is exactly what was multiplied by it.
        seed: the search's seed, which decides what goes on by lot.
    """

    share: float
    seed: int

    def first(self, meant: Recipe) -> Recipe:
        """The recipe at its rung's horizon: the short look at it."""
        return dataclasses.replace(meant, horizon=meant.horizon * self.share)

    def meant(self, rung: Recipe) -> Recipe:
        """The recipe that a rung is a short look at: the inverse of ``first``."""
        return dataclasses.replace(rung, horizon=rung.horizon / self.share)

    def next(self, finished: Sequence[Outcome], began: Callable[[Recipe], bool]) -> Recipe | None:
        """The recipe that is to go on now; None where none is.

        Args:
            finished: the search's trials that are over, rungs and controls among them.
            began: whether a recipe's full training has begun.
        """
        ranked = self._ranked(finished)
        by_merit = ranked[: int(KEEP * len(ranked))]
        by_lot = sorted(filter(self._drawn, ranked), key=lambda rung: rung.number)
        waiting = (self.meant(rung.recipe) for rung in [*by_merit, *by_lot])
        return next((recipe for recipe in waiting if not began(recipe)), None)

    def gains(self, finished: Sequence[Outcome]) -> dict[int, float]:
        """The logarithm of each rung's gain, by its trial's number. Rungs that failed are left out;
        it is empty while the control has too few runs.
        """
        line = ControlLine.through([run for run in finished if run.recipe.is_control])
        if line is None:
            return {}
        rungs = (run for run in finished if run.origin == RUNG)
        gains = {run.number: _log_gain(line, run) for run in rungs}
        return {number: gain for number, gain in gains.items() if gain is not None}

    def _ranked(self, finished: Sequence[Outcome]) -> list[Outcome]:
        """The rungs with a gain, the best first."""
        gains = self.gains(finished)
        rungs = [run for run in finished if run.number in gains]
        return sorted(rungs, key=lambda run: (-gains[run.number], run.number))

    def _drawn(self, rung: Outcome) -> bool:
        # A digest, as hash() of a text differs from process to process.
        digest = hashlib.blake2b(f"{self.seed} {rung.number}".encode(), digest_size=8).digest()
        return int.from_bytes(digest) % CHECK == 0


def _log_gain(line: ControlLine, run: Outcome) -> float | None:
    if run.state != "finished" or not run.train_seconds or run.val_loss is None:
        return None
    gain = line.log_gain(run.train_seconds, run.val_loss)
    return gain if math.isfinite(gain) else None
