"""Fewer blocks at first, and how the model grows."""

from __future__ import annotations

from policies.full_update import FullUpdate
from search_spaces.base import SearchSpace, horizon
from search_spaces.levers import depth_knobs

SPACE = SearchSpace(
    name="depth",
    title="fewer blocks at first, and how the model grows",
    knobs=(horizon(), *depth_knobs()),
    policy=FullUpdate.name,
)
