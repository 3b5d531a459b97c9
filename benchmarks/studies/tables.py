"""What the studies' runs show: each value beside the base and the control. Pure.

Everything is compared in pairs: on one seed all runs share initial weights and batches. All values
train for the same solo seconds, so that a difference of losses is one at equal time. The statistics
are those of a confirmation (``tuning.findings.paired``): Student's intervals at 95 %, Holm's
correction over the values of a study.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from benchmarks.common import Row
from benchmarks.studies.plan import CONTROL_HORIZONS, Job, Study, control_job, value_job
from benchmarks.studies.runs import Done
from tuning.findings.front import control, finished, front
from tuning.findings.paired import (
    ControlCurve,
    SeedComparison,
    compare,
    gain_over_seeds,
    holm,
    p_value,
    t_interval,
)

Runs = Mapping[Job, Done]


def control_rows(runs: Runs, workload: str, seeds: Sequence[int]) -> list[Row]:
    """full_update at each horizon over the seeds."""
    rows = []
    for horizon in CONTROL_HORIZONS:
        done = _finished(runs, [control_job(workload, horizon, seed) for seed in seeds])
        losses = [loss for _, loss in done.values()]
        rows.append(
            {
                "horizon": horizon,
                "seeds": len(losses),
                "seconds": _mean([run.seconds for run, _ in done.values()]),
                "loss": _mean(losses),
                "deviation": statistics.stdev(losses) if len(losses) > 1 else None,
            }
        )
    return rows


def base_rows(study: Study, runs: Runs, workload: str, seeds: Sequence[int]) -> list[Row]:
    """A row for each value of the study, beside the first value, the base.

    ``over base`` is loss − the base's loss on the same seed.
    """
    done = [
        _finished(runs, [value_job(study, value, workload, seed) for seed in seeds])
        for value in study.values
    ]
    over = [
        [loss - done[0][seed][1] for seed, (_, loss) in own.items() if seed in done[0]]
        for own in done
    ]
    ps = holm([two_sided(differences) for differences in over[1:]])
    return [
        {
            **named(study, value),
            "seeds": len(own),
            "loss": _mean([loss for _, loss in own.values()]),
            "over base": _mean(differences) if p is not None else None,
            **(_interval(differences) if p is not None else {"low": None, "high": None}),
            "p": p,
            **_course([run for run, _ in own.values()]),
        }
        for value, own, differences, p in zip(study.values, done, over, [None, *ps], strict=True)
    ]


def gain_rows(study: Study, runs: Runs, workload: str, seeds: Sequence[int]) -> list[Row]:
    """Each value beside the control.

    ``control's seconds`` are those in which full_update reaches the value's loss, ``gain`` how many
    times the value's own that is, ``below control`` the control's loss at equal time − the value's,
    and ``p, better`` one-sided.
    """
    curves = control_curves(runs, workload, seeds)
    rows = []
    for value in study.values:
        done = _finished(runs, [value_job(study, value, workload, seed) for seed in curves])
        seen = [
            compare(seed, curves[seed], run.seconds, loss) for seed, (run, loss) in done.items()
        ]
        rows.append({**named(study, value), "seeds": len(seen), **gain_row(seen)})
    return rows


def gain_row(seen: Sequence[SeedComparison]) -> Row:
    """What runs on several seeds gain over the control on those: the columns of ``gain_rows``."""
    gain = gain_over_seeds(seen)
    below = [c.lower_loss for c in seen if c.lower_loss is not None]
    low, high = gain.interval
    return {
        "seconds": _mean([c.seconds for c in seen]),
        "control's seconds": None
        if gain.value is None
        else _mean([c.seconds * (c.gain or 0.0) for c in seen]),
        "bound": gain.bound,
        "gain": gain.value,
        "gain, low": low,
        "gain, high": high,
        "below control": _mean(below),
        **_interval(below),
        "p, better": p_value(below) if len(below) == len(seen) else 1.0,
    }


def control_curves(
    runs: Runs,
    workload: str,
    seeds: Sequence[int],
    horizons: Sequence[float] = CONTROL_HORIZONS,
) -> dict[int, ControlCurve]:
    """The control's loss against solo seconds, of each seed with every horizon finished."""
    curves = {}
    for seed in seeds:
        done = [runs.get(control_job(workload, horizon, seed)) for horizon in horizons]
        points = [
            (run.seconds, run.loss) for run in done if run is not None and run.loss is not None
        ]
        if len(points) == len(horizons):
            curves[seed] = ControlCurve.fit(*zip(*points, strict=True))
    return curves


def search_rows(study: Study, trials: pd.DataFrame) -> list[Row]:
    """What the search found, by the knobs under study.

    It has one seed, so it says where to look and no more.
    """
    runs = finished(trials)
    less = control(trials)
    curve = ControlCurve.fit(less["train_seconds"].tolist(), less["val_loss"].tolist())
    on_front = set(front(trials)["number"])
    sampled = runs[runs["origin"] == "sampled"].sort_values(
        [f"knob_{name}" for name in study.knobs]
    )
    return [
        {
            **{name: trial[f"knob_{name}"] for name in study.knobs},
            "trial": int(trial["number"]),
            "seconds": float(trial["train_seconds"]),
            "loss": float(trial["val_loss"]),
            "below control": compare(
                0, curve, trial["train_seconds"], trial["val_loss"]
            ).lower_loss,
            "active": float(trial["mean_active_fraction"]),
            "probes": int(trial["probes"]),
            "front": "yes" if trial["number"] in on_front else "no",
        }
        for _, trial in sampled.iterrows()
    ]


def two_sided(differences: Sequence[float]) -> float:
    """Student's two-sided p of "the mean difference is zero"; 1 for fewer than two."""
    return min(1.0, 2 * min(p_value(differences), p_value([-d for d in differences])))


def named(study: Study, value: Sequence[object]) -> Row:
    """The knobs under study at a value, by name."""
    return dict(zip(study.knobs, value, strict=True))


def depths_of(runs: Sequence[Done]) -> str:
    """The depths of the reduced steps that do not probe, in blocks, ascending: ``4 6``."""
    taken = [decision for run in runs for decision in run.decisions]
    found = {decision.active_blocks for decision in taken if decision.phase == "reduced"}
    full = {decision.active_blocks for decision in taken if decision.phase != "reduced"}
    return " ".join(map(str, sorted(found - full)))


def _course(runs: Sequence[Done]) -> Row:
    return {
        "steps": _mean([float(run.steps) for run in runs]),
        "probes": _mean([float(run.probes) for run in runs]),
        "active": _mean([run.mean_active_fraction for run in runs]),
        "depths": depths_of(runs),
    }


def _finished(runs: Runs, jobs: Sequence[Job]) -> dict[int, tuple[Done, float]]:
    """By seed, the runs that have a loss, and that loss."""
    found = [runs[job] for job in jobs if job in runs]
    return {run.job.seed: (run, run.loss) for run in found if run.loss is not None}


def _interval(values: Sequence[float]) -> Row:
    low, high = t_interval(np.array(values)) or (None, None)
    return {"low": low, "high": high}


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None
