"""A recipe taken apart: what it does beside the workload's own, piece by piece. Pure.

A piece is a lever that is pulled, a policy that is not the control's, or a knob of the workload's
own that is turned. The lever of the optimizer is two: whose rule it is, and its numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from models.levers.lever import Lever
from models.levers.optimizer import MUON, NUMBERS, OWN, Optimization
from policies.rules import Scalar
from tuning.trial.recipe import CONTROL_POLICY, Recipe

OPTIMIZER, ITS_NUMBERS = "optimizer", "optimizer's numbers"


@dataclass(frozen=True)
class Piece:
    """One of the things that a recipe does.

    Attributes:
        name: the lever's, the policy's, or the knob's.
        knobs: its settings that are not at their defaults, by name.
        policy: the policy, where it is one.
    """

    name: str
    knobs: Mapping[str, Scalar]
    policy: str | None = None


def pieces_of(recipe: Recipe) -> tuple[Piece, ...]:
    """The recipe's pieces: the policy, where it is not the control's, every lever that is pulled,
    and the workload's own knobs that are turned.

    >>> knobs = {"optimizer": "muon", "rate": 2.0, "batch_start": 0.5, "batch_end": 1.0}
    >>> [(piece.name, *piece.knobs) for piece in pieces_of(Recipe("full_update", 1.0, knobs))]
    [('batch', 'batch_start'), ('optimizer', 'optimizer'), ("optimizer's numbers", 'rate')]

    Raises:
        ValueError: the policy is unknown, or a knob is or breaks its rule.
    """
    policy, levers = recipe.policy_and_levers()
    found = []
    if recipe.policy != CONTROL_POLICY:
        found.append(Piece(recipe.policy, _changed(type(policy), recipe), recipe.policy))
    for lever in levers.parts:
        found += (
            _of_optimizer(lever, recipe) if isinstance(lever, Optimization) else _of(lever, recipe)
        )
    found += [Piece(name, {name: value}) for name, value in recipe.own.items()]
    return tuple(found)


def together(pieces: Iterable[Piece], horizon: float) -> Recipe:
    """The recipe that does all of ``pieces``, and nothing else, for ``horizon``."""
    # They are read twice, and ``without`` hands over a generator.
    pieces = tuple(pieces)
    policy = next((piece.policy for piece in pieces if piece.policy), CONTROL_POLICY)
    return Recipe(policy, horizon, {k: v for piece in pieces for k, v in piece.knobs.items()})


def without(recipe: Recipe, piece: Piece) -> Recipe:
    """The recipe with one of its pieces off."""
    return together((each for each in pieces_of(recipe) if each != piece), recipe.horizon)


def plain(recipe: Recipe) -> Recipe:
    """The recipe in as few knobs as will do, so that two recipes that train alike mostly have the
    same knobs. Settings at their defaults are left out, and those of levers that are off.
    """
    return together(pieces_of(recipe), recipe.horizon)


def _of(lever: Lever, recipe: Recipe) -> Iterator[Piece]:
    if lever.on:
        yield Piece(lever.name, _changed(type(lever), recipe))


def _of_optimizer(lever: Optimization, recipe: Recipe) -> Iterator[Piece]:
    changed = _changed(Optimization, recipe)
    numbers = {name: value for name, value in changed.items() if name in NUMBERS}
    rule = {name: value for name, value in changed.items() if name not in NUMBERS}
    if lever.optimizer != OWN:
        # Muon's own numbers do nothing under another rule; recipes that train alike are one run.
        muons = rule if lever.optimizer == MUON else {OPTIMIZER: lever.optimizer}
        yield Piece(OPTIMIZER, muons)
    if numbers:
        yield Piece(ITS_NUMBERS, numbers)


def _changed(owner: type, recipe: Recipe) -> dict[str, Scalar]:
    """The recipe's knobs that are settings of ``owner`` and not at their defaults."""
    defaults = {field.name: field.default for field in dataclasses.fields(owner)}
    return {n: v for n, v in recipe.knobs.items() if n in defaults and v != defaults[n]}
