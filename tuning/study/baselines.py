"""What every search trains first: the full-update baseline, its control, and schedules known
before.

They come before anything sampled, in this order, so that whatever a search finds stands beside
them:

1. ``full_update`` for the whole horizon: the baseline that a horizon is measured in;
2. the first recipe that the space suggests: beside the baseline alone it shows whether it gains;
3. ``full_update`` for shorter horizons: the control, what simply training for less would give;
4. whatever else the space suggests, and rivals that it wants beside it, a smaller model say; where
   it suggests nothing, the presets of ``static_suffix`` and ``dynamic_suffix``.

A space may search shorter horizons than the control's. Then the control goes on down to them, or
nobody could say what the trials there are worth; those few runs come soon after the sampler's
space-filling start.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from models.levers.levers import lever_settings
from policies.full_update import FullUpdate
from policies.presets import PRESETS
from policies.registry import policies
from policies.settings import knobs_of
from search_spaces.base import HORIZON, SearchSpace
from search_spaces.registry import all_spaces
from tuning.store.info import KNOB_KINDS, KnobKind, Target
from tuning.trial.recipe import Recipe
from tuning.trial.task import Task
from tuning.trial.trial import Origin, Scalar, TrialRecord, TrialSpec

CONTROL_HORIZONS = (0.5, 0.625, 0.75, 0.875)
ENQUEUED = ("static", "tuned", "tuned_v2")
WIDEST = 0.125
"""The largest distance between two neighbouring horizons of the control."""
_Baseline = tuple[Origin, str, float, dict[str, Scalar]]
"""A baseline's origin, policy, horizon and knobs."""


def baseline_specs(
    workload: str,
    seed: int,
    target_loss: float | None = None,
    space: SearchSpace | None = None,
) -> tuple[TrialSpec, ...]:
    """The baselines of a search of ``space`` on ``workload``, numbered from 0, all trained on
    ``seed``.
    """
    return tuple(
        TrialSpec(number, origin, workload, Recipe(policy, horizon, knobs), seed, target_loss)
        for number, (origin, policy, horizon, knobs) in enumerate(_baselines(space))
    )


def short_controls(space: SearchSpace, workload: str, seed: int) -> tuple[TrialSpec, ...]:
    """Control runs from the shortest horizon that ``space`` searches up to the baselines' own;
    their numbers are not chosen yet.

    >>> from search_spaces.registry import find_space
    >>> [spec.recipe.horizon for spec in short_controls(find_space("dynamic_suffix"), "byte_lm", 0)]
    [0.3, 0.4]
    """
    horizons = searched_horizons(space)
    if horizons is None:
        return ()
    low, high = horizons[0], min(CONTROL_HORIZONS)
    # Rounding must not make one width more of a whole number of them.
    count = max(0, math.ceil((high - low) / WIDEST - 1e-9))
    return _controls([low + (high - low) * i / count for i in range(count)], workload, seed)


def rung_controls(
    space: SearchSpace, workload: str, seed: int, share: float
) -> tuple[TrialSpec, ...]:
    """Control runs at the shortest and the longest rung of ``space``; their numbers are not chosen
    yet.

    >>> from search_spaces.registry import find_space
    >>> specs = rung_controls(find_space("recipe"), "byte_lm", 0, share=0.25)
    >>> [spec.recipe.horizon for spec in specs]
    [0.125, 0.25]
    """
    horizons = searched_horizons(space) or (1.0, 1.0)
    # Without what every search trains as a baseline.
    ends = sorted({share * horizon for horizon in horizons} - {1.0, *CONTROL_HORIZONS})
    return _controls(ends, workload, seed)


def searched_horizons(space: SearchSpace) -> tuple[float, float] | None:
    """The shortest and the longest horizon that the space searches; None where it searches none."""
    knob = next((knob for knob in space.searched if knob.name == HORIZON), None)
    if knob is None:
        return None
    values = [float(value) for value in knob.values()]
    return min(values), max(values)


