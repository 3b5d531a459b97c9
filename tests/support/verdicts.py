"""A confirmation of the realistic search in ``frames``, with made-up runs.

Its verdict comes from the real statistics.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tests.support.frames import FULL_SECONDS, loss_after
from tuning.findings.context import Background, Noise
from tuning.findings.judge import judge
from tuning.findings.verdict import Candidate, Run, Verdict
from tuning.trial.recipe import Recipe

SEEDS = (1000, 1001, 1002, 1003, 1004)
HORIZONS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
NOISE = Noise(0.004, 5)


def confirmed(gains: Mapping[int, float], *, target: float = 1.95) -> Verdict:
    """The verdict on trials of these true gains, by number, over ``SEEDS``."""
    random = np.random.default_rng(5)
    shifts = random.normal(0, 0.01, len(SEEDS))

    def run(place: int, horizon: float, gain: float) -> Run:
        solo = FULL_SECONDS * horizon
        loss = loss_after(horizon * gain) + shifts[place] + random.normal(0, 0.002)
        measured = solo * float(random.normal(1.02, 0.005))
        return Run(
            SEEDS[place], solo, measured, float(loss), solo * 0.98 if loss <= target else None
        )

    control = {h: [run(place, h, 1.0) for place in range(len(SEEDS))] for h in HORIZONS}
    candidates = [
        (
            Candidate(number, Recipe("dynamic_suffix", 0.75, {"threshold": 0.7})),
            [run(place, 0.75, gain) for place in range(len(SEEDS))],
        )
        for number, gain in gains.items()
    ]
    return judge(candidates, control, seeds=SEEDS, target=target)


def background(gains: Mapping[int, float] | None = None) -> Background:
    """Noise as in ``frames``; with ``gains`` a confirmation too."""
    return Background(NOISE, None if gains is None else confirmed(gains))
