"""Everything that may make a run sooner: every lever behind a gate, and the note's schedules.

What the workload cannot have is left out when a search begins. A kept prefix goes with all blocks
present and with full updates, cheaper matrices with none of what changes a step's forms.
"""

from __future__ import annotations

from collections.abc import Mapping

from models.levers.approximation import NONE, Approximation
from models.levers.averaging import EMA
from models.levers.computing import Computing
from models.levers.optimizer import MUON, NUMBERS, OWN, Optimization
from policies.base import COPY, Scalar
from policies.dynamic_suffix import DynamicSuffix
from policies.full_update import FullUpdate
from policies.static_suffix import StaticSuffix
from search_spaces.base import HORIZON, POLICY, SearchSpace, horizon, knob
from search_spaces.dynamic_suffix import dynamic_suffix_knobs
from search_spaces.knobs import Choice, Gate, Knob
from search_spaces.levers import (
    BATCH,
    DEPTH,
    INPUT,
    PREFIX,
    averaging_knobs,
    batch_knobs,
    depth_knobs,
    input_knobs,
    prefix_knobs,
)
from search_spaces.low_rank import low_rank_knobs
from search_spaces.static_suffix import static_suffix_knobs
from search_spaces.tune import shared_numbers

NUMBERS_GATE = "use_numbers"
KINDS = ("svd", "data_aware", "monarch", "hidden_units")


def optimizer_knobs() -> tuple[Knob, ...]:
    """Muon or the workload's own, and the numbers of either."""
    muon, on = {"optimizer": (MUON,)}, {NUMBERS_GATE: (True,)}
    return (
        knob(Optimization, "optimizer", choices=(OWN, MUON)),
        knob(Optimization, "muon_momentum", 0.85, 0.98, when=muon),
        knob(Optimization, "newton_schulz_steps", choices=(3, 5), when=muon),
        Gate(NUMBERS_GATE, meaning="the optimizer's numbers are turned", opens=NUMBERS, chance=0.6),
        *shared_numbers(on),
    )


def schedule_knobs() -> tuple[Knob, ...]:
    """Which blocks are updated when."""
    return (
        Choice(
            POLICY,
            (FullUpdate.name, StaticSuffix.name, DynamicSuffix.name),
            meaning="decides which blocks are updated",
            chance=0.2,
        ),
        *static_suffix_knobs(when={POLICY: (StaticSuffix.name,)}),
        *dynamic_suffix_knobs(when={POLICY: (DynamicSuffix.name,)}),
    )


def cheaper_knobs() -> tuple[Knob, ...]:
    """Matrices and kernels."""
    kinds = {"approximation": KINDS}
    # Each combination would be a form of its own to be timed; the space joint has more of them.
    closed: tuple[Scalar, ...] = (False,)
    alone: Mapping[str, tuple[Scalar, ...]] = {
        "optimizer": (OWN,),
        **dict.fromkeys((BATCH, DEPTH, INPUT, PREFIX), closed),
    }
    return (
        knob(Approximation, "approximation", choices=(NONE, *KINDS), chance=0.1, when=alone),
        *low_rank_knobs(on=kinds),
        *(knob(Computing, name, chance=0.1) for name in ("attention_backend", "dtype", "compiled")),
    )


