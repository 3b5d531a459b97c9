"""Which runs of the tuned and the smaller control a confirmation trains. Pure.

Each control run costs as much as a candidate's, so there are few: three around the losses in
question, and none of a rival that gained nothing in the search and lies far behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from tuning.findings.front import control_kinds, finished
from tuning.findings.gains import RIVALS, Best, Controls, Gained
from tuning.findings.verdict import Candidate
from tuning.study.baselines import CONTROL_HORIZONS
from tuning.study.longer import LONGER
from tuning.study.prices import Span, around, span
from tuning.trial.recipe import OWN, ControlKind, Recipe, recipe_of

HORIZONS = (0.1, 0.2, 0.3, 0.4, *CONTROL_HORIZONS, 1.0, 1.25, *LONGER)
"""Horizons that a rival may be trained at. They are fixed, so that another choice of candidates
finds its runs again.
"""
RUNS = 3
"""The number of runs of a rival on each seed. A line through two would lie above a convex curve, to
the candidate's good; a parabola through three does not (``docs/decisions/verdict.md``).
"""
FAR = 1.25
"""A rival that gained nothing is far behind candidates whose gains are this many times its own: no
fresh seed makes up for that."""


@dataclass(frozen=True)
class Rival:
    """A rival of the own control that a confirmation trains.

    Attributes:
        found: the trial of the search whose knobs it has.
        horizons: those it is trained at, ascending, at least two.
    """

    found: Candidate
    horizons: tuple[float, ...]

    def recipes(self) -> tuple[Recipe, ...]:
        """The rival's recipe at each of its horizons."""
        return tuple(replace(self.found.recipe, horizon=horizon) for horizon in self.horizons)


def rivals_of(frame: pd.DataFrame, candidates: Sequence[Candidate]) -> dict[ControlKind, Rival]:
    """The best tuned and the best smaller control that the search has, without those that are
    ``behind``; none where ``candidates`` are such controls themselves.
    """
    lagging = behind(frame, candidates)
    return {
        kind: Rival(
            Candidate(best.number, recipe_of(best.row)),
            around(spans_of(frame, candidates, kind), HORIZONS, RUNS),
        )
        for kind, best in _bests(frame, candidates).items()
        if kind not in lagging
    }


def behind(frame: pd.DataFrame, candidates: Sequence[Candidate]) -> dict[ControlKind, int]:
    """Rivals that need no run, with the number of the trial that gains most of each: it gains
    nothing over the own control, and every candidate gains far more than it.
    """
    own = [_gain(frame, candidate, OWN).value for candidate in candidates]
    return {
        kind: best.number
        for kind, best in _bests(frame, candidates).items()
        if not best.gains[OWN].ahead and min(own) >= FAR * best.gains[OWN].value
    }


def spans_of(frame: pd.DataFrame, candidates: Sequence[Candidate], kind: ControlKind) -> list[Span]:
    """The horizons at which a control is as long as each of ``candidates``, and as good."""
    gains = [_gain(frame, candidate, kind) for candidate in candidates]
    return [
        span(candidate.recipe.horizon, gain.value, bound=gain.bound == "at least")
        for candidate, gain in zip(candidates, gains, strict=True)
    ]


def _gain(frame: pd.DataFrame, candidate: Candidate, kind: ControlKind) -> Gained:
    runs = finished(frame)
    row = runs[runs["number"] == candidate.number].iloc[0]
    gains = Controls.of(frame).gains(row["train_seconds"], row["val_loss"])
    # Where no line prices it: as fast as the control, so that runs are taken around its horizon.
    return gains.get(kind, Gained(1.0))


def _bests(frame: pd.DataFrame, candidates: Sequence[Candidate]) -> Mapping[ControlKind, Best]:
    """For each rival that the search has, the run that gains most over the own control, or loses
    least.
    """
    if any(candidate.recipe.control_kind for candidate in candidates):
        return {}
    runs, controls = finished(frame), Controls.of(frame)
    kinds = control_kinds(runs)
    found = {kind: _best(runs[kinds == kind], controls) for kind in RIVALS}
    return {kind: best for kind, best in found.items() if best is not None}


def _best(runs: pd.DataFrame, controls: Controls) -> Best | None:
    every = [
        Best(row, gains)
        for _, row in runs.iterrows()
        if (gains := controls.gains(row["train_seconds"], row["val_loss"])).get(OWN)
    ]
    # Runs that are only known to be slower come after those whose gain is known.
    return max(
        every,
        key=lambda best: (
            best.gains[OWN].bound != "at most",
            best.gains[OWN].value,
            -best.number,
        ),
        default=None,
    )
