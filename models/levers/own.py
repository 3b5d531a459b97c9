"""Which knobs of a recipe are the workload's own (``models.knobs``). Pure; no torch.

A recipe holds them only where they are not at their defaults, so that one without them trains the
workload as it is, and two that train the same are equal.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

from models.levers.levers import lever_settings
from policies.registry import policies
from policies.rules import Scalar


def own_values(knobs: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Those of ``knobs`` that are no setting of a lever or of any policy.

    >>> own_values({"rate": 2.0, "threshold": 0.5, "width": 64})
    {'width': 64}
    """
    return {name: value for name, value in knobs.items() if name not in _taken()}


def without_own(knobs: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Those of ``knobs`` that are a setting of a lever or of some policy."""
    return {name: value for name, value in knobs.items() if name in _taken()}


@functools.cache
def _taken() -> frozenset[str]:
    fields = (field for kind in policies().values() for field in dataclasses.fields(kind))
    return frozenset({*(field.name for field in fields), *lever_settings()})