CAREFUL: Mapping[str, Scalar] = {
    "optimizer": MUON,
    "muon_momentum": 0.95,
    "newton_schulz_steps": 3,
    "rate": 1.3,
    "weight_decay_factor": 0.3,
    "beta1_memory": 1.8,
    "beta2_memory": 1.0,
    "warmup_factor": 1.0,
    "decay_added": 0.23,
    "final_rate": 0.05,
}
"""Muon near the workload's own numbers, which a pretrained model bears."""
SOON: Mapping[str, Scalar] = {HORIZON: 0.5}
"""What a recipe gains is told there as well as at longer ones, for less; what leads is then trained
to the target. Where that horizon is not searched, the whole one.
"""
FAST: Mapping[str, Scalar] = {
    "optimizer": MUON,
    "muon_momentum": 0.85,
    "newton_schulz_steps": 3,
    "rate": 5.2,
    "weight_decay_factor": 0.6,
    "beta1_memory": 0.5,
    "beta2_memory": 0.5,
    "warmup_factor": 0.25,
    "decay_added": 0.7,
    "final_rate": 0.1,
    "batch_start": 2.0,
    "batch_end": 2.0,
    "batch_change_at": 0.5,
}
"""Twice the examples at five times the rate, which Muon with a short memory bears."""
GROWING: Mapping[str, Scalar] = {
    "depth_start": 0.5,
    "depth_end": 1.0,
    "growth_at": 0.4,
    "growth_steps": 1,
    "new_blocks": COPY,
}
LATE: Mapping[str, Scalar] = {**GROWING, "growth_at": 0.7}
"""What serves a model with more blocks than it needs, and costs another little."""
SMALL: Mapping[str, Scalar] = {"input_start": 0.5, "input_whole_from": 0.25}
AVERAGED: Mapping[str, Scalar] = {"averaging": EMA, "averaging_window": 0.11}
KEPT: Mapping[str, Scalar] = {
    **CAREFUL,
    **AVERAGED,
    "prefix": 0.25,
    "prefix_until": 1.0,
    "prefix_rate": 1.0,
}
TOP: Mapping[str, Scalar] = {
    **CAREFUL,
    **AVERAGED,
    POLICY: StaticSuffix.name,
    "active_fraction": 0.6,
}
"""Frozen from below, with or without keeping what those blocks give: for a pretrained model."""
LAST_KEPT: Mapping[str, Scalar] = {
    HORIZON: 0.5,
    "prefix": 0.75,
    "prefix_until": 1.0,
    "prefix_rate": 1.0,
}
LAST: Mapping[str, Scalar] = {
    HORIZON: 0.5,
    POLICY: StaticSuffix.name,
    "active_fraction": 0.3,
}
"""The own optimizer on the last blocks alone, as encoders are often fine-tuned on few examples; in
half the time they take about as many steps, and twice as many would overfit.
"""

_SUGGESTED: tuple[tuple[Mapping[str, Scalar], ...], ...] = (
    ({**SOON, **FAST, **LATE}, {**SOON, **FAST}, {**FAST, **LATE}, FAST),
    (KEPT,),
    ({**SOON, **FAST, **GROWING}, {**FAST, **GROWING}),
    (
        {**SOON, **FAST, **GROWING, **SMALL},
        {**SOON, **FAST, **SMALL},
        {**FAST, **GROWING, **SMALL},
        {**FAST, **SMALL},
    ),
    (KEPT, TOP, CAREFUL),  # where it came second, none of the others
    (LAST_KEPT, LAST),
)
"""They came first in searches of the embedded workloads and on a pretrained encoder
(docs/wins.md); where a workload's blocks cannot be left out, the same without growth. Where
examples come again the model may be pretrained, and the second is then of use where the first is of
none.
"""

SPACE = SearchSpace(
    name="recipe",
    title="every lever, the optimizer's numbers and the schedules, and how long to train",
    knobs=(
        horizon(0.5, 1.0),
        *optimizer_knobs(),
        *batch_knobs(),
        *depth_knobs(),
        *averaging_knobs(),
        *input_knobs(),
        *schedule_knobs(),
        *prefix_knobs(when={DEPTH: (False,), POLICY: (FullUpdate.name,)}),
        *cheaper_knobs(),
    ),
    suggested=_SUGGESTED,
    suggested_pretrained=((KEPT, TOP, CAREFUL), (LAST_KEPT, LAST), *_SUGGESTED),
    rivals=({"depth_start": 0.5, "depth_end": 0.5},),
)
"""A model of half the blocks is what a gain has to be held against, most of all where blocks are
left out.
"""
