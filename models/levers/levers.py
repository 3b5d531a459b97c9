"""All levers of one run together, and which of a trial's knobs are theirs. Pure; no torch."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import models.levers as package
from models.levers.approximation import Approximation
from models.levers.cached_prefix import CachedPrefix
from models.levers.form import PLAIN, Form
from models.levers.lever import Lever
from policies.rules import Scalar

REWARM_STEPS = 20
"""After a change of form the learning rate rises linearly over so many steps.

What was put in has no moments yet.
"""
MOVE_THE_PREFIX = ("approximation", "depth")
"""Levers that change what the bottom blocks make of an example."""
_SKIPPED = {"levers", "own", "planning", "shaping"}
"""This module, and those above it."""
LeverT = TypeVar("LeverT", bound=Lever)


@functools.cache
def kinds() -> tuple[type[Lever], ...]:
    """Every lever: each ``Lever`` with a ``name`` in a module of this package, by that name.

    >>> [kind.name for kind in kinds()][:4]
    ['approximation', 'averaging', 'batch', 'cached_prefix']
    """
    names = sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name not in _SKIPPED)
    found: dict[str, type[Lever]] = {}
    for module in (importlib.import_module(f"{package.__name__}.{name}") for name in names):
        for value in vars(module).values():
            if _is_lever(value) and value.__module__ == module.__name__:
                if value.name in found:
                    raise TypeError(
                        f"two levers are named {value.name!r}: {found[value.name]}, {value}"
                    )
                found[value.name] = value
    return tuple(found[name] for name in sorted(found))


def _is_lever(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Lever) and "name" in vars(value)


@dataclass(frozen=True, init=False)
class Levers:
    """What is done to a run beside its schedule; nothing, by default.

    Attributes:
        parts: the settings of every lever there is, by its name.
    """

    parts: tuple[Lever, ...]

    def __init__(self, *given: Lever) -> None:
        own = {type(part): part for part in given}
        if len(own) < len(given) or not own.keys() <= set(kinds()):
            raise TypeError(f"levers must be of kinds {kinds()}, one each, but got {given}")
        object.__setattr__(self, "parts", tuple(own.get(kind) or kind() for kind in kinds()))

    def of(self, kind: type[LeverT]) -> LeverT:
        """The settings of one lever."""
        return next(part for part in self.parts if isinstance(part, kind))

    def having(self, lever: Lever) -> Levers:
        """These with ``lever`` in place of the one of its kind."""
        return Levers(*(lever if type(part) is type(lever) else part for part in self.parts))

    def settled(self, num_blocks: int = 0) -> Levers:
        """All with what changes nothing at its default: see ``Lever.settled``."""
        return Levers(*(part.settled(num_blocks) for part in self.parts))

    @property
    def clash(self) -> str | None:
        """Which of them cannot be pulled together, and why; None where all can."""
        others = [part.name for part in self.parts if part.on and part.name in MOVE_THE_PREFIX]
        if not (others and self.of(CachedPrefix).on):
            return None
        return (
            f"cached_prefix and {' and '.join(others)} must not be pulled together, as kept "
            "activations would be of another prefix"
        )

    @property
    def used(self) -> bool:
        """Whether a run with them differs from one without."""
        return any(part.on for part in self.parts)

    def form(self, fraction: float, now: Form, steps_in_form: int) -> Form:
        """The form of the next step.

        Args:
            fraction: of the horizon that is spent.
            now: the form of the step before; ``PLAIN`` before the first.
            steps_in_form: how many steps have been taken in that form.
        """
        lever = self.of(Approximation)
        if not lever.applies(fraction):
            return self._shaped(PLAIN, fraction)
        recovers = lever.recovery_steps > 0 and (
            not now.approximated or (now.recovering and steps_in_form < lever.recovery_steps)
        )
        return self._shaped(self._approximated(recovers), fraction)

    def forms(self, num_blocks: int) -> tuple[Form, ...]:
        """Every form but ``PLAIN`` that a run can have, of a model with ``num_blocks``."""
        lever = self.of(Approximation)
        found = [PLAIN]
        if lever.on:
            recovering = (True, False) if lever.recovery_steps else (False,)
            found += [self._approximated(each) for each in recovering]
        for part in self.parts:
            shaped = (each for form in found for each in part.shapes(form, num_blocks))
            found = list(dict.fromkeys(shaped))
        lasting = (form.lasting for form in found)
        return tuple(form for form in dict.fromkeys((*lasting, *found)) if form != PLAIN)

    def charges(self, num_blocks: int) -> tuple[str, ...]:
        """Names of all that a run can be charged for beside steps in the workload's own form."""
        events = (event for part in self.parts for event in part.events(num_blocks))
        return (*(form.key for form in self.forms(num_blocks)), *events)

    def _approximated(self, recovering: bool) -> Form:
        lever = self.of(Approximation)
        return Form(lever.approximation, lever.share, lever.placement, recovering)

    def _shaped(self, form: Form, fraction: float) -> Form:
        for part in self.parts:
            form = part.shaped(form, fraction)
        return form


