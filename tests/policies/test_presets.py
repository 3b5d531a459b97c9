"""The presets act in the character they claim."""

from __future__ import annotations

import random

import pytest

from policies.base import UpdatePolicy
from policies.presets import EARLY, STATIC, TUNED, TUNED_V2
from tests.policies.runs import Shown, run


def a_run(steps: int = 1600, num_blocks: int = 24) -> list[Shown]:
    """A loss that falls and flattens with two percent of noise, and blocks that matter about
    equally.
    """
    draw = random.Random(0)
    return [
        (
            1.5 + 2 * 0.998**i + draw.gauss(0, 0.03),
            tuple(draw.uniform(0.8, 1.2) for _ in range(num_blocks)),
        )
        for i in range(steps)
    ]


@pytest.mark.parametrize(
    ("policy", "mean_active", "reduced"),
    [(STATIC, 0.33, {8}), (EARLY, 0.55, {12}), (TUNED, 0.84, {18}), (TUNED_V2, 0.60, {12, 18})],
    ids=["static", "early", "tuned", "tuned_v2"],
)
def test_mean_active_fraction_and_depths(
    policy: UpdatePolicy[object], mean_active: float, reduced: set[int]
) -> None:
    """Replay each over one made-up run of 24 blocks, as many as the note's model had."""
    plans, _ = run(policy, 24, a_run())
    depths = [len(plan.active_blocks) for plan in plans]
    assert sum(depths) / len(depths) / 24 == pytest.approx(mean_active, abs=0.03)
    assert set(depths) - {24} == reduced
