"""How many hidden units of the MLPs are kept, or 2:4 sparsity where the device has it, and from
when to when.
"""

from __future__ import annotations

from models.levers.approximation import Approximation
from policies.full_update import FullUpdate
from search_spaces.base import SearchSpace, horizon, knob
from search_spaces.low_rank import course_knobs

SPACE = SearchSpace(
    name="sparsity",
    title="hidden units left out of the MLPs, or 2:4 sparsity, for part of the run",
    knobs=(
        horizon(),
        knob(Approximation, "approximation", choices=("hidden_units", "two_four")),
        knob(
            Approximation,
            "approximation_share",
            choices=(0.25, 0.5, 0.75),
            when={"approximation": ("hidden_units",)},
        ),
        *course_knobs(),
    ),
    policy=FullUpdate.name,
)