NO_LEVERS = Levers()


def ramp(steps_in_form: int) -> float:
    """The factor on the learning rate after a change of form.

    >>> ramp(0), ramp(9), ramp(19), ramp(500)
    (0.05, 0.5, 1.0, 1.0)
    """
    return min(1.0, (steps_in_form + 1) / REWARM_STEPS)


def switches() -> dict[str, Scalar]:
    """Settings that turn a lever on, by name, with their values in a run that pulls none."""
    return {name: value for kind in kinds() for name, value in kind.off().items()}


def lever_settings() -> dict[str, dataclasses.Field[Any]]:
    """Every lever's settings by name."""
    return {name: f for kind in kinds() for name, f in _settings_of(cast(Any, kind)).items()}


@functools.cache
def _settings_of(kind: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    """A lever's settings by name. A space makes the levers of thousands of its points to be
    checked, and ``dataclasses.fields`` looks through the class each time.
    """
    return {f.name: f for f in dataclasses.fields(kind)}


def divide_knobs(knobs: Mapping[str, Scalar]) -> tuple[dict[str, Scalar], dict[str, Scalar]]:
    """(the policy's knobs, the levers')."""
    known = lever_settings()
    mine = {name: value for name, value in knobs.items() if name in known}
    return {name: value for name, value in knobs.items() if name not in known}, mine


def load_levers(path: str | Path) -> Levers:
    """The levers that a file of ``tuning.export`` names under ``[levers]``; none where it names
    none.

    Raises:
        ValueError: the file cannot be read, is not TOML, or a setting is unknown or breaks its
            rule.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8")).get("levers", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(
            f"settings must be a readable TOML file, but {path} is not: {error}"
        ) from error
    policys, _ = divide_knobs(table)
    if policys:
        raise ValueError(
            f"[levers] must hold only {sorted(lever_settings())}, but got {sorted(policys)}"
        )
    return make_levers(table)


def make_levers(knobs: Mapping[str, Scalar]) -> Levers:
    """The levers that a trial's knobs describe; those of the policy are not looked at.

    Raises:
        ValueError: a value breaks its rule; the message names every one.
    """
    parts: list[Lever] = []
    faults: list[str] = []
    for kind in kinds():
        try:
            parts.append(make_lever(kind, knobs))
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError("; ".join(faults))
    levers = Levers(*parts)
    if clash := levers.clash:
        raise ValueError(clash)
    return levers


def make_lever(kind: type[LeverT], knobs: Mapping[str, Scalar]) -> LeverT:
    """One lever as a trial's knobs describe it; those of others are not looked at.

    Raises:
        ValueError: a value breaks its rule; the message names every one.
    """
    names = _settings_of(cast(Any, kind))
    return kind(**{name: value for name, value in knobs.items() if name in names})
