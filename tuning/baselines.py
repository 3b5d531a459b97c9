"""What every search trains first: the full-update baseline, its control, and schedules known before.

They come before anything sampled, in this order, so that whatever a search finds stands beside them:

1. ``full_update`` for the whole horizon: the baseline that a horizon is measured in;
2. ``full_update`` for shorter ones: the control, what simply training for less would give;
3. the presets of ``static_suffix`` and ``dynamic_suffix``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from models.levers.levers import lever_settings
from policies.full_update import FullUpdate
from policies.presets import PRESETS
from policies.registry import policies
from policies.settings import knobs_of
from search_spaces.base import SearchSpace
from search_spaces.registry import all_spaces
from tuning.run_info import KnobKind
from tuning.trial import Origin, Scalar, TrialSpec

CONTROL_HORIZONS = (0.5, 0.625, 0.75, 0.875)
ENQUEUED = ("static", "tuned", "tuned_v2")


def baseline_specs(workload: str, seed: int, target_loss: float | None = None) -> tuple[TrialSpec, ...]:
    """The baselines of a search on ``workload``, numbered from 0, all trained on ``seed``."""
    return tuple(
        TrialSpec(number, origin, workload, policy, seed, horizon, knobs, target_loss)
        for number, (origin, policy, horizon, knobs) in enumerate(_baselines())
    )


def knob_columns(space: SearchSpace) -> dict[str, KnobKind]:
    """The type of every knob that a trial of the search can have: the space's and the baselines'."""
    kinds: dict[str, KnobKind] = {"bool": "bool", "int": "int", "float": "float", "str": "str"}
    names = {*space.policies(), *(spec.policy for spec in baseline_specs("", 0))}
    columns = {
        field.name: kinds[str(field.type)] for name in sorted(names) for field in dataclasses.fields(policies()[name])
    }
    levers = lever_settings()
    return columns | {k.name: kinds[str(levers[k.name].type)] for k in space.knobs if k.name in levers}


def _baselines() -> Iterator[tuple[Origin, str, float, dict[str, Scalar]]]:
    yield "baseline", FullUpdate.name, 1.0, {}
    for horizon in CONTROL_HORIZONS:
        yield "control", FullUpdate.name, horizon, {}
    for name in ENQUEUED:
        policy = PRESETS[name]
        yield "enqueued", policy.name, 1.0, _applying(policy.name, knobs_of(policy))


def _applying(policy: str, knobs: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The knobs that apply: those of a gate that is off, say, do not. The policy's own space knows which."""
    space = all_spaces().get(policy)
    params = space and space.params_of(policy, 1.0, knobs)
    return space.split(params)[2] if space and params else dict(knobs)
