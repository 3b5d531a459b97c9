"""Smaller examples at first."""

from __future__ import annotations

from policies.full_update import FullUpdate
from search_spaces.base import SearchSpace, horizon
from search_spaces.levers import input_knobs

SPACE = SearchSpace(
    name="input_size",
    title="smaller examples at first",
    knobs=(horizon(), *input_knobs()),
    policy=FullUpdate.name,
)
