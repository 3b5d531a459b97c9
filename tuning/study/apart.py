"""What is trained to take a recipe apart, and what its runs say. Pure.

Each piece is taken off in turn, and each is tried alone, all at the recipe's own horizon and on its
own seed, so that they are compared in pairs with it. Recipes that train alike are one run, and a
run that the search has is taken from there.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from tuning.findings.apart import Apart, Brought, Measured, best_first, over
from tuning.findings.apart_words import interaction, said
from tuning.findings.context import Noise
from tuning.findings.gains import gained
from tuning.findings.verdict import Candidate
from tuning.study.confirmation import fresh_seeds
from tuning.trial.line import Line
from tuning.trial.metric import Metric
from tuning.trial.outcome import Outcome, outcomes_of
from tuning.trial.pieces import Piece, pieces_of, plain, together, without
from tuning.trial.recipe import Recipe
from tuning.trial.trial import CONFIRMATION, FIRST_FRESH, TrialSpec

Runs = Mapping[tuple[Recipe, int], Outcome]
"""Recorded runs by plain recipe and seed."""


@dataclass(frozen=True)
class Plan:
    """What is trained to take a recipe apart.

    Attributes:
        found: the trial whose recipe it is.
        seeds: the trial's own seed, then fresh ones.
        target: the loss whose time the runs' records tell.
    """

    found: Candidate
    seeds: tuple[int, ...]
    target: float

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The recipe's pieces, which are taken away one at a time."""
        return pieces_of(self.found.recipe)

    def recipes(self) -> tuple[Recipe, ...]:
        """The whole recipe, then the whole without each piece, then each piece alone, no recipe
        twice. It is the whole alone where there are fewer than two pieces: nothing else would be
        learnt.
        """
        recipe, pieces = plain(self.found.recipe), self.pieces
        if len(pieces) < 2:
            return (recipe,)
        less = (without(recipe, piece) for piece in pieces)
        alone = (together([piece], recipe.horizon) for piece in pieces)
        return tuple(dict.fromkeys([recipe, *less, *alone]))

    def specs(self, workload: str, known: Runs) -> list[TrialSpec]:
        """The runs that are not ``known`` yet, seed by seed; their numbers are not chosen yet."""
        if len(self.pieces) < 2:
            return []
        return [
            TrialSpec(0, CONFIRMATION, workload, recipe, seed, self.target)
            for seed in self.seeds
            for recipe in self.recipes()
            if (recipe, seed) not in known
        ]


def seeds_of(own: int, used: Iterable[int], first_seed: int, count: int) -> tuple[int, ...]:
    """The trial's own seed and ``count - 1`` fresh ones, none of them a confirmation's. What was
    seen on the seeds of a verdict would have to be corrected for in it.
    """
    return (own, *fresh_seeds({*used, own}, first_seed + FIRST_FRESH, count - 1))


def known_runs(frame: pd.DataFrame, plan: Plan) -> Runs:
    """Recorded runs of the plan's recipes: finished ones of any origin, and failed ones that were
    trained for this plan's purpose.
    """
    near = frame[frame["seed"].isin(plan.seeds) & (frame["horizon"] == plan.found.recipe.horizon)]
    found: dict[tuple[Recipe, int], Outcome] = {}
    wanted = set(plan.recipes())
    for outcome in outcomes_of(near):
        key = plain(outcome.recipe), outcome.seed
        ended = outcome.state == "finished" or outcome.origin == CONFIRMATION
        if key[0] in wanted and ended and not finished(found.get(key)):
            found[key] = outcome
    return found


def finished(run: Outcome | None) -> bool:
    """Whether the run ended with seconds and a loss."""
    return run is not None and run.state == "finished" and all(map(math.isfinite, _axes(run)))


def _axes(run: Outcome) -> tuple[float, float]:
    """The run's seconds and loss, NaN for one that it does not have."""
    known = run.train_seconds, run.val_loss
    seconds, loss = (math.nan if axis is None else axis for axis in known)
    return seconds, loss


def apart_of(plan: Plan, runs: Runs, line: Line, noise: Noise | None, metric: Metric) -> Apart:
    """What the plan's runs show. The own control's ``line`` gives the seconds at each loss."""
    recipe, pieces = plain(plan.found.recipe), plan.pieces
    whole = _measured(recipe, plan, runs, line)
    assert whole is not None, "a recipe is taken apart once its trial has finished"
    brought = best_first([_brought(piece, whole, plan, runs, line, noise) for piece in pieces])
    number, seeds = plan.found.number, plan.seeds if len(pieces) > 1 else plan.seeds[:1]
    return Apart(
        sentence=said(number, plan.found.recipe, whole.gain, brought, len(seeds)),
        number=number,
        recipe=plan.found.recipe,
        seeds=seeds,
        whole=whole,
        pieces=brought,
        interaction=interaction(whole.gain, brought),
        failed=sum(not finished(run) for run in runs.values()),
        metric=metric,
    )


# Many arguments: everything that a piece's figures depend on.
def _brought(
    piece: Piece, whole: Measured, plan: Plan, runs: Runs, line: Line, noise: Noise | None
) -> Brought:
    recipe = plain(plan.found.recipe)
    if len(plan.pieces) == 1:
        return Brought(piece.name, piece.knobs, None, whole, whole.gain, None)
    less = _measured(without(recipe, piece), plan, runs, line)
    alone = _measured(together([piece], recipe.horizon), plan, runs, line)
    gain = over(whole.gain, less.gain) if less else None
    return Brought(piece.name, piece.knobs, less, alone, gain, _in_noise(less, whole, noise))


def _in_noise(less: Measured | None, whole: Measured, noise: Noise | None) -> bool | None:
    """Whether the whole and the whole without a piece, ``less``, are so close that another seed
    could reverse their order; None where that is not known. Paired seeds vary less than the noise,
    so this marks too much rather than too little.
    """
    if less is None or noise is None:
        return None
    return abs(less.loss - whole.loss) <= noise.limit / math.sqrt(less.seeds)


def _measured(recipe: Recipe, plan: Plan, runs: Runs, line: Line) -> Measured | None:
    """A recipe's mean figures over seeds; None where it did not finish beside the whole on any
    seed.
    """
    whole = plain(plan.found.recipe)
    mine, its = (_by_seed(each, plan, runs) for each in (recipe, whole))
    both = [seed for seed in plan.seeds if seed in mine and seed in its]
    if not both or plan.seeds[0] not in its:
        return None
    seconds = statistics.fmean(mine[seed][0] for seed in both)
    above = [mine[seed][1] - its[seed][1] for seed in both]
    loss = its[plan.seeds[0]][1] + statistics.fmean(above)
    spread = statistics.stdev(above) if len(above) > 1 else None
    return Measured(seconds, loss, spread, len(both), gained(line, seconds, loss))


def _by_seed(recipe: Recipe, plan: Plan, runs: Runs) -> dict[int, tuple[float, float]]:
    """Seconds and loss of the recipe's finished runs, by seed."""
    found = {seed: runs.get((recipe, seed)) for seed in plan.seeds}
    return {seed: _axes(run) for seed, run in found.items() if run is not None and finished(run)}
