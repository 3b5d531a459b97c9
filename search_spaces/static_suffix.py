"""How many of the top blocks to train, and for how long."""

from __future__ import annotations

from collections.abc import Mapping

from policies.base import Scalar
from policies.static_suffix import StaticSuffix
from search_spaces.base import SearchSpace, horizon, knob
from search_spaces.knobs import Knob


def static_suffix_knobs(when: Mapping[str, tuple[Scalar, ...]] | None = None) -> tuple[Knob, ...]:
    """The policy's one knob, conditional on ``when``."""
    return (knob(StaticSuffix, "active_fraction", 0.1, 1.0, when=when),)


SPACE = SearchSpace(
    name="static_suffix",
    title="how many of the top blocks are trained, and for how long",
    knobs=(horizon(), *static_suffix_knobs()),
    policy=StaticSuffix.name,
)
