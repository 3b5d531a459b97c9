"""What a recipe gains over each control: how much sooner it has a loss. Pure.

The own control's line goes through its own runs alone; the tuned and the smaller one's through the
own ones together with those of theirs that lie left of it, because nobody who tunes gives up what
they had. So a gain over one of these is never more than the gain over the own control.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from tuning.findings import format as form
from tuning.findings.front import (
    AXES,
    control_kinds,
    finished,
    line_through,
    never_froze,
)
from tuning.findings.paired import Bound
from tuning.trial.line import Line, tried_for
from tuning.trial.recipe import OWN, SMALLER, TUNED, ControlKind

RIVALS: tuple[ControlKind, ...] = (TUNED, SMALLER)
"""Controls that a search need not have."""


@dataclass(frozen=True)
class Gained:
    """A gain: a control's seconds at some loss divided by a recipe's.

    Attributes:
        value: the factor; 1 where both take as long.
        bound: which bound the value is, where the control never had the loss.
        loose: whether all of a rival's own runs ended at better losses. Its line at this loss is
            the own control's, and the rival may have had the loss sooner.
    """

    value: float
    bound: Bound = ""
    loose: bool = field(default=False, repr=False)

    @property
    def said(self) -> Bound:
        """Which bound a reader is told that the value is."""
        return "at most" if self.loose else self.bound

    @property
    def ahead(self) -> bool:
        """Whether it is a gain at all: one that reads 1.00 is none, unless it is a bound from
        below.
        """
        return self.bound != "at most" and (round(self.value, 2) > 1 or self.only_better)

    @property
    def only_better(self) -> bool:
        """Whether all that is known is that the loss is better than the control's after as long."""
        return form.gain(self.value, self.bound) == form.BETTER


def gained(line: Line, seconds: float, loss: float) -> Gained | None:
    """What a run of these ``seconds`` and this final ``loss`` gains over a control's ``line``.

    >>> line = Line(losses=np.array([2.0, 3.0]), seconds=np.array([10.0, 5.0]))
    >>> gained(line, 5.0, 2.5), gained(line, 5.0, 1.9)
    (Gained(value=1.5, bound=''), Gained(value=2.0, bound='at least'))

    Returns:
        None where there is no line.
    """
    if not len(line.losses) or not seconds > 0:
        return None
    there = line.seconds_at(loss)
    if there is not None:
        return Gained(float(there / seconds))
    if loss < line.losses[0]:
        tried = tried_for(float(line.seconds[0]), line.longest, seconds)
        return Gained(tried / seconds, "at least")
    return Gained(float(line.seconds[-1] / seconds), "at most")


@dataclass(frozen=True)
class Controls:
    """The controls that a search trained.

    Attributes:
        lines: a line for each kind, always one for the own control; none for a rival of which no
            run finished.
        highest: the worst loss of each rival's runs.
    """

    lines: Mapping[ControlKind, Line]
    highest: Mapping[ControlKind, float] = field(default_factory=dict)

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Controls:
        """The controls in a table of trials."""
        runs = finished(frame)
        kinds = control_kinds(runs)
        own = line_through(runs[kinds == OWN])
        # bool said, as an array of no runs would be of floats, which are no mask.
        no_worse = np.array([_no_worse(own, *axes) for axes in runs[list(AXES)].to_numpy()], bool)
        lines, highest = {OWN: own}, {}
        for rival in RIVALS:
            if (kinds == rival).any():
                lines[rival] = line_through(runs[(kinds == rival) & no_worse | (kinds == OWN)])
                highest[rival] = float(runs.loc[kinds == rival, "val_loss"].max())
        return cls(lines, highest)

    @property
    def own(self) -> Line:
        """The own control's line."""
        return self.lines[OWN]

    def gains(self, seconds: float, loss: float) -> dict[ControlKind, Gained]:
        """What a run of these ``seconds`` and this final ``loss`` gains over each control, without
        the controls that it cannot be compared with.
        """
        found = {kind: gained(line, seconds, loss) for kind, line in self.lines.items()}
        return {
            kind: replace(gain, loose=bool(loss > self.highest.get(kind, math.inf)))
            for kind, gain in found.items()
            if gain is not None
        }


def gain_columns(controls: Controls, seconds: float, loss: float) -> dict[str, float | None]:
    """What a run of these ``seconds`` and this final ``loss`` gains, by the names of the columns.

    There is a gain over each control, None where that control never had the loss, and
    ``gain_at_least``, the bound over the own control in that case. A gain over a rival is None,
    too, where all of its runs ended at better losses.
    """
    found = controls.gains(seconds, loss)
    known = {kind: gain.value for kind, gain in found.items() if not gain.said}
    own = found.get(OWN)
    bound = own.value if own is not None and own.bound == "at least" else None
    rivals = {f"gain_over_{kind}": known.get(kind) for kind in RIVALS}
    return {"gain": known.get(OWN), "gain_at_least": bound, **rivals}


