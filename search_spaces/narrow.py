"""A user's own ranges: narrows, fixes or widens the knobs of a space.

In TOML::

    [knobs]
    ema_beta = 0.9                    # fixes it
    relevance = { choices = ["ratio"] }
    [knobs.probe_every]
    low = 10                          # what is not given stays as it was
    high = 200
    log = true

A range may be wider than the space's own as long as the policy allows it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from policies.base import Scalar
from search_spaces.base import SearchSpace
from search_spaces.knobs import Choice, Fixed, Float, Gate, Int, Knob, same
from search_spaces.rules import nearest, space_faults

RANGE_KEYS = ("low", "high", "log")
CHOICE_KEYS = ("choices",)


def narrow(space: SearchSpace, overrides: Mapping[str, object]) -> tuple[SearchSpace, list[str]]:
    """The space with ``overrides`` applied, and every fault found.

    Where there are faults the space returned is not to be used: the faulty overrides were left out
    of it.
    """
    narrowed, faults = applied(space, overrides)
    return narrowed, faults + space_faults(narrowed)


def applied(space: SearchSpace, overrides: Mapping[str, object]) -> tuple[SearchSpace, list[str]]:
    """As ``narrow``, without checking the knobs together, which takes up to half a second.

    It is for overrides that were checked before.
    """
    known = [k.name for k in space.knobs]
    faults = [
        f"knob {name!r} must be one of space {space.name}, but is not: {nearest(name, known)}"
        for name in overrides
        if name not in known
    ]
    knobs = []
    for k in space.knobs:
        changed, new_faults = _override(k, overrides[k.name]) if k.name in overrides else (k, [])
        knobs.append(changed)
        faults += new_faults
    return dataclasses.replace(space, knobs=tuple(knobs)), faults


def unheeded(space: SearchSpace, overrides: Mapping[str, object]) -> list[str]:
    """Faults of those ``overrides`` that are sound but that other overrides leave without effect.

    A knob that is held at a value at which it changes nothing may be given beside any other.
    """
    narrowed, found = applied(space, overrides)[0], []
    for name in overrides:
        k = narrowed.knob(name)
        by = narrowed.ruled_out(k)
        if by is None or space.ruled_out(space.knob(name)) is not None or _is_off(space, k):
            continue
        found.append(
            f"{name} must apply at some point of the space, but never does where {by.name} is "
            f"{by.span()}: leave {name} out, or give {by.name} another value"
        )
    return found


def _is_off(space: SearchSpace, k: Knob) -> bool:
    """Whether the knob is held at what a recipe without it has."""
    if isinstance(k, Gate):
        return True not in k.choices
    defaults = (space.neutral(policy).get(k.name) for policy in space.policies())
    return isinstance(k, Fixed) and any(same(k.value, value) for value in defaults)


def _override(k: Knob, given: object) -> tuple[Knob, list[str]]:
    if not isinstance(given, Mapping):
        return _fix(k, given)
    keys = CHOICE_KEYS if isinstance(k, Choice) else RANGE_KEYS
    faults = _key_faults(k, given, keys)
    faults += [fault for key in keys if key in given for fault in _type_faults(k, key, given[key])]
    if faults:
        return k, faults
    return _with(k, given), []


def _key_faults(k: Knob, given: Mapping[str, object], keys: tuple[str, ...]) -> list[str]:
    if not given:
        return [f"{k.name}: a table must give at least one of {', '.join(keys)}, but gives none"]
    return [
        f"{k.name}: a table must hold only {', '.join(keys)}, but got {str(key)!r}"
        for key in given
        if key not in keys
    ]


def _type_faults(k: Knob, key: str, value: object) -> list[str]:
    if key == "log":
        right, kind = isinstance(value, bool), "true or false"
    elif key == "choices":
        right, kind = _is_list_of_scalars(value), "a list of values"
    else:
        right, kind = _is_number(value, whole=isinstance(k, Int)), _kind(k)
    return [] if right else [f"{k.name}: {key} must be {kind}, but got {value!r}"]


def _fix(k: Knob, value: object) -> tuple[Knob, list[str]]:
    if isinstance(k, Gate):
        if not isinstance(value, bool):
            return k, [f"{k.name} must be true or false, but got {value!r}"]
        return dataclasses.replace(k, choices=(value,)), []
    if isinstance(k, (Int, Float)) and not _is_number(value, whole=isinstance(k, Int)):
        table = " or a table { low = …, high = … }" if isinstance(value, (list, tuple)) else ""
        return k, [f"{k.name} must be {_kind(k)}{table}, but got {value!r}"]
    if not isinstance(value, (bool, int, float, str)):
        table = "{ choices = [ … ] }" if isinstance(k, Choice) else ""
        return k, [f"{k.name} must be a value or a table {table}".rstrip() + f", but got {value!r}"]
    fixed: Scalar = float(value) if isinstance(k, Float) else value
    return Fixed(k.name, fixed, unit=k.unit, meaning=k.meaning, when=k.when), []


def _with(k: Knob, given: Mapping[str, object]) -> Knob:
    changes = dict(given)
    if isinstance(k, Choice):
        changes["choices"] = tuple(given["choices"])  # type: ignore[arg-type]
    elif isinstance(k, Float):
        changes |= {key: float(changes[key]) for key in ("low", "high") if key in changes}  # type: ignore[arg-type]
    return dataclasses.replace(k, **changes)  # type: ignore[arg-type]


def _is_number(value: object, *, whole: bool) -> bool:
    return isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)


def _is_list_of_scalars(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(
        isinstance(v, (bool, int, float, str)) for v in value
    )


def _kind(k: Knob) -> str:
    return "a whole number" if isinstance(k, Int) else "a number"
