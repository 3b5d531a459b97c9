"""Which runs are the control, training for less: full_update with no lever pulled. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.levers.approximation import NONE
from models.levers.computing import DEFAULT
from policies.rules import Scalar

CONTROL_POLICY = "full_update"
OFF: Mapping[str, Scalar] = {
    "approximation": NONE,
    "attention_backend": DEFAULT,
    "dtype": "float32",
    "compiled": False,
}
"""The levers' switches, and their values in a run whose model is the workload's own."""
KNOB = "knob_"


def pulled(knobs: Mapping[str, Any]) -> dict[str, Scalar]:
    """The switches among ``knobs`` that are not off, by name; what is null or not there is off."""
    given: dict[str, Any] = {name: knobs.get(name) for name in OFF}
    return {name: value for name, value in given.items() if not pd.isna(value) and value != OFF[name]}


def is_control(policy: str, knobs: Mapping[str, Any]) -> bool:
    """Whether a run of ``policy`` with ``knobs`` is training for less, whoever proposed it."""
    return policy == CONTROL_POLICY and not pulled(knobs)


def is_control_row(row: Mapping[str, Any] | pd.Series) -> bool:
    """The same of a row of the trials' table."""
    return is_control(str(row["policy"]), _switches(row))


def controls(frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """The same of each of a table's n rows, shape (n,)."""
    return np.asarray((frame["policy"] == CONTROL_POLICY).to_numpy(dtype=bool) & ~levered(frame))


def levered(frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """In which of a table's n rows a lever is pulled, shape (n,)."""
    found = np.zeros(len(frame), dtype=bool)
    for name, off in OFF.items():
        if KNOB + name in frame.columns:
            column = frame[KNOB + name]
            found |= (column.notna() & (column.astype(object) != off)).to_numpy(dtype=bool)
    return found


def is_schedule(policy: str, knobs: Mapping[str, Any], mean_active_fraction: float | None) -> bool:
    """Whether a run did something else than full_update does: froze a block at least once, or pulled a lever."""
    return bool(pulled(knobs)) or (policy != CONTROL_POLICY and mean_active_fraction != 1.0)


def schedule_name(row: Mapping[str, Any] | pd.Series) -> str:
    """What a reader knows a trial by: its policy, and the levers that are pulled.

    >>> schedule_name({"policy": "full_update", "knob_approximation": "svd", "knob_compiled": True})
    'full_update + svd + compiled'
    """
    return named(str(row["policy"]), _switches(row))


def named(policy: str, knobs: Mapping[str, Any]) -> str:
    """The same of a run of ``policy`` with ``knobs``."""
    words = [name if value is True else str(value) for name, value in pulled(knobs).items()]
    return " + ".join([policy, *words])


def named_shortly(policy: str, knobs: Mapping[str, Any]) -> str:
    """The same where there is little room: a plus for all levers together."""
    return f"{policy}{'+' if pulled(knobs) else ''}"


def _switches(row: Mapping[str, Any] | pd.Series) -> dict[str, Any]:
    return {name: row.get(KNOB + name) for name in OFF}
