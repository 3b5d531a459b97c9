"""Schedule, approximation and computing at once, each conditional on being chosen at all."""

from __future__ import annotations

from models.levers.approximation import NONE, Approximation
from policies.dynamic_suffix import DynamicSuffix
from policies.full_update import FullUpdate
from policies.static_suffix import StaticSuffix
from search_spaces.attention import computing_knobs
from search_spaces.base import POLICY, SearchSpace, horizon, knob
from search_spaces.dynamic_suffix import dynamic_suffix_knobs
from search_spaces.knobs import Choice
from search_spaces.low_rank import low_rank_knobs
from search_spaces.static_suffix import static_suffix_knobs

KINDS = ("svd", "data_aware", "monarch", "hidden_units")

SPACE = SearchSpace(
    name="joint",
    title="which policy, which matrices, which kernels, and how long to train",
    knobs=(
        horizon(),
        Choice(
            POLICY,
            (FullUpdate.name, StaticSuffix.name, DynamicSuffix.name),
            meaning="decides which blocks are updated",
        ),
        *static_suffix_knobs(when={POLICY: (StaticSuffix.name,)}),
        *dynamic_suffix_knobs(when={POLICY: (DynamicSuffix.name,)}),
        knob(Approximation, "approximation", choices=(NONE, *KINDS)),
        *low_rank_knobs(on={"approximation": KINDS}),
        *computing_knobs(),
    ),
)
