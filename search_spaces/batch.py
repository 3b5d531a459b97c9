"""How many examples a step sees, and from when on."""

from __future__ import annotations

from policies.full_update import FullUpdate
from search_spaces.base import SearchSpace, horizon
from search_spaces.levers import batch_knobs

SPACE = SearchSpace(
    name="batch",
    title="how many examples a step sees, and from when on",
    knobs=(horizon(), *batch_knobs()),
    policy=FullUpdate.name,
)
