"""Which matrices are replaced by ones of low rank or Monarch's structure, how, and when.

Shares and placements are few: each combination is a form of the model whose steps must be timed
when it is first met.
"""

from __future__ import annotations

from collections.abc import Mapping

from models.levers.approximation import Approximation
from policies.base import Scalar
from policies.full_update import FullUpdate
from search_spaces.base import SearchSpace, horizon, knob
from search_spaces.knobs import Knob

KINDS = ("svd", "data_aware", "low_rank_diagonal", "monarch")
Condition = Mapping[str, tuple[Scalar, ...]]


def low_rank_knobs(on: Condition | None = None) -> tuple[Knob, ...]:
    """The approximation's knobs but for the kind itself, conditional on ``on``."""
    return (
        knob(Approximation, "approximation_share", choices=(0.25, 0.5), when=on),
        knob(Approximation, "placement", choices=("mlp", "all"), when=on),
        *course_knobs(on),
    )


def course_knobs(on: Condition | None = None) -> tuple[Knob, ...]:
    """From when to when the matrices are replaced, and how long they recover."""
    return (
        knob(Approximation, "approximation_start", 0.0, 0.4, when=on),
        knob(Approximation, "recovery_steps", choices=(0, 25), when=on),
        knob(Approximation, "dense_from", 0.5, 1.0, when=on),
    )


SPACE = SearchSpace(
    name="low_rank",
    title="matrices of low rank or Monarch structure for part of the run",
    knobs=(horizon(), knob(Approximation, "approximation", choices=KINDS), *low_rank_knobs()),
    policy=FullUpdate.name,
)
