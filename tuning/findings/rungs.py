"""What became of the recipes that a search looked at for a short time first. Pure."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pandas as pd

from tuning.findings.rows import Row, rows_of
from tuning.trial.recipe import Recipe, recipe_of
from tuning.trial.trial import ASIDE, RUNG

SHARES = {0.5: "half", 0.25: "a quarter", 0.125: "an eighth"}


@dataclass(frozen=True)
class Looked:
    """A short look at a recipe, a rung, that is over.

    Attributes:
        row: the rung's row of the table of trials.
        went_on_as: number of the trial that trained its recipe for longer; None where none did.
    """

    row: Row
    went_on_as: int | None

    def told(self, share: float) -> str:
        """What became of the recipe, where a rung lasts ``share`` of the horizon that is meant."""
        if self.went_on_as is not None:
            return f"went on as #{self.went_on_as}"
        return f"given up at {SHARES.get(share, f'{share:.3g}')} of its horizon"


def looked_at(frame: pd.DataFrame) -> list[Looked]:
    """Every finished rung of a search, by number, with what became of its recipe."""
    rungs = frame[(frame["origin"] == RUNG) & (frame["state"] == "finished")]
    if rungs.empty:
        return []
    longer: dict[Recipe, list[tuple[float, int]]] = {}
    for row in rows_of(frame[~frame["origin"].isin(ASIDE)]):
        longer.setdefault(_whatever_horizon(row), []).append((row["horizon"], row["number"]))
    return [_looked(row, longer) for row in rows_of(rungs.sort_values("number"))]


def _whatever_horizon(row: Row) -> Recipe:
    return dataclasses.replace(recipe_of(row), horizon=1.0)


def _looked(row: Row, longer: dict[Recipe, list[tuple[float, int]]]) -> Looked:
    same = longer.get(_whatever_horizon(row), [])
    return Looked(row, min((n for horizon, n in same if horizon > row["horizon"]), default=None))
