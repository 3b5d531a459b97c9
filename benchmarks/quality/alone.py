"""What each lever gains alone, and levers together, and what they cost, on fresh seeds.

One setting of each lever, chosen before (by searches, and by what its page suggests), and the whole
recipes that the space `recipe` suggests are trained on every seed beside the own control at several
horizons, all on one clock. A row a setting: the gain over the own control with its interval and
corrected p, its loss, the seconds of a step.

    python -m benchmarks.quality.alone [--workload W] [--dir DIR] [--seeds K] [--workers N]
        [--levers NAME ...] [--horizon H] [--control H ...]
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import Row, machine, parser, publish
from benchmarks.studies.plan import FIRST_SEED, Job, Knobs, control_job
from benchmarks.studies.runs import RUNS, Done, recorded, train
from benchmarks.studies.tables import control_curves, gain_row
from models.levers.levers import divide_knobs
from policies.registry import make_policy
from policies.settings import knobs_of
from policies.static_suffix import StaticSuffix
from search_spaces.base import POLICY
from search_spaces.recipe import FAST, GROWING, KEPT, SMALL, TOP
from tuning.config.config import SearchConfig
from tuning.findings.paired import ControlCurve, compare, holm
from tuning.session.compare import measured_costs
from tuning.session.listed import Subject, create_list
from tuning.study.baselines import knob_columns
from tuning.trial.recipe import CONTROL_POLICY, Recipe

HORIZONS = (0.5, 0.75, 1.0, 1.5)
"""The own control's, unless told."""
FEWEST = 4
"""Horizons below which the control's curve is a straight line, which one that overfits is not."""
MUON: Knobs = {"optimizer": "muon", "newton_schulz_steps": 3}
SETTINGS: Mapping[str, tuple[str, Knobs]] = {
    "Muon": (CONTROL_POLICY, {**MUON, "rate": 1.3, "weight_decay_factor": 0.3}),
    "batch, twice": (CONTROL_POLICY, {"batch_start": 2.0, "batch_end": 2.0, "rate": 1.4}),
    "batch, half at first": (CONTROL_POLICY, {"batch_start": 0.5, "batch_end": 1.0}),
    "rate, half": (CONTROL_POLICY, {"rate": 0.5}),
    "rate, twice": (CONTROL_POLICY, {"rate": 2.0}),
    "growth from half": (CONTROL_POLICY, {"depth_start": 0.5, "growth_at": 0.5}),
    "half the blocks": (CONTROL_POLICY, {"depth_start": 0.5, "depth_end": 0.5}),
    "half windows until 0.3": (CONTROL_POLICY, {"input_start": 0.5, "input_whole_from": 0.3}),
    "average of late weights": (CONTROL_POLICY, {"averaging": "ema", "averaging_window": 0.05}),
    "top half only": ("static_suffix", {"active_fraction": 0.5}),
    "dynamic suffix": ("dynamic_suffix", {}),
    "kept prefix until 0.9": (
        CONTROL_POLICY,
        {"prefix": 0.5, "prefix_until": 0.9, "prefix_rate": 1.3},
    ),
    "top third, the rest kept": (CONTROL_POLICY, {"prefix": 0.7, "prefix_until": 1.0}),
    "top third only": ("static_suffix", {"active_fraction": 0.33}),
    "together: top 60 %, Muon, average": (
        StaticSuffix.name,
        {name: value for name, value in TOP.items() if name != POLICY},
    ),
    "together: kept quarter, Muon, average": (CONTROL_POLICY, KEPT),
    "together: Muon, batch, numbers": (CONTROL_POLICY, FAST),
    "together, and growth": (CONTROL_POLICY, {**FAST, **GROWING}),
    "together, and half windows": (CONTROL_POLICY, {**FAST, **SMALL}),
    "together, growth, half windows": (CONTROL_POLICY, {**FAST, **GROWING, **SMALL}),
}


