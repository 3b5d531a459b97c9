"""Tables of trials as the store gives them, built from records.

There are small ones made by hand and that of a realistic search.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from tuning.trial.recipe import flat, folded
from tuning.trial.trial import CurvePoint, Decision, Scalar, TrialRecord

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
BLOCKS = 8
STEPS = 600
FULL_SECONDS = 12.0
FULL_FLOPS = 9.1e9


def record(number: int, seconds: float | None, loss: float | None, **changes: Any) -> TrialRecord:
    """A finished sampled trial of dynamic_suffix, unless ``changes`` says otherwise."""
    base: dict[str, Any] = {
        "number": number,
        "state": "finished",
        "origin": "sampled",
        "workload": "byte_lm",
        "policy": "dynamic_suffix",
        "seed": 0,
        "horizon": 1.0,
        "knobs": {},
        "started_at": START + timedelta(seconds=number),
        "finished_at": START + timedelta(seconds=number + 20),
        "executions": 1,
        "device": "cpu",
        "train_seconds": seconds,
        "val_loss": loss,
        "target_loss": 1.95,
    }
    return TrialRecord(**folded(base | changes))


def frame_of(records: Iterable[TrialRecord]) -> pd.DataFrame:
    """The records as a table with the store's columns.

    ``knobs`` spread over columns, structs as dicts.
    """
    rows = []
    for entry in records:
        row = flat(vars(entry))
        row |= {f"knob_{name}": value for name, value in row.pop("knobs").items()}
        row |= {f"metric_{name}": value for name, value in row.pop("metrics").items()}
        row |= {name: [vars(part) for part in row[name]] for name in ("curve", "decisions")}
        rows.append(row)
    aside = ("recipe", "metrics")
    names = [f.name for f in dataclasses.fields(TrialRecord) if f.name not in aside]
    names += ["policy", "horizon"]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=names)


def points(pairs: Sequence[tuple[float | None, float | None]]) -> pd.DataFrame:
    """Finished trials of these seconds and losses, numbered from 0."""
    return frame_of(record(number, seconds, loss) for number, (seconds, loss) in enumerate(pairs))


def loss_after(fraction: float) -> float:
    """Final loss of a full_update decayed at ``fraction`` of the baseline.

    It is 2.05 at one half and 1.90 at one.
    """
    return 1.75 + 0.15 / fraction


def search_records(trials: int = 48, *, strong: bool = True, seed: int = 0) -> list[TrialRecord]:
    """A search with the shape of the embedded byte workload: control, static, presets, sampled,
    mishaps.

    With ``strong`` the best dynamic schedules lie a few per cent left of the control, else none
    does.
    """
    random = np.random.default_rng(seed)
    horizons = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
    found = [_full(number, horizon, random) for number, horizon in enumerate(horizons)]
    found += [_static(len(found) + i, depth, random) for i, depth in enumerate((2, 4))]
    while len(found) < trials:
        found.append(_dynamic(len(found), strong, random))
    return [_mishap(entry, i) for i, entry in enumerate(found)]


def search_frame(trials: int = 48, *, strong: bool = True, seed: int = 0) -> pd.DataFrame:
    """``search_records`` as a table."""
    return frame_of(search_records(trials, strong=strong, seed=seed))


def _full(number: int, horizon: float, random: np.random.Generator) -> TrialRecord:
    loss = loss_after(horizon) + random.normal(0, 0.003)
    origin = "baseline" if horizon == 1.0 else "control"
    return _trained(number, "full_update", horizon, loss, 1.0, {}, random, origin=origin)


def _static(number: int, depth: int, random: np.random.Generator) -> TrialRecord:
    knobs = {"active_fraction": depth / BLOCKS}
    return _trained(
        number,
        "static_suffix",
        1.0,
        2.02 + 0.12 * (1 - depth / BLOCKS),
        depth / BLOCKS,
        knobs,
        random,
        origin="baseline",
    )


def _dynamic(number: int, strong: bool, random: np.random.Generator) -> TrialRecord:
    horizon = float(np.round(random.uniform(0.5, 1.0), 4))
    active = float(random.uniform(0.4, 0.95))
    edge = 0.07 if strong else -0.03
    harm = abs(random.normal(0, 0.05)) + 0.25 * max(0.0, 0.7 - active)
    knobs: dict[str, Scalar] = {
        "ema_beta": float(np.round(random.uniform(0.5, 0.99), 3)),
        "threshold": float(np.round(active, 3)),
        "min_active": 0.25,
        "levels": int(random.choice([2, 4, 8])),
        "probe_every": int(random.choice([10, 20, 40, 80])),
        "freeze_start": float(np.round(random.uniform(0.05, 0.5), 3)),
        "adaptive": bool(random.integers(0, 2)),
        "recovery": float(np.round(random.uniform(0.05, 0.3), 3)),
        "relevance": str(random.choice(["ratio", "saliency"])),
        "moments_on_thaw": "keep",
    }
    loss = loss_after(horizon * (1 + edge)) + harm
    return _trained(number, "dynamic_suffix", horizon, loss, active, knobs, random)


def _trained(
    number: int,
    policy: str,
    horizon: float,
    loss: float,
    active: float,
    knobs: Mapping[str, Scalar],
    random: np.random.Generator,
    **changes: Any,
) -> TrialRecord:
    probes = STEPS // 20 if policy == "dynamic_suffix" else 0
    cost = (1 + 2 * active) / 3
    steps = int(STEPS * horizon / cost)
    overhead = 0.0004 * steps + 0.0006 * probes
    seconds = horizon * FULL_SECONDS * float(random.uniform(0.997, 1.0))
    flops = steps * FULL_FLOPS * cost
    reached = loss <= 1.95
    return record(
        number,
        seconds,
        loss,
        policy=policy,
        horizon=horizon,
        knobs=knobs,
        wall_seconds=seconds * 1.6,
        co_residents=1.0,
        reached=reached,
        seconds_to_quality=seconds if reached else None,
        steps=steps,
        probes=probes,
        mean_active_fraction=active,
        required_flops=flops,
        effective_flops_per_second=flops / (seconds - overhead),
        pipeline_overhead_seconds=overhead,
        curve=_curve(steps, seconds, loss, random),
        decisions=_decisions(steps, policy, active, random),
        **changes,
    )


def _curve(
    steps: int, seconds: float, loss: float, random: np.random.Generator
) -> tuple[CurvePoint, ...]:
    at = np.linspace(0.05, 1.0, 20)
    shape = loss + 0.16 * (1 - at) / (0.2 + at) + 0.9 * np.exp(-at * 14) * (at < 1)
    noise = random.normal(0, 0.006, len(at)) * (at < 1)
    return tuple(
        CurvePoint(int(steps * f), float(seconds * f), float(y + e))
        for f, y, e in zip(at, shape, noise, strict=True)
    )


def _decisions(
    steps: int, policy: str, active: float, random: np.random.Generator
) -> tuple[Decision, ...]:
    if policy == "full_update":
        return (Decision(0, BLOCKS, "full"),)
    depth = max(1, round(active * BLOCKS))
    if policy == "static_suffix":
        return (Decision(0, depth, "reduced"),)
    start, end = int(steps * 0.2), int(steps * 0.85)
    between = np.linspace(start, end, 7)[:-1].astype(int)
    levels = [
        min(BLOCKS, max(2, 2 * round((depth + d) / 2))) for d in random.choice([-2, 0, 0, 2], 6)
    ]
    reduced = [Decision(int(s), int(d), "reduced") for s, d in zip(between, levels, strict=True)]
    return (Decision(0, BLOCKS, "full"), *reduced, Decision(end, BLOCKS, "recovery"))


def _mishap(entry: TrialRecord, position: int) -> TrialRecord:
    if position % 16 == 11:
        return _cut(
            entry,
            "failed",
            "loss became nan at step 143: 2 <= log2(scale) <= 15 must hold, but got "
            "</script><b>nan</b>",
        )
    if position % 16 == 13:
        return _cut(entry, "stopped", None)
    return entry


def _cut(entry: TrialRecord, state: Any, error: str | None) -> TrialRecord:
    curve = entry.curve[:8]
    last = curve[-1]
    return dataclasses.replace(
        entry,
        state=state,
        error=error,
        curve=curve,
        train_seconds=last.train_seconds,
        val_loss=None if state == "failed" else last.val_loss,
        reached=None,
        seconds_to_quality=None,
    )
