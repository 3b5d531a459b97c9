"""The numbers of the workload's own optimizer: what to turn before anything else is tried.

Every range holds the workload's own value. Groups' rates are few: a division by roles is a form of
the model whose steps must be timed when it is first met.
"""

from __future__ import annotations

from collections.abc import Mapping

from models.levers.optimizer import GROUPS, Optimization
from policies.base import Scalar
from policies.full_update import FullUpdate
from search_spaces.base import SearchSpace, horizon, knob
from search_spaces.knobs import Knob
from search_spaces.levers import batch_knobs

RATES = (0.3, 1.0, 3.0)


def number_knobs() -> tuple[Knob, ...]:
    """Rates, weight decay, betas and the learning rate's course, relative to the workload's own."""
    rates = (knob(Optimization, f"rate_{group}", choices=RATES) for group in GROUPS)
    return (*rates, *shared_numbers())


def shared_numbers(when: Mapping[str, tuple[Scalar, ...]] | None = None) -> tuple[Knob, ...]:
    """Those that are the same for every group, conditional on ``when``."""
    return (
        knob(Optimization, "rate", 0.2, 10.0, log=True, when=when),
        knob(Optimization, "weight_decay_factor", 0.1, 10.0, log=True, when=when),
        knob(Optimization, "beta1_memory", 0.5, 2.0, log=True, when=when),
        knob(Optimization, "beta2_memory", 0.5, 4.0, log=True, when=when),
        knob(Optimization, "warmup_factor", 0.2, 2.0, log=True, when=when),
        knob(Optimization, "decay_added", 0.0, 0.8, when=when),
        knob(Optimization, "final_rate", 0.0, 0.2, when=when),
    )


SPACE = SearchSpace(
    name="tune",
    title="the numbers of the workload's own optimizer, and the batch",
    knobs=(horizon(), *number_knobs(), *batch_knobs()),
    policy=FullUpdate.name,
)
