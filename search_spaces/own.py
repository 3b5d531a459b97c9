"""The workload's own knobs in any space: in a group of their own, behind a gate like a lever's.

The gate is open in three of ten drawn trials, so that what the others' levers bring can be read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from models.levers.own import own_values
from policies.base import Scalar
from search_spaces.base import HORIZON, POLICY, SearchSpace
from search_spaces.knobs import Gate, Knob
from search_spaces.levers import AVERAGE, BATCH, DEPTH, INPUT, PREFIX

OWN_GATE = "use_own"
RESERVED = frozenset(
    {HORIZON, POLICY, OWN_GATE, AVERAGE, BATCH, DEPTH, INPUT, PREFIX, "use_numbers", "corpus_dir"}
)
"""Names that are neither a lever's nor a policy's and yet taken."""


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
    """Names that a workload's own knob must not have, as they are another's."""
    free = own_values(dict.fromkeys(names, 0)).keys() - RESERVED
    return [
        f"knob {name} of the workload's own must have a name that no lever, policy or search has, "
        "but one has: give the factory's argument another"
        for name in names
        if name not in free
    ]
