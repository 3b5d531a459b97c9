"""Bottom blocks frozen and their activations kept at first."""

from __future__ import annotations

from policies.full_update import FullUpdate
from search_spaces.base import SearchSpace, horizon
from search_spaces.levers import prefix_knobs

SPACE = SearchSpace(
    name="cached_prefix",
    title="bottom blocks frozen and their activations kept at first",
    knobs=(horizon(), *prefix_knobs()),
    policy=FullUpdate.name,
)
