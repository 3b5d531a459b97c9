"""Settings that have names: reconstructions of the runs that the project's research note reports.

The note gives results, not settings. Each preset here is made to act in the character of one of its
runs, on a model whose blocks matter about equally; what a preset does to another model is for a run
on it to say.
"""

from __future__ import annotations

from typing import Any

from policies.base import UpdatePolicy
from policies.dynamic_suffix import DynamicSuffix
from policies.static_suffix import StaticSuffix

STATIC = StaticSuffix(active_fraction=0.3)
"""The note's static run was 1.87 times as fast as full_update, and 3 / (1 + 2 · 0.3) = 1.875."""

EARLY = DynamicSuffix(
    ema_beta=0.9,
    threshold=0.5,
    min_active=0.5,
    max_active=0.5,
    levels=2,
    probe_every=20,
    freeze_start=0.05,
    recovery=0.0,
)
"""Too aggressive: soon after the start half of the blocks, one reduced level, no recovery."""

TUNED = DynamicSuffix(
    ema_beta=0.9,
    threshold=0.7,
    min_active=0.75,
    max_active=1.0,
    levels=4,
    probe_every=25,
    freeze_start=0.15,
    gate=True,
    stability_window=20,
    stability_change=0.1,
    stability_variation=0.2,
    adaptive=True,
    budget_beta=0.9,
    budget_upper=1.02,
    budget_lower=0.9,
    budget_step=0.25,
    recovery=0.2,
)
"""Mild: about 0.84 of the blocks on average, freezing only once the loss is stable, a long
recovery.
"""

TUNED_V2 = DynamicSuffix(
    ema_beta=0.9,
    threshold=0.55,
    min_active=0.5,
    max_active=0.75,
    levels=4,
    probe_every=25,
    freeze_start=0.05,
    adaptive=True,
    budget_beta=0.9,
    budget_upper=1.02,
    budget_lower=0.9,
    budget_step=0.25,
    recovery=0.1,
)
"""Lighter: half or three quarters of the blocks (12 and 18 of the note's 24), about 0.6 on average.
"""

PRESETS: dict[str, UpdatePolicy[Any]] = {
    "static": STATIC,
    "early": EARLY,
    "tuned": TUNED,
    "tuned_v2": TUNED_V2,
}
"""Every preset by name."""
