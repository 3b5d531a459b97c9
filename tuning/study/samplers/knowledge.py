"""What another run found, as knowledge for a sampler: never a trial of this run, never on its
front.

Seconds and losses of two workloads or devices are not comparable, but every search trains the same
control: ``full_update`` at a few horizons. Over the horizons that both have finished,

    seconds here = seconds there · Σ control seconds here / Σ control seconds there
    loss here    = m + (loss there − m') · s / s'

with m, s the mean and the standard deviation of the control's losses here and m', s' there: each
run's losses in units of its own control (standardisation per data set: Yogatama and Mann, AISTATS
2014). Both maps increase, so ranks and the front of the other run's trials stay as they were. What
holds there may not hold here, so the knowledge gives way: each trial that this run has sampled and
finished takes the place of one of the other's.
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search_spaces.base import SearchSpace
from tuning.study.samplers.known import within
from tuning.study.samplers.values import counts
from tuning.trial.built import built
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe
from tuning.trial.trial import ASIDE, Scalar

MOST = 64
"""How many of the other run's trials are known at the start: its best and its newest."""
KEPT = 1000
"""How many of the other run's trials are copied at most, its front and its newest, so that a long
search is as quickly read as a short one.
"""


@dataclass(frozen=True)
class Measured:
    """A finished trial of the other run, in its own solo seconds and loss."""

    policy: str
    horizon: float
    knobs: Mapping[str, Scalar]
    seconds: float
    loss: float


@dataclass(frozen=True)
class Knowledge:
    """What is kept of another run, in its own seconds and losses.

    Attributes:
        control: its full_update runs without any lever.
        trials: its finished trials that are points of this run's space, by number, at most
            ``KEPT``.
        left_out: how many finished trials are neither.
    """

    control: tuple[Measured, ...]
    trials: tuple[Measured, ...]
    left_out: int = 0

    @classmethod
    def of(cls, history: Sequence[Outcome], space: SearchSpace) -> Knowledge:
        """What ``history``, the trials of another run, tells a search of ``space``."""
        over = [outcome for outcome in history if counts(outcome) and outcome.origin not in ASIDE]
        control = [outcome for outcome in over if in_both(outcome)]
        rest = [outcome for outcome in over if not in_both(outcome)]
        fitting = [outcome for outcome in rest if fits(space, outcome)]
        chosen = within(fitting, "pareto", KEPT)
        return cls(
            tuple(map(_measured, control)),
            tuple(map(_measured, chosen)),
            left_out=len(rest) - len(fitting),
        )

    def has_scale(self) -> bool:
        """Whether the other run's control gives a scale to compare by: two horizons whose losses
        differ.
        """
        return _scale(self.control, self.control) is not None

    def outcomes(self, finished: Sequence[Outcome], objective: str) -> list[Outcome]:
        """The other run's trials on this run's scale, numbered below zero.

        Args:
            finished: this run's trials.
            objective: the search's; it decides which trials are kept where not all are.

        Returns:
            The outcomes. There are none while fewer than two of the control's horizons are finished
            in both runs, or where all its losses are equal: then there is no scale.
        """
        places = MOST - sum(outcome.origin == "sampled" and counts(outcome) for outcome in finished)
        scale = _scale(self.control, [_measured(o) for o in finished if in_both(o) and counts(o)])
        if scale is None or places <= 0:
            return []
        target = next(
            (o.target_loss for o in reversed(finished) if o.target_loss is not None), None
        )
        # Values are kept by number, so none may be that of a trial of this run.
        numbered = zip(range(-len(self.trials), 0), self.trials, strict=True)
        return within(
            [_outcome(number, scale.of(trial), target) for number, trial in numbered],
            objective,
            places,
        )

    def to_json(self) -> str:
        """As JSON text, the inverse of ``from_json``."""
        return json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Knowledge:
        """The knowledge that ``to_json`` wrote.

        Raises:
            ValueError: the text is none.
        """
        return built(cls, json.loads(text), others=True)


@dataclass(frozen=True)
class Scale:
    """The two maps from the other run's seconds and losses to this run's; see the equations at the
    top of this module.
    """

    pace: float
    mean_there: float
    mean_here: float
    stretch: float

    def of(self, trial: Measured) -> Measured:
        """A trial of the other run in this run's seconds and loss."""
        loss = self.mean_here + (trial.loss - self.mean_there) * self.stretch
        return dataclasses.replace(trial, seconds=trial.seconds * self.pace, loss=loss)


def fits(space: SearchSpace, outcome: Outcome) -> bool:
    """Whether a trial is a point of the space."""
    return (
        space.params_of(outcome.recipe.policy, outcome.recipe.horizon, outcome.recipe.knobs)
        is not None
    )


def _scale(there: Sequence[Measured], here: Sequence[Measured]) -> Scale | None:
    by_horizon = {run.horizon: run for run in here}
    pairs = [(run, by_horizon[run.horizon]) for run in there if run.horizon in by_horizon]
    if len(pairs) < 2:
        return None
    losses_there, losses_here = [a.loss for a, _ in pairs], [b.loss for _, b in pairs]
    seconds_there = sum(a.seconds for a, _ in pairs)
    spread_there, spread_here = statistics.pstdev(losses_there), statistics.pstdev(losses_here)
    if not (spread_there > 0 and spread_here > 0 and seconds_there > 0):
        return None
    stretch = spread_here / spread_there
    if not math.isfinite(stretch):
        return None
    pace = sum(b.seconds for _, b in pairs) / seconds_there
    return Scale(
        pace,
        statistics.fmean(losses_there),
        statistics.fmean(losses_here),
        stretch,
    )


def _measured(outcome: Outcome) -> Measured:
    assert outcome.train_seconds is not None, "it counts, so it has both"
    assert outcome.val_loss is not None
    return Measured(
        outcome.recipe.policy,
        outcome.recipe.horizon,
        dict(outcome.recipe.knobs),
        outcome.train_seconds,
        outcome.val_loss,
    )


def _outcome(number: int, trial: Measured, target: float | None) -> Outcome:
    """The outcome that the sampler is told of the other run's trial. A trial that ended at or below
    the target reached it at its end at the latest.
    """
    reached = None if target is None else trial.loss <= target
    return Outcome(
        number,
        "sampled",
        "finished",
        Recipe(trial.policy, trial.horizon, trial.knobs),
        trial.seconds,
        trial.loss,
        seconds_to_quality=trial.seconds if reached else None,
        reached=reached,
        target_loss=target,
    )


def in_both(outcome: Outcome) -> bool:
    """Whether a trial is one of those that every run has: the baseline, or the control at another
    horizon.
    """
    return outcome.origin in ("baseline", "control") and outcome.recipe.is_control
