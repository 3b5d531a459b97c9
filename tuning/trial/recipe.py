"""Which runs are the control, training for less: full_update with no lever pulled. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

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


class _Row(Protocol):
    """A row of the trials' table: a mapping, or a pandas Series."""

    def __getitem__(self, name: str, /) -> Any: ...

    def get(self, name: str, /) -> Any:
        """The column's value, or None."""


def pulled(knobs: Mapping[str, Any]) -> dict[str, Scalar]:
    """The switches among ``knobs`` that are not off, by name; what is null or not there is off."""
    given: dict[str, Any] = {name: knobs.get(name) for name in OFF}
    return {
        name: value for name, value in given.items() if not _absent(value) and value != OFF[name]
    }


def is_control(policy: str, knobs: Mapping[str, Any]) -> bool:
    """Whether a run of ``policy`` with ``knobs`` is training for less, whoever proposed it."""
    return policy == CONTROL_POLICY and not pulled(knobs)


def is_control_row(row: _Row) -> bool:
    """The same of a row of the trials' table."""
    return is_control(str(row["policy"]), _switches(row))


def is_schedule(policy: str, knobs: Mapping[str, Any], mean_active_fraction: float | None) -> bool:
    """Whether a run did something else than full_update does.

    Froze a block at least once, or pulled a lever.
    """
    return bool(pulled(knobs)) or (policy != CONTROL_POLICY and mean_active_fraction != 1.0)


def schedule_name(row: _Row) -> str:
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


def _switches(row: _Row) -> dict[str, Any]:
    return {name: row.get(KNOB + name) for name in OFF}


Key = tuple[str, float, tuple[tuple[str, Scalar], ...]]


def key(policy: str, horizon: float, knobs: Mapping[str, Scalar]) -> Key:
    """What makes two runs the same schedule; a replicate is matched to its trial by it."""
    values = (
        (name, value if isinstance(value, (bool, str)) else float(value))
        for name, value in knobs.items()
    )
    return policy, float(horizon), tuple(sorted(values))


def _absent(value: object) -> bool:
    """None, and the NaN that a table has in its place."""
    return value is None or value != value
