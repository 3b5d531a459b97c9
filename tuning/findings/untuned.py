"""Whether plain training, against which everything is held, was tuned at all. Pure.

Two signs. **A plateau**: the second half of the own recipe's runs buys next to nothing, so that any
recipe wins that merely ends sooner. **Numbers far from their best**: a trial that turned nothing
but the own optimizer's numbers gains a lot. Both flatter every recipe: tune first.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuning.findings import format as form
from tuning.trial.metric import LOSS, Metric
from tuning.trial.recipe import OWN, TUNED
from tuning.trial.trial import CurvePoint, TrialRecord

if TYPE_CHECKING:
    from tuning.findings.summary import FrontSummary

NEXT_TO_NOTHING = 0.5
"""Half of a run's time that changes its loss by less than this share of what another seed changes
it by bought nothing. Runs that train on have bought ten times what another seed does."""
FEWEST_EVALUATIONS = 4
FAR = 1.25
"""The gain by tuning the optimizer's numbers alone from which on they are said to have been far
from their best.
"""


@dataclass(frozen=True)
class Plateau:
    """What the second half of the own recipe's runs bought.

    Attributes:
        fall: by how much it lowered the loss, the mean over seeds; negative where the loss rose.
        deviation: standard deviation of the final loss over seeds.
    """

    fall: float
    deviation: float

    def told(self, metric: Metric = LOSS) -> str:
        """The plateau in one sentence."""
        by = form.difference(self.fall)
        what = f"{metric.improves} its {metric.short} by {by}"
        if self.fall < 0:
            what = f"makes its {metric.short} worse by {by}"
        return (
            f"Your own recipe is on a plateau: the second half of its run {what}, and another seed "
            f"changes it by {form.strays(self.deviation)}."
        )


def plateau_of(records: Iterable[TrialRecord]) -> Plateau | None:
    """The plateau that the own recipe's runs over seeds end on. None where their loss still falls,
    and where fewer than two runs have the evaluations to tell.
    """
    runs = [r for r in records if r.state == "finished" and r.val_loss is not None]
    falls = [fall for run in runs if (fall := second_half(run.curve)) is not None]
    if len(falls) < 2:
        return None
    deviation = statistics.stdev(run.val_loss for run in runs if run.val_loss is not None)
    fall = statistics.fmean(falls)
    return Plateau(fall, deviation) if fall <= NEXT_TO_NOTHING * deviation else None


def second_half(curve: Sequence[CurvePoint]) -> float | None:
    """By how much the loss falls from the last evaluation in the first half of a run to its end;
    None for a curve with too few evaluations to have halves.
    """
    if len(curve) < FEWEST_EVALUATIONS:
        return None
    half = curve[-1].train_seconds / 2
    first = [point.val_loss for point in curve if point.train_seconds <= half]
    return first[-1] - curve[-1].val_loss if first else None


def why_tune_first(summary: FrontSummary) -> str:
    """Why the own recipe has to be tuned before any finding is believed; empty where it does
    not.
    """
    plateau = summary.background.plateau
    if plateau is not None:
        return f"{plateau.told(summary.metric)} Tune it first."
    best = summary.bests.rivals.get(TUNED)
    gain = None if best is None else best.gains.get(OWN)
    if best is None or gain is None or gain.bound == "at most" or gain.value < FAR:
        return ""
    if summary.within_noise(float(best.row["train_seconds"]), float(best.row["val_loss"])):
        return ""
    times = f"{gain.bound} {form.gain(gain.value)}".strip()
    return (
        f"Trial {best.number}, which turned nothing but your own numbers, is {times} times as fast "
        "as your own recipe: tune them first."
    )
