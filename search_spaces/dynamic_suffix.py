"""Every control of ``dynamic_suffix`` and the horizon.

Ranges hold the whole span between the research note's results (mean depth 0.30 to 0.84 of the
blocks). Where two settings must keep an order (fewest and most active blocks, both budget factors),
their ranges meet and do not cross; where two share a whole (start of freezing and recovery), they
sum to less than the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.base import Scalar
from policies.dynamic_suffix import DynamicSuffix
from search_spaces.base import SearchSpace, horizon, knob
from search_spaces.knobs import Knob

Condition = Mapping[str, tuple[Scalar, ...]]


def dynamic_suffix_knobs(when: Condition | None = None) -> tuple[Knob, ...]:
    """The policy's knobs, all of them further conditional on ``when``."""
    gated = {**(when or {}), "gate": (True,)}
    adapting = {**(when or {}), "adaptive": (True,)}

    def of(name: str, *span: float, on: Condition | None = when, **scale: Any) -> Knob:
        return knob(DynamicSuffix, name, *span, when=on, **scale)

    return (
        of("ema_beta", 0.5, 0.99),
        of("threshold", 0.3, 0.99),
        of("min_active", 0.1, 0.75),
        of("max_active", 0.75, 1.0),
        of("levels", 1, 8),
        of("probe_every", 5, 200, log=True),
        of("freeze_start", 0.0, 0.5),
        of("gate"),
        of("stability_window", 5, 100, log=True, on=gated),
        of("stability_change", 0.001, 0.1, log=True, on=gated),
        of("stability_variation", 0.01, 0.3, log=True, on=gated),
        of("adaptive"),
        of("budget_beta", 0.5, 0.99, on=adapting),
        of("budget_upper", 1.0, 1.1, on=adapting),
        of("budget_lower", 0.9, 1.0, on=adapting),
        of("budget_step", 0.05, 0.5, on=adapting),
        of("recovery", 0.0, 0.4),
        of("relevance"),
        of("moments_on_thaw"),
    )


SPACE = SearchSpace(
    name="dynamic_suffix",
    title="every control of the dynamic suffix, and how long to train",
    knobs=(horizon(), *dynamic_suffix_knobs()),
    policy=DynamicSuffix.name,
)
