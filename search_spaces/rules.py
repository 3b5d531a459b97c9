"""Whether every point of a space is a valid policy with valid levers.

No knob is ever clamped, so a space with one invalid point would make trials that cannot run. The
policies' own rules decide. A rule that is monotone in each setting breaks first where knobs are at
the ends of their ranges, so corners are tried: all pairs of ends of every two knobs of one policy
or lever, the others at ends drawn with a fixed seed, and many corners at large.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import itertools
import random
from collections.abc import Callable, Iterator

from models.levers.levers import kinds, lever_settings, make_lever
from policies.base import Scalar
from policies.registry import policies
from search_spaces.base import HORIZON, POLICY, SearchSpace, as_levers, as_policy
from search_spaces.knobs import Gate, Knob

CORNERS_AT_LARGE = 256


def space_faults(space: SearchSpace) -> list[str]:
    """Every fault of a space in its knobs, conditions and names.

    If there are none, the corners of the space that no policy accepts.
    """
    faults = [fault for k in space.knobs for fault in k.faults()]
    faults += [*_name_faults(space), *_condition_faults(space)]
    return faults or _corner_faults(space)


def nearest(name: str, known: list[str]) -> str:
    """`` (did you mean ...?)`` for a name close to a known one, or what is known."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(sorted(known))}"


def _name_faults(space: SearchSpace) -> Iterator[str]:
    names = [k.name for k in space.knobs]
    yield from (f"{name}: a knob must appear once, but appears twice" for name in _twice(names))
    unknown = [name for name in space.policies() if name not in policies()]
    yield from (f"policy must be one of {sorted(policies())}, but got {name!r}" for name in unknown)
    if not space.policies():
        yield f"space {space.name} must have a policy or a knob named policy, but has neither"
    for k in space.knobs:
        yield from _owner_faults(space, k)
    yield from (
        f"0 < {HORIZON} must hold, but got {value!r}"
        for k in space.knobs
        if k.name == HORIZON
        for value in k.values()
        if not (isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0)
    )


def _owner_faults(space: SearchSpace, k: Knob) -> Iterator[str]:
    if k.name in (HORIZON, POLICY) or isinstance(k, Gate) or k.name in space.own:
        return
    for owner in k.when.get(POLICY, space.policies()):
        if str(owner) in policies():
            settings = [f.name for f in dataclasses.fields(policies()[str(owner)])]
            settings += lever_settings()
            if k.name not in settings:
                near = nearest(k.name, settings)
                yield f"{k.name} must be a setting of {owner} or of a lever, but is neither: {near}"


def _condition_faults(space: SearchSpace) -> Iterator[str]:
    before: list[str] = []
    for k in space.knobs:
        yield from (
            f"{k.name}: a condition must name an earlier knob, but names {parent!r}"
            for parent in k.when
            if parent not in before
        )
        before.append(k.name)


def _corner_faults(space: SearchSpace) -> list[str]:
    found: dict[str, str] = {}
    for owner, part, corner in _corners(space):
        for make in _makers(owner):
            try:
                make(part, corner)
            except ValueError as error:
                for fault in str(error).split("; "):
                    found.setdefault(fault.partition(", but got")[0], fault)
    return [
        "every point of the space must be a valid policy with valid levers, but one is not: "
        f"{fault}"
        for fault in found.values()
    ]


def _makers(owner: str | None) -> tuple[Callable[[SearchSpace, dict[str, Scalar]], object], ...]:
    """Functions that make of a corner what ``owner`` is; those of policies and levers where it is
    None.
    """
    if owner is None:
        return as_policy, as_levers
    if owner == POLICY:
        return (as_policy,)
    (kind,) = (kind for kind in kinds() if kind.name == owner)
    return (lambda space, corner: make_lever(kind, space.split(corner)[2]),)


def _corners(space: SearchSpace) -> Iterator[tuple[str | None, SearchSpace, dict[str, Scalar]]]:
    """(whose settings are tried, the part of the space that has them, a corner of it); None and the
    space itself for corners at large.
    """
    rng = random.Random(0)  # noqa: S311 - which corners are tried, not a secret
    owners: dict[str | None, list[Knob]] = {}
    for k in space.searched:
        owners.setdefault(None if isinstance(k, Gate) else owner_of(k.name), []).append(k)
    for owner, mine in owners.items():
        part = space if owner is None else _part(space, owner)
        for a, b in itertools.combinations_with_replacement(mine, 2):
            enabling = _enabling(space, a) | _enabling(space, b)
            for ends in itertools.product(a.values(), b.values()):
                chosen = enabling | dict(zip((a.name, b.name), ends, strict=True))
                yield owner, part, _corner(part, rng, chosen)
    for _ in range(CORNERS_AT_LARGE):
        yield None, space, _corner(space, rng, {})


def _part(space: SearchSpace, owner: str) -> SearchSpace:
    """The space with the knobs of one owner and with those that decide whether they apply.

    That is enough, as no rule is between settings of two owners.
    """
    needed: set[str] = {POLICY}
    for k in reversed(space.knobs):  # a condition names an earlier knob
        if k.name in needed or owner_of(k.name) == owner:
            needed |= {k.name, *k.when}
    return dataclasses.replace(space, knobs=tuple(k for k in space.knobs if k.name in needed))


@functools.cache
def owner_of(name: str) -> str:
    """The lever whose setting a name is; one name for all policies and what is the search's own."""
    owners = (kind.name for kind in kinds() if name in {f.name for f in dataclasses.fields(kind)})
    return next(owners, POLICY)


def _corner(space: SearchSpace, rng: random.Random, chosen: dict[str, Scalar]) -> dict[str, Scalar]:
    return space.decide(lambda k: chosen[k.name] if k.name in chosen else rng.choice(k.values()))


def _enabling(space: SearchSpace, k: Knob) -> dict[str, Scalar]:
    """Values of earlier knobs under which ``k`` applies."""
    needed: dict[str, Scalar] = {}
    for parent, values in k.when.items():
        needed |= _enabling(space, space.knob(parent))
        needed[parent] = next(value for value in values if space.knob(parent).contains(value))
    return needed


def _twice(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
