"""Which policy, and then its knobs.

``full_update`` is not among the choices: it is the control, which every search trains at several
horizons anyway, and it has no knob but the horizon to search.
"""

from __future__ import annotations

from policies.dynamic_suffix import DynamicSuffix
from policies.static_suffix import StaticSuffix
from search_spaces.base import POLICY, SearchSpace, horizon
from search_spaces.dynamic_suffix import dynamic_suffix_knobs
from search_spaces.knobs import Choice
from search_spaces.static_suffix import static_suffix_knobs

SPACE = SearchSpace(
    name="schedule",
    title="which policy, its controls, and how long to train",
    knobs=(
        horizon(),
        Choice(
            POLICY,
            (StaticSuffix.name, DynamicSuffix.name),
            meaning="decides which blocks are updated",
        ),
        *static_suffix_knobs(when={POLICY: (StaticSuffix.name,)}),
        *dynamic_suffix_knobs(when={POLICY: (DynamicSuffix.name,)}),
    ),
)
