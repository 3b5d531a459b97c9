"""What a search's plan decides from its configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuning.config.config import SearchConfig
from tuning.session.plan import target_horizons


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (SearchConfig("r"), (0.125, 1.0)),
        (SearchConfig("r", longer=2.0), (0.25, 2.0)),
        (SearchConfig("r", knobs={"horizon": {"low": 0.4, "high": 0.8}}), (0.4, 0.8)),
        (SearchConfig("r", knobs={"horizon": 1.0}), None),
        (SearchConfig("r", objective="pareto"), None),
    ],
)
def test_a_leader_is_tried_below_the_spaces_horizons_unless_they_were_asked_for(
    config: SearchConfig, expected: tuple[float, float] | None
) -> None:
    """By hand, from the space's 0.5 to 1; none where there is no range, or a front is wanted."""
    assert target_horizons(config, config.search_space()) == expected


def test_a_space_of_the_users_keeps_its_horizons(tmp_path: Path) -> None:
    """Whoever writes a range into a space of their own has asked for it."""
    file = tmp_path / "mine.py"
    file.write_text("from search_spaces.registry import find_space\nSPACE = find_space('recipe')\n")
    config = SearchConfig("r", space=f"{file}:SPACE")
    assert target_horizons(config, config.search_space()) == (0.5, 1.0)
