"""The front of training seconds against validation loss, and what is read off it.

Pure functions over the table of trials (one row a trial, the store's columns); seconds are solo
seconds. A trial enters by its *final* point alone: the losses along its curve were measured before
its learning rate had decayed, so no trial ever stopped there with that loss.

Whether a trial met the target does not decide whether it is on the front: the front is a statement
about all finished trials, the target is where it is read. ``docs/decisions/front-and-censoring.md``
says why.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.levers.own import own_values
from tuning.trial.dominance import Floats, nondominated
from tuning.trial.line import Line
from tuning.trial.recipe import CONTROL_POLICY, KNOB, OFF, recipe_of
from tuning.trial.trial import ASIDE

AXES = ("train_seconds", "val_loss")


def numbers(frame: pd.DataFrame, column: str) -> Floats:
    """A column as floats, shape (rows,); NaN where it is null or absent."""
    if column not in frame.columns:
        return np.full(len(frame), np.nan)
    return np.asarray(
        # Columns may be nullable or, of a row made a frame, objects; text, too, becomes NaN.
        pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    )


def finished(frame: pd.DataFrame) -> pd.DataFrame:
    """The trials that compete, in the frame's order: finished ones that are no replicates, with
    finite seconds and loss.
    """
    seconds, losses = (numbers(frame, axis) for axis in AXES)
    own = (frame["state"] == "finished") & ~frame["origin"].isin(ASIDE)
    kept = frame[own.to_numpy(dtype=bool) & np.isfinite(seconds) & np.isfinite(losses)]
    return kept.assign(**{axis: numbers(kept, axis) for axis in AXES})


def front(frame: pd.DataFrame) -> pd.DataFrame:
    """The non-dominated finished trials, control runs included and replicates aside.

    Returns:
        The rows on the front, by seconds, then loss, then number: the same whatever the order of
            ``frame``.
    """
    return _by_seconds(_front_of(finished(frame)))


def control(frame: pd.DataFrame) -> pd.DataFrame:
    """The finished runs of the own control at any horizon, by seconds.

    A run counts whoever proposed it, so that a sampled full_update is never taken for a schedule
    that wins.
    """
    runs = finished(frame)
    return _by_seconds(runs[controls(runs)])


def never_froze(points: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which of n schedules updated every block in every step and pulled no lever, shape (n,). Such
    a schedule is full_update under another name.
    """
    plain = ~controls(points) & ~levered(points)
    return np.asarray(plain & (numbers(points, "mean_active_fraction") == 1.0))


def line_through(points: pd.DataFrame) -> Line:
    """The line through the points' front."""
    return Line.through(*(numbers(points, axis) for axis in AXES))


def _front_of(points: pd.DataFrame) -> pd.DataFrame:
    return points[nondominated(*(numbers(points, axis) for axis in AXES))]


def _by_seconds(points: pd.DataFrame) -> pd.DataFrame:
    return points.sort_values([*AXES, "number"]).reset_index(drop=True)


def controls(frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which of a table's n rows are runs of the own control, shape (n,)."""
    return np.asarray((frame["policy"] == CONTROL_POLICY).to_numpy(dtype=bool) & ~levered(frame))


def control_kinds(frame: pd.DataFrame) -> npt.NDArray[np.object_]:
    """Which kind of control each of a table's n rows is, None where it is none, shape (n,)."""
    found = np.full(len(frame), None, dtype=object)
    full = (frame["policy"] == CONTROL_POLICY).to_numpy(dtype=bool)
    own = _own_columns(frame)
    # Which control it is shows in switches and own knobs alone; all knobs would take longer.
    columns = ["policy", "horizon", *(KNOB + n for n in OFF if KNOB + n in frame.columns), *own]
    rows = frame.loc[full, columns].to_dict("records")
    found[full] = [recipe_of(row).control_kind for row in rows]
    return found


def _own_columns(frame: pd.DataFrame) -> list[str]:
    """Columns of the workload's own knobs, which are null where one is not turned."""
    names = (str(name) for name in frame.columns)
    # Any value will do: ``own_values`` goes by names.
    knobs = {name.removeprefix(KNOB): 0 for name in names if name.startswith(KNOB)}
    return [KNOB + name for name in own_values(knobs)]


def levered(frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """In which of a table's n rows a lever is pulled or one of the workload's own knobs is turned,
    shape (n,).
    """
    own = frame[_own_columns(frame)].notna().to_numpy(dtype=bool)
    found = np.asarray(own.any(axis=1), dtype=np.bool_)
    for name, off in OFF.items():
        if KNOB + name in frame.columns:
            column = frame[KNOB + name]
            found |= (column.notna() & (column.astype(object) != off)).to_numpy(dtype=bool)
    return found
