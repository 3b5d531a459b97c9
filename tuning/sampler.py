"""How the next point is chosen: a space-filling start, then a model of what is known.

The sampler reads nothing but its arguments and a fresh seed for each (search seed, number, attempt), so a
resumed search proposes what the uninterrupted one would have.
"""

from __future__ import annotations

from collections.abc import Sequence

from search_spaces.base import SearchSpace
from tuning.baselines import baseline_specs
from tuning.sampler_history import points
from tuning.sampler_points import seed_of, space_filling, uniform
from tuning.study import Outcome
from tuning.trial import Scalar, TrialSpec

START = 8
"""Proposals of the space-filling sequence before any model: a power of two, as a Sobol' sequence wants it."""
ENOUGH = 4
"""Finished points of the space below which no model is fitted; the space-filling sequence goes on instead."""
CAPS = {"tpe": 1000, "nsga2": 1000, "gp": 150}
"""Finished trials a model is fitted to at most, so that an ask stays affordable however many there are."""
GP_ASK_SECONDS_PER_KNOB = 0.5
"""What an ask of the Gaussian process takes on one core at 100 trials: 1 to 2 s for 2 knobs, 10 s for 20.

TPE then takes 0.01 to 0.07 s, NSGA-II as long; both 0.3 s at their cap.
"""
AFFORDABLE = 20
"""A trial must take so many times as long as an ask for the ask not to matter."""


def resolve(name: str, space: SearchSpace, trial_seconds: float | None) -> str:
    """The sampler that ``auto`` stands for; any other name is itself.

    The Gaussian process needs the fewest trials but is slow to ask, and knows conditions only by filling
    them in. It is chosen where every knob always applies and a trial takes much longer than an ask;
    otherwise TPE.
    """
    if name != "auto":
        return name
    ask_seconds = GP_ASK_SECONDS_PER_KNOB * len(space.searched)
    affordable = trial_seconds is not None and trial_seconds >= AFFORDABLE * ask_seconds
    return "gp" if affordable and not space.conditional else "tpe"


class OptunaSampler:
    """Proposes points of a space: ``tuning.study.Sampler``.

    Args:
        space: what is searched.
        name: one of ``tuning.config.SAMPLERS``.
        seed: of the search.
        objective: ``pareto`` or ``time-to-quality``.
        first: number of the first trial that is sampled; by default, how many baselines there are.
        trial_seconds: what a trial is expected to take; ``auto`` chooses by it.
    """

    def __init__(
        self,
        space: SearchSpace,
        name: str,
        seed: int,
        objective: str,
        *,
        first: int | None = None,
        trial_seconds: float | None = None,
    ) -> None:
        self.name = resolve(name, space, trial_seconds)
        self._space = space
        self._seed = seed
        self._objective = objective
        self._first = len(baseline_specs("", seed)) if first is None else first

    def propose(
        self, number: int, finished: Sequence[Outcome], in_flight: Sequence[TrialSpec], attempt: int = 0
    ) -> dict[str, Scalar]:
        """Params for trial ``number``; see ``tuning.study.Sampler``."""
        if self.name == "random" or (attempt and self.name == "gp"):  # a process's optimum is the same again
            return self.draw(number, attempt)
        index = number - self._first
        if index < START:
            return self._start(number, index, attempt)
        known = points(self._space, self._objective, finished, in_flight, CAPS[self.name])
        if sum(point.values is not None for point in known) < ENOUGH:
            return self._start(number, index, attempt)
        from tuning.sampler_optuna import propose

        objectives = 2 if self._objective == "pareto" else 1
        return propose(self.name, self._space, known, objectives, seed_of(self._seed, number, attempt))

    def draw(self, number: int, attempt: int) -> dict[str, Scalar]:
        """Params drawn uniformly for trial ``number``, whatever is known."""
        return uniform(self._space, self._seed, number, attempt)

    def _start(self, number: int, index: int, attempt: int) -> dict[str, Scalar]:
        """The space-filling sequence's place ``index``; where that repeats a trial, a uniform draw."""
        if attempt or index < 0:
            return self.draw(number, attempt)
        return space_filling(self._space, self._seed, index)