def _controls(horizons: Iterable[float], workload: str, seed: int) -> tuple[TrialSpec, ...]:
    return tuple(
        TrialSpec(0, "control", workload, Recipe(FullUpdate.name, horizon), seed)
        for horizon in horizons
    )


def knob_columns(space: SearchSpace) -> dict[str, KnobKind]:
    """The type of every knob that a trial of the search can have: the space's knobs, with the
    workload's own among them, and the baselines'.
    """
    names = {*space.policies(), *(spec.recipe.policy for spec in baseline_specs("", 0))}
    levers = lever_settings()
    pulled = (levers[knob.name] for knob in space.knobs if knob.name in levers)
    own = {name: _kind_named(type(default).__name__) for name, default in space.own.items()}
    return policy_columns(names) | {setting.name: _kind(setting) for setting in pulled} | own


def policy_columns(names: Iterable[str]) -> dict[str, KnobKind]:
    """The type of every knob of the policies that have these names."""
    return {
        setting.name: _kind(setting)
        for name in sorted(names)
        for setting in dataclasses.fields(policies()[name])
    }


def _kind(setting: dataclasses.Field[Any]) -> KnobKind:
    # A field's type is text: modules of settings postpone the evaluation of annotations.
    return _kind_named(str(setting.type))


def _kind_named(name: str) -> KnobKind:
    return next(kind for kind in KNOB_KINDS if kind == name)


def _baselines(space: SearchSpace | None) -> Iterator[_Baseline]:
    yield "baseline", FullUpdate.name, 1.0, {}
    suggested = () if space is None else space.suggestions(FullUpdate.name)
    suggestions: list[_Baseline] = [("enqueued", p, h, dict(knobs)) for p, h, knobs in suggested]
    yield from suggestions[:1]
    for horizon in CONTROL_HORIZONS:
        yield "control", FullUpdate.name, horizon, {}
    yield from suggestions[1:]
    yield from _beside(space)


def _beside(space: SearchSpace | None) -> Iterator[_Baseline]:
    """Baselines beside those of every search: the space's rivals, or preset schedules where the
    space suggests nothing.
    """
    if space is None or not space.suggested:
        for preset in map(PRESETS.__getitem__, ENQUEUED):
            yield "enqueued", preset.name, 1.0, _applying(preset.name, knobs_of(preset))
        return
    searched = {knob.name for knob in space.searched}
    for knobs in space.rivals:
        if knobs.keys() <= searched:
            yield "enqueued", FullUpdate.name, 1.0, dict(knobs)


def _applying(policy: str, knobs: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The knobs that apply to a recipe; those behind a closed gate, say, do not. The policy's own
    space knows which.
    """
    space = all_spaces().get(policy)
    params = space and space.params_of(policy, 1.0, knobs)
    return space.split(params)[2] if space and params else dict(knobs)


def reference_specs(workload: str, first_seed: int, seeds: int) -> dict[Task, TrialSpec]:
    """Full-update runs on consecutive seeds, by task. Their numbers count from 0 among these runs
    and are not trials' numbers.
    """
    return {
        Task.reference(seed): TrialSpec(
            seed - first_seed, "baseline", workload, Recipe("full_update"), seed
        )
        for seed in range(first_seed, first_seed + seeds)
    }


def automatic_target(records: Sequence[TrialRecord]) -> Target:
    """The median final loss of the full-update runs ``records`` (an odd number of them), and its
    seed.

    Trials then train on that seed, so that the control reaches the target exactly at a horizon of
    1.0.

    Raises:
        ValueError: a run did not finish, so there is no loss to take; the message has its reason.

    """
    losses = {
        r.seed: r.val_loss for r in records if r.state == "finished" and r.val_loss is not None
    }
    if broken := [f"seed {r.seed}: {r.error}" for r in records if r.seed not in losses]:
        raise ValueError(
            "full_update must finish on every seed to set a target, but " + "; ".join(broken)
        )
    median = statistics.median_low(losses.values())
    seed = next(seed for seed, loss in losses.items() if loss == median)
    return Target(median, tuple(losses), tuple(losses.values()), seed)
