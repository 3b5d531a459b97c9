"""Whose rule makes a step of a gradient, and with which numbers."""

from __future__ import annotations

from models.levers.optimizer import MUON, Optimization
from policies.full_update import FullUpdate
from search_spaces.base import SearchSpace, horizon, knob
from search_spaces.knobs import Knob
from search_spaces.tune import number_knobs


def optimizer_knobs() -> tuple[Knob, ...]:
    """The optimizer, and Muon's own numbers where it is chosen.

    Few numbers of Newton–Schulz steps are offered: each is a form whose steps must be timed.
    """
    muon = {"optimizer": (MUON,)}
    return (
        knob(Optimization, "optimizer"),
        knob(Optimization, "muon_momentum", 0.85, 0.98, when=muon),
        knob(Optimization, "newton_schulz_steps", choices=(3, 5), when=muon),
    )


SPACE = SearchSpace(
    name="optimizer",
    title="the workload's own optimizer, AdamW or Muon, and its numbers",
    knobs=(horizon(), *optimizer_knobs(), *number_knobs()),
    policy=FullUpdate.name,
)