def gain_table(frame: pd.DataFrame) -> pd.DataFrame:
    """``gain_columns`` of every finished trial of ``frame``, a row for each trial, with the index
    of ``frame``; all null for trials that did not finish.
    """
    controls = Controls.of(frame)
    done = finished(frame)
    axes = done[list(AXES)].to_numpy()
    rows = [gain_columns(controls, seconds, loss) for seconds, loss in axes]
    columns = ["gain", "gain_at_least", *(f"gain_over_{kind}" for kind in RIVALS)]
    table = pd.DataFrame(rows, index=done.index, columns=columns, dtype=float)
    return table.reindex(frame.index)


def _no_worse(own: Line, seconds: float, loss: float) -> bool:
    """Whether a rival's run belongs to its line: it lies left of the own control's line, or below
    all of it.
    """
    gain = gained(own, seconds, loss)
    return gain is None or gain.value >= 1 or gain.bound == "at least"


@dataclass(frozen=True)
class Best:
    """The finished trial that gains most among those of its kind.

    Attributes:
        row: the trial's row of the table.
        gains: what it gains over each control.
    """

    row: pd.Series
    gains: Mapping[ControlKind, Gained]

    @property
    def number(self) -> int:
        """The trial's number."""
        return int(self.row["number"])

    def never_near(self, kind: ControlKind) -> bool:
        """Whether all that is known about a rival is that none of its runs had the loss: the bound
        is then the own control's, whose run the rival's line goes through as well.
        """
        gain = self.gains[kind]
        return kind != OWN and gain.bound == "at least" and gain == self.gains[OWN]

    @property
    def not_ahead_of(self) -> ControlKind | None:
        """The rival that the trial gains nothing over: the one that it gains less over where there
        are two, None where there is none.
        """
        behind = [k for k in RIVALS if k in self.gains and not self.gains[k].ahead]
        return min(behind, key=lambda kind: self.gains[kind].value, default=None)


@dataclass(frozen=True)
class Bests:
    """The trials that gain most over the own control; None where none of its kind gains anything.

    Attributes:
        recipe: the best trial that is no control. None, too, where a trial that never froze a block
            gains more: that is training for less under another name.
        rivals: the best run of the tuned and of the smaller control, by kind.
    """

    recipe: Best | None
    rivals: Mapping[ControlKind, Best]

    @classmethod
    def of(cls, ranked: pd.DataFrame, controls: Controls) -> Bests:
        """The bests among finished trials that are ranked, best first."""
        kinds = control_kinds(ranked)
        recipe = _first(ranked[[kind is None for kind in kinds]], controls)
        if recipe is not None and never_froze(recipe.row.to_frame().T)[0]:
            recipe = None
        rivals = {kind: _first(ranked[kinds == kind], controls) for kind in RIVALS}
        return cls(recipe, {kind: best for kind, best in rivals.items() if best is not None})


def _first(ranked: pd.DataFrame, controls: Controls) -> Best | None:
    if ranked.empty:
        return None
    row = ranked.iloc[0]
    return Best(row, controls.gains(row["train_seconds"], row["val_loss"]))


def ahead(
    points: pd.DataFrame, controls: Controls, target: float | None, noise: float
) -> pd.DataFrame:
    """The finished trials ``points`` that gain something over the own control, best first.

    Those that reached the ``target`` come first; then those whose loss lies further than ``noise``
    below the own control's at equal seconds, which another seed would hardly reverse; then the
    order is by gain, lower loss and lower number. Where no more is known than that a loss is better
    than the control's after as long, it has to be better by more than noise.
    """
    rows = points[["number", "train_seconds", "val_loss"]].to_dict("records")
    keys = [_rank(row, controls.own, target, noise) for row in rows]
    order = sorted((key, place) for place, key in enumerate(keys) if key is not None)
    return points.iloc[[place for _, place in order]]


def _rank(
    row: Mapping[Any, Any], own: Line, target: float | None, noise: float
) -> tuple[bool, bool, float, float, int] | None:
    """A sort key, lower for better trials; None for a trial that gains nothing."""
    seconds, loss = row["train_seconds"], row["val_loss"]
    gain, there = gained(own, seconds, loss), own.loss_at(seconds)
    if gain is None or there is None or not gain.ahead:
        return None
    missed, doubtful = target is None or loss > target, there - loss <= noise
    if gain.only_better and doubtful:
        return None
    return missed, doubtful, -gain.value, loss, int(row["number"])
