"""Which average of late weights is evaluated."""

from __future__ import annotations

from policies.full_update import FullUpdate
from search_spaces.base import SearchSpace, horizon
from search_spaces.levers import averaging_knobs

SPACE = SearchSpace(
    name="averaging",
    title="which average of late weights is evaluated",
    knobs=(horizon(), *averaging_knobs()),
    policy=FullUpdate.name,
)
