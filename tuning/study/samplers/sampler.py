"""How the next point is chosen: a space-filling start, then a model of what is known.

With two objectives the Gaussian process takes turns: even numbers are proposed by expected
hypervolume improvement, odd ones by expected improvement of both weighed into one, each with
weights of its own (``tuning.study.samplers.scalar``). The first alone stayed at one corner of
ZDT2's front and found none of DTLZ2's in 60 trials (one seed); the second alone found less of
BraninCurrin's, and takes a fifth of the time.

The sampler reads nothing but its arguments and a fresh seed for each (search seed, number,
attempt), so a resumed search proposes what the uninterrupted one would have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from search_spaces.base import SearchSpace
from tuning.study.samplers.draws import seed_of, space_filling, uniform
from tuning.study.samplers.knowledge import Knowledge
from tuning.study.samplers.known import points, remembered
from tuning.study.samplers.near import leaders, near
from tuning.study.samplers.rungs import Rungs
from tuning.study.samplers.scalar import scalarised
from tuning.trial.outcome import Outcome
from tuning.trial.trial import Scalar, TrialSpec

START = 8
"""The number of proposals of the space-filling sequence before any model's: a power of two, as a
Sobol' sequence needs.
"""
LOOK_ELSEWHERE = 4
"""One in so many proposals is drawn whatever is known: a model that has seen one choice do well
hardly ever proposes another (``docs/decisions/likely-values.md``).
"""
START_WARM = 2
"""``START`` where another run's trials are known: fewer will do, as those have spread over the
space already.
"""
NEAR = 2
"""One proposal in so many is near the recipes that lead, from the first on, where any does."""
ENOUGH = 4
"""The fewest finished points of the space that a model is fitted to. With fewer the space-filling
sequence goes on.
"""
CAPS = {"tpe": 250, "nsga2": 1000, "gp": 150}
"""The most finished trials that a model is fitted to, so that an ask stays affordable however many
there are.
"""


class OptunaSampler:
    """Proposes points of a space by Optuna's samplers; it is a ``Sampler``.

    Args:
        space: what is searched.
        name: one of ``tuning.config.config.SAMPLERS``; ``auto`` stands for tpe, see
            ``tuning.study.sampler_choice``.
        seed: the search's.
        objective: ``pareto`` or ``time-to-quality``.
        first: number of the first trial that is sampled: how many baselines there are before it.
        knowledge: what is known of another run, whose trials are taken for trials of this one
            wherever proposals come from a model.
        rungs: the search's rungs; None where it has none.
    """

    # Many arguments, but all are facts of the search; the last two only some searches have.
    def __init__(
        self,
        space: SearchSpace,
        name: str,
        seed: int,
        objective: str,
        *,
        first: int,
        knowledge: Knowledge | None = None,
        rungs: Rungs | None = None,
    ) -> None:
        self.name = "tpe" if name == "auto" else name
        self._space = space
        self._seed = seed
        self._objective = objective
        self._first = first
        self._knowledge, self._rungs = knowledge, rungs
        self._start_length = START if knowledge is None else START_WARM
        self._params = remembered(space)

    def propose(
        self,
        number: int,
        finished: Sequence[Outcome],
        in_flight: Sequence[TrialSpec],
        attempt: int = 0,
    ) -> dict[str, Scalar]:
        """Params for trial ``number``; see ``Sampler``."""
        if self.name == "random" or (
            attempt and self.name == "gp"
        ):  # a process's optimum is the same again
            return self.draw(number, attempt)
        index, history = number - self._first, self._with_knowledge(finished)
        leading = self._leading(history) if index >= 0 else []
        if leading and index % NEAR == 0:
            return near(self._space, leading, seed_of(self._seed, number, attempt))
        # One after another: of a Sobol' sequence every other point would fill no space.
        turn = NEAR if leading else 1
        beyond = index - turn * self._start_length
        if beyond < 0:
            return self._start(number, index // turn, attempt)
        # An index has one point of the sequence; where that was tried, it is the model's turn.
        if self.looks_elsewhere(number) and not attempt:
            return self._start(number, self._start_length + beyond // LOOK_ELSEWHERE, attempt)
        cap = CAPS[self.name]
        known = points(self._params, self._objective, history, in_flight, cap, self._rungs)
        if sum(point.values is not None for point in known) < ENOUGH:
            return self._start(number, index, attempt)
        # Imported here because Optuna takes long to load, and the start goes without a model.
        from tuning.study.samplers.optuna_ask import propose

        seed = seed_of(self._seed, number, attempt)
        objectives = 2 if self._objective == "pareto" else 1
        if self.name == "gp" and objectives == 2 and number % 2:
            known, objectives = scalarised(known, seed), 1
        return propose(self.name, self._space, known, objectives, seed)

    def draw(self, number: int, attempt: int) -> dict[str, Scalar]:
        """Params drawn uniformly for trial ``number``, whatever is known."""
        return uniform(self._space, self._seed, number, attempt)

    def _leading(self, history: Sequence[Outcome]) -> list[dict[str, Scalar]]:
        """Recipes near which to look; none for a front, which is not where one recipe leads, and
        none where another model than TPE knows what goes together.
        """
        if self.name != "tpe" or self._objective == "pareto":
            return []
        return leaders(history, self._params)

    def _with_knowledge(self, finished: Sequence[Outcome]) -> Sequence[Outcome]:
        """The finished trials, preceded by those of another run that still count."""
        if self._knowledge is None:
            return finished
        return [*self._knowledge.outcomes(finished, self._objective), *finished]

    def _start(self, number: int, index: int, attempt: int) -> dict[str, Scalar]:
        """The point at place ``index`` of the space-filling sequence, or a uniform draw where that
        repeats a trial.

        Every other point, beginning with the first, lies where knobs are likely to serve well. The
        rest lie anywhere, because that belief may be wrong.
        """
        if attempt or index < 0:
            return self.draw(number, attempt)
        return space_filling(self._space, self._seed, index, likely=index % 2 == 0)

    def looks_elsewhere(self, number: int) -> bool:
        """Whether the proposal for ``number`` is drawn from the space-filling sequence whatever is
        known, as at the start. Never for a front, which needs every proposal of the model to be
        covered.
        """
        place = (number - self._first) % LOOK_ELSEWHERE
        return self._objective != "pareto" and place == LOOK_ELSEWHERE - 1


class Sampler(Protocol):
    """Proposes a point of a search space from what is known. It is a pure function of its
    arguments: it may keep what it has worked out, but must answer as a fresh one would.
    """

    def propose(
        self,
        number: int,
        finished: Sequence[Outcome],
        in_flight: Sequence[TrialSpec],
        attempt: int = 0,
    ) -> dict[str, Scalar]:
        """Params for trial ``number``; a later ``attempt`` is another draw, after one that repeats
        a trial.

        Args:
            number: the trial's number, which together with the attempt seeds all that is drawn.
            attempt: counts from 0.
            finished: trials that are over, by number; replicates are not among them.
            in_flight: trials that are being trained, by number.
        """

    def draw(self, number: int, attempt: int) -> dict[str, Scalar]:
        """Params drawn uniformly, whatever is known."""
