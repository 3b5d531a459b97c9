"""Which runs of the tuned and the smaller control a confirmation trains. Pure.

Each control run costs as much as a candidate's, so there are few: two around the losses in
question, and four where the candidates lie so far apart that a line between two would not do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tuning.findings.front import control_kinds, finished
from tuning.findings.gains import RIVALS, Best, Controls, Gained
from tuning.findings.verdict import Candidate
from tuning.study.baselines import CONTROL_HORIZONS
from tuning.study.longer import LONGER
from tuning.trial.recipe import OWN, ControlKind, Recipe, recipe_of

HORIZONS = (0.1, 0.2, 0.3, 0.4, *CONTROL_HORIZONS, 1.0, 1.25, *LONGER)
"""Those that a rival is trained at, so that another choice of candidates finds its runs again."""
NEAR = 1.5
"""Horizons no further apart than this factor need no run between them."""
MOST = 4
BEYOND = 1.15
"""How much longer than the bound a rival is trained that is only known to be slower than it."""


@dataclass(frozen=True)
class Rival:
    """A rival of the own control.

    Attributes:
        found: the trial of the search whose knobs it has.
        horizons: ascending, two at least.
    """

    found: Candidate
    horizons: tuple[float, ...]

    def recipes(self) -> tuple[Recipe, ...]:
        """One a horizon."""
        return tuple(replace(self.found.recipe, horizon=horizon) for horizon in self.horizons)


def rivals_of(frame: pd.DataFrame, candidates: Sequence[Candidate]) -> dict[ControlKind, Rival]:
    """The best tuned and the best smaller control of the search, those of them that it has; none
    beside ``candidates`` that are such controls themselves.
    """
    if any(candidate.recipe.control_kind for candidate in candidates):
        return {}
    runs, controls = finished(frame), Controls.of(frame)
    kinds = control_kinds(runs)
    best = {kind: _best(runs[kinds == kind], controls) for kind in RIVALS}
    return {
        kind: Rival(
            Candidate(each.number, recipe_of(each.row)),
            around([_span(candidate, kind, runs, controls) for candidate in candidates]),
        )
        for kind, each in best.items()
        if each is not None
    }


def _best(runs: pd.DataFrame, controls: Controls) -> Best | None:
    """The run that gains most over the own control, or loses least."""
    every = [
        Best(row, gains)
        for _, row in runs.iterrows()
        if (gains := controls.gains(row["train_seconds"], row["val_loss"])).get(OWN)
    ]
    known = [best for best in every if best.gains[OWN].bound != "at most"]
    return max(known, key=lambda best: (best.gains[OWN].value, -best.number), default=None)


def _span(
    candidate: Candidate, kind: ControlKind, runs: pd.DataFrame, controls: Controls
) -> tuple[float, float]:
    """The horizons at which the rival is as long as the candidate, and as good."""
    row = runs[runs["number"] == candidate.number].iloc[0]
    gain = controls.gains(row["train_seconds"], row["val_loss"]).get(kind, Gained(1.0))
    there = candidate.recipe.horizon * gain.value * (BEYOND if gain.bound == "at least" else 1)
    return min(candidate.recipe.horizon, there), max(candidate.recipe.horizon, there)


def around(spans: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    """Horizons around all ``spans``, ascending: at least two, so the first is never the last one.

    >>> around([(0.9, 1.2)]), around([(0.4, 0.45), (0.9, 1.2)]), around([(1.0, 9.0)])
    ((0.875, 1.25), (0.4, 0.625, 0.875, 1.25), (1.0, 1.25, 1.5, 2.25))
    >>> around([(2.25, 2.25)])
    (1.5, 2.25)
    """
    below = [h for h in HORIZONS[:-1] if h <= min(low for low, _ in spans)]
    low = max(below, default=HORIZONS[0])
    longer = [h for h in HORIZONS if h > low]
    high = next((h for h in longer if h >= max(high for _, high in spans)), HORIZONS[-1])
    between = [h for h in HORIZONS if low <= h <= high]
    count = 2 if high / low <= NEAR else min(MOST, len(between))
    picked = np.linspace(0, len(between) - 1, count).round().astype(int)
    return tuple(between[place] for place in picked)