@dataclass(frozen=True)
class Plan:
    """What is trained on which seeds.

    Attributes:
        levers: names of ``SETTINGS``, each for ``horizon``.
        control: horizons of the own control.
    """

    workload: str
    levers: Sequence[str]
    horizon: float
    control: Sequence[float]
    seeds: Sequence[int]

    def jobs(self) -> list[Job]:
        """Seed by seed."""
        return [
            job
            for seed in self.seeds
            for job in [
                *(control_job(self.workload, horizon, seed) for horizon in self.control),
                *(self.lever_job(name, seed) for name in self.levers),
            ]
        ]

    def lever_job(self, name: str, seed: int) -> Job:
        """One setting on one seed."""
        policy, knobs = SETTINGS[name]
        if policy != CONTROL_POLICY:
            own, levers = divide_knobs(knobs)
            knobs = {**knobs_of(make_policy(policy, own)), **levers}
        return Job(self.workload, Recipe(policy, self.horizon, knobs), seed)


def main() -> None:
    """Measure the clock, train, print the rows."""
    made = parser(__doc__)
    made.add_argument("--workload", default="byte_lm", metavar="W")
    made.add_argument("--dir", type=Path, default=Path("runs/alone"), metavar="DIR")
    made.add_argument("--seeds", type=int, default=8, metavar="K")
    made.add_argument("--levers", nargs="+", choices=list(SETTINGS), metavar="NAME")
    made.add_argument("--horizon", type=float, default=1.0, metavar="H", help="of the levers")
    made.add_argument(
        "--control", type=float, nargs="+", default=HORIZONS, metavar="H", help="the control's"
    )
    made.add_argument("--workers", type=int, default=2, metavar="N", help="runs at once")
    options = made.parse_args()
    if len(set(options.control)) < FEWEST:
        made.error(f"--control needs {FEWEST} horizons or more, but got {options.control}")
    subject = Subject.find(options.workload)
    plan = Plan(
        options.workload,
        options.levers or possible(subject),
        options.horizon,
        options.control,
        range(FIRST_SEED, FIRST_SEED + options.seeds),
    )
    if not (options.dir / RUNS).exists():
        columns = knob_columns(SearchConfig(str(options.dir), space="recipe").search_space())
        options.dir.mkdir(parents=True, exist_ok=True)
        create_list(options.dir / RUNS, subject, measured_costs(subject.workload), columns)
    train(plan.jobs(), options.dir, options.workers, _said)
    table = rows(recorded(options.dir), plan)
    publish({f"each lever alone on {options.workload}": table}, options.json, machine())


def possible(subject: Subject) -> list[str]:
    """The settings that the workload can have."""
    lacking = {"input_start": subject.workload.shrink, "prefix": subject.workload.examples_at}
    return [
        name
        for name, (_, knobs) in SETTINGS.items()
        if all(lacking.get(knob, True) is not None for knob in knobs)
    ]


def rows(runs: Mapping[Job, Done], plan: Plan) -> list[Row]:
    """One row a setting; ``p`` corrected over them."""
    curves = control_curves(runs, plan.workload, plan.seeds, plan.control)
    found = [
        _row(name, [runs[plan.lever_job(name, seed)] for seed in curves], curves)
        for name in plan.levers
    ]
    corrected = holm([row.pop("p, better") for row in found])
    return [row | {"p": p} for row, p in zip(found, corrected, strict=True)]


def _row(name: str, runs: Sequence[Done], curves: Mapping[int, ControlCurve]) -> Row:
    done = [(run, run.loss) for run in runs if run.loss is not None]
    seen = [compare(r.job.seed, curves[r.job.seed], r.seconds, loss) for r, loss in done]
    return {
        "lever": name,
        "n": len(seen),
        "loss": statistics.fmean(loss for _, loss in done) if done else None,
        "ms a step": 1e3 * statistics.fmean(run.seconds / run.steps for run in runs),
        **gain_row(seen),
    }


def _said(done: Done) -> None:
    recipe = done.job.recipe
    print(f"seed {done.job.seed} {recipe.name} {recipe.horizon:g}: {done.loss}", file=sys.stderr)


if __name__ == "__main__":
    main()
