"""Settings and the rules they keep: what the knobs of a search are, whoever they belong to.

A frozen dataclass of settings declares each with its meaning, unit and range, and refuses values
that break a rule. No value is ever adjusted: what is stored is what ran.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

Scalar = bool | int | float | str


def setting(
    default: Any,
    *,
    meaning: str,
    unit: str = "",
    low: float = -math.inf,
    high: float = math.inf,
    choices: tuple[Scalar, ...] = (),
    likely: float | None = None,
    unsure: float = 0.25,
) -> Any:
    """A field and the rule its value keeps: ``low <= value <= high``, or one of ``choices``.

    Args:
        default: what it is unless told.
        meaning: one line for a reader.
        unit: of its values.
        low: of a number.
        high: likewise.
        choices: all that are allowed.
        likely: a number that has served well, with which a search begins; None: no number has.
        unsure: how far from it a better one may lie, as a share of the range that is searched (a
            standard deviation).
    """
    metadata = {"meaning": meaning, "unit": unit, "low": low, "high": high, "choices": choices}
    if likely is not None:
        metadata |= {"likely": likely, "unsure": unsure}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """Base of everything that has knobs.

    Raises:
        ValueError: a setting breaks its rule; the message names every one that does.
    """

    name: ClassVar[str]

    def __post_init__(self) -> None:
        """Refuse settings that break their rules, all at once."""
        if faults := self.faults():
            raise ValueError(f"{self.name}: " + "; ".join(faults))

    def faults(self) -> list[str]:
        """Every broken rule, as ``rule must hold, but got value``; subclasses add rules between
        settings.
        """
        return [
            fault
            for field in _ruled(cast(Any, type(self)))
            for fault in setting_faults(
                field.name, getattr(self, field.name), str(field.type), field.metadata
            )
        ]


@functools.cache
def _ruled(kind: type[Any]) -> tuple[dataclasses.Field[Any], ...]:
    """The fields of a class that have a rule."""
    return tuple(field for field in dataclasses.fields(kind) if field.metadata)


def setting_faults(name: str, value: object, kind: str, rule: Mapping[str, Any]) -> list[str]:
    """The rules that one setting breaks: its type, its choices, its bounds."""
    if rule["choices"]:
        ok = any(value == c and type(value) is type(c) for c in rule["choices"])
        return [] if ok else [f"{name} must be one of {list(rule['choices'])}, but got {value!r}"]
    expected = {"float": (int, float), "int": (int,), "bool": (bool,), "str": (str,)}[kind]
    if not isinstance(value, expected) or (isinstance(value, bool) and kind != "bool"):
        return [f"{name} must be a {kind}, but got {value!r}"]
    if isinstance(value, (int, float)) and not rule["low"] <= value <= rule["high"]:
        return [
            f"{rule['low']:g} <= {name} <= {rule['high']:g} must hold, but got {name}={value!r}"
        ]
    return []
