"""The workload's own knobs in the space that is searched, and all that can be wrong with them.

They are a group of their own behind a gate like a lever's, which is open in three of ten drawn
trials, so that what the levers bring can still be read.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.given import give
from models.knobs import Choice, Float, Int, OwnKnob
from models.levers.own import own_values
from policies.base import Scalar
from search_spaces import knobs
from search_spaces.base import HORIZON, POLICY, SearchSpace
from search_spaces.knobs import Gate, Knob
from search_spaces.levers import AVERAGE, BATCH, DEPTH, INPUT, PREFIX

OWN_MEANING = "the workload's own"
OWN_GATE = "use_own"
RESERVED = frozenset(
    {HORIZON, POLICY, OWN_GATE, AVERAGE, BATCH, DEPTH, INPUT, PREFIX, "use_numbers", "corpus_dir"}
)
"""Names of no lever's or policy's setting that are taken all the same."""


@functools.lru_cache(maxsize=8)
def declared(workload: str) -> Mapping[str, OwnKnob]:
    """The own knobs of a workload, by name.

    Raises:
        ValueError: there is no such workload, or it declares one wrongly.
    """
    from models.registry import own_knobs_of

    return own_knobs_of(workload)


def is_workload(value: object) -> bool:
    """Whether ``value`` may be a workload, or a factory of one, that was passed as an object."""
    return callable(value) or hasattr(value, "make_model")


def known_as(value: object) -> str:
    """The name by which other processes find a workload or factory that was passed as an object.

    Raises:
        ValueError: it cannot be pickled for the processes that train it.
    """
    declared.cache_clear()  # another of that name may have been given before
    return give(value)


def with_own(
    space: SearchSpace, knobs: Sequence[Knob], defaults: Mapping[str, Scalar]
) -> SearchSpace:
    """The space with the workload's ``knobs``, each with its value in the workload as it is."""
    if not knobs:
        return space
    names = ", ".join(k.name for k in knobs)
    gate = Gate(
        OWN_GATE,
        meaning=f"the workload's own {names} turned",
        opens=tuple(k.name for k in knobs),
    )
    gated = (dataclasses.replace(k, when={OWN_GATE: (True,)}) for k in knobs)
    return dataclasses.replace(space, knobs=(*space.knobs, gate, *gated), own=dict(defaults))


def name_faults(names: Sequence[str]) -> list[str]:
    """Faults of names that a workload's own knobs must not have, because a lever, a policy or the
    search has them.
    """
    free = own_values(dict.fromkeys(names, 0)).keys() - RESERVED
    return [
        f"knob {name} of the workload's own must have a name that no lever, policy or search has, "
        "but one has: give the factory's argument another"
        for name in names
        if name not in free
    ]


def without_range(space: SearchSpace, workload: object, asked: Iterable[str]) -> list[str]:
    """Those of the names ``asked`` for that are no knob of the space, but an argument of the
    workload's factory without a range.
    """
    from models.registry import unranged_arguments_of

    known = {k.name for k in space.knobs}
    unknown = [name for name in asked if name not in known]
    try:
        arguments = unranged_arguments_of(workload) if isinstance(workload, str) else []
    except ValueError:
        return []
    return [name for name in unknown if name in arguments]


def no_range(name: str) -> str:
    """The fault of an argument that has no range, and so is no knob: how it becomes one."""
    return (
        f"knob {name} must have a range, but is an argument of the workload's factory without one: "
        f"annotate it, `{name}: Annotated[float, Float(low, high)]` say"
    )


def space_for(space: SearchSpace, workload: object) -> SearchSpace:
    """The space with the own knobs of the workload called ``workload``; the space as it is where
    there is no such workload, or where ``name_faults_of`` finds faults with it.
    """
    if not isinstance(workload, str):
        return space
    try:
        own = declared(workload)
    except ValueError:
        return space
    if name_faults(list(own)):
        return space
    defaults = {name: each.default for name, each in own.items()}
    return with_own(space, [_knob(name, each) for name, each in own.items()], defaults)


def name_faults_of(workload: object) -> list[str]:
    """Faults of the names of a workload's own knobs; its other faults are told where it is
    built.
    """
    try:
        return name_faults(list(declared(workload))) if isinstance(workload, str) else []
    except ValueError:
        return []


def declared_faults(workload: str, corpus: str | None, own: Mapping[str, Scalar]) -> list[str]:
    """What keeps the workload from being built with these values of its own knobs."""
    from models.registry import find_workload

    try:
        find_workload(workload, Path(corpus) if corpus else None, own)
    except ValueError as error:
        return [str(error)]
    return []


def undeclared_faults(workload: str) -> list[str]:
    """What keeps the workload's own knobs from being read."""
    try:
        declared(workload)
    except ValueError as error:
        return [str(error)]
    return []


def range_faults(space: SearchSpace, workload: str) -> list[str]:
    """Faults of values in a user's own ranges that are outside the ranges that the factory
    declares.
    """
    own = declared(workload) if space.own else {}
    return [
        f"{k.name}: values must be {own[k.name].range.span()}, as the workload declares, but got "
        f"{value!r}"
        for k in space.knobs
        if k.name in space.own
        for value in k.values()
        if not own[k.name].range.contains(value)
    ]


def ends(space: SearchSpace) -> list[dict[str, Scalar]]:
    """Values of single own knobs, at the ends of their ranges, that are not their defaults."""
    return [
        {k.name: value}
        for k in space.knobs
        if k.name in space.own
        for value in k.values()
        if value != space.own[k.name]
    ]


def _knob(name: str, own: OwnKnob) -> Knob:
    """A declared knob as a knob of a space."""
    about: dict[str, Any] = {
        "unit": own.range.unit,
        "meaning": own.range.meaning or "the workload's own",
    }
    if isinstance(own.range, Choice):
        return knobs.Choice(name, tuple(own.range.choices), **about)
    if isinstance(own.range, Float):
        return knobs.Float(
            name, float(own.range.low), float(own.range.high), own.range.log, **about
        )
    assert isinstance(own.range, Int), "there are three kinds"
    return knobs.Int(name, own.range.low, own.range.high, own.range.log, **about)
