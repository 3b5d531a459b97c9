"""What recipes like the suggested ones gain on fresh seeds: where a search should begin.

Each is the first suggestion of the space ``recipe``, or that for a pretrained model, with some of
its knobs turned. Printed are the gain over the own control, the geometric mean over the seeds, and
that of each seed. What was trained before lies in DIR and is not trained again.

    python -m benchmarks.quality.suggestions --dir DIR [--workload W] [--fresh 3] [--horizon 0.75]
        [--only NAME ...] [--workers 2] [--json FILE]
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.common import Row, machine, parser, publish
from benchmarks.cost.quality import CONTROL, control_lines, fresh_gain, prepare
from benchmarks.studies.plan import FIRST_SEED, Job, control_job
from benchmarks.studies.runs import Done, recorded, train
from models.levers.averaging import EMA
from models.levers.optimizer import MUON
from policies.base import Scalar
from policies.full_update import FullUpdate
from search_spaces.recipe import FAST, GROWING, KEPT, LATE, SMALL
from tuning.trial.recipe import Recipe

MODERATE: Mapping[str, Scalar] = {
    **FAST,
    "muon_momentum": 0.9,
    "rate": 3.0,
    "weight_decay_factor": 0.25,
    "beta1_memory": 1.0,
    "beta2_memory": 2.5,
    "warmup_factor": 0.4,
    "decay_added": 0.5,
    "final_rate": 0.15,
}
"""Near what the best recipes of searches of digits had in common."""
PREFIX: Mapping[str, Scalar] = {"prefix": 0.25, "prefix_until": 1.0, "prefix_rate": 1.0}
TWICE: Mapping[str, Scalar] = {
    "optimizer": MUON,
    "muon_momentum": 0.97,
    "newton_schulz_steps": 5,
    "rate": 1.8,
    "weight_decay_factor": 5.0,
    "beta1_memory": 0.7,
    "beta2_memory": 1.1,
    "warmup_factor": 0.5,
    "decay_added": 0.45,
    "final_rate": 0.2,
    "batch_start": 2.0,
    "batch_end": 2.0,
    "batch_change_at": 0.5,
    "averaging": EMA,
    "averaging_window": 0.15,
}
"""Twice the examples, which a search of byte_lm_finetune by Ray Tune came to."""
BEFORE: Mapping[str, Scalar] = {
    **KEPT,
    "averaging_window": 0.05,
    "beta1_memory": 1.0,
    "decay_added": 0.3,
    "final_rate": 0.0,
}
"""What was suggested before proposals near it, in a search of one seed, came to other numbers."""
WIDE: Mapping[str, Scalar] = {"averaging_window": 0.11}
SLOW: Mapping[str, Scalar] = {"beta1_memory": 1.8}
FLAT: Mapping[str, Scalar] = {"decay_added": 0.23, "final_rate": 0.05}
FIVE: Mapping[str, Scalar] = {**FAST, "newton_schulz_steps": 5}
SMALLER = {**LATE, "depth_end": 0.75}
HALF = {"depth_start": 0.5, "depth_end": 0.5}
VARIANTS: Mapping[str, Mapping[str, Scalar]] = {
    "fast, growth at 0.4": {**FAST, **GROWING},
    "fast, growth at 0.7": {**FAST, **LATE},
    "fast, growth at 0.55": {**FAST, **LATE, "growth_at": 0.55},
    "fast, growth at 0.4, small": {**FAST, **GROWING, **SMALL},
    "fast, to three quarters at 0.55": {**FAST, **SMALLER, "growth_at": 0.55},
    "fast, to three quarters at 0.7": {**FAST, **SMALLER},
    "fast, half the blocks": {**FAST, **HALF},
    "five steps, growth at 0.4": {**FIVE, **GROWING},
    "five steps, growth at 0.7": {**FIVE, **LATE},
    "five steps, growth at 0.4, small": {**FIVE, **GROWING, **SMALL},
    "moderate, growth at 0.4": {**MODERATE, **GROWING},
    "moderate, growth at 0.7": {**MODERATE, **LATE},
    "moderate, to three quarters at 0.7": {**MODERATE, **SMALLER},
    "moderate, half the blocks": {**MODERATE, **HALF},
    "kept quarter": KEPT,
    "kept quarter, rate 2": {**KEPT, "rate": 2.0},
    "kept half": {**KEPT, "prefix": 0.5},
    "kept half, rate 2": {**KEPT, "prefix": 0.5, "rate": 2.0},
    "kept half, rate 3": {**KEPT, "prefix": 0.5, "rate": 3.0},
    "kept three quarters, rate 2": {**KEPT, "prefix": 0.75, "rate": 2.0},
    "before": BEFORE,
    "before, wide average": {**BEFORE, **WIDE},
    "before, slow momentum": {**BEFORE, **SLOW},
    "before, flat end": {**BEFORE, **FLAT},
    "twice the batch": TWICE,
    "twice the batch, kept quarter": {**TWICE, **PREFIX},
    "twice the batch, kept half": {**TWICE, **PREFIX, "prefix": 0.5},
}


def main() -> None:
    """Train what was not trained yet, and print the table."""
    made = parser(__doc__)
    made.add_argument("--dir", type=Path, metavar="DIR", required=True)
    made.add_argument("--workload", default="byte_lm", metavar="W")
    made.add_argument("--fresh", type=int, default=3, metavar="K", help="seeds")
    made.add_argument("--horizon", type=float, default=0.75, metavar="H", help="of every variant")
    made.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    made.add_argument("--workers", type=int, default=2, metavar="N", help="processes at once")
    made.add_argument("--clock", type=Path, metavar="RUN", help="(default: calibrate)")
    options = made.parse_args()
    prepare(options)
    seeds = range(FIRST_SEED, FIRST_SEED + options.fresh)
    recipes = {
        name: Recipe(FullUpdate.name, options.horizon, VARIANTS[name]) for name in options.only
    }
    jobs = [control_job(options.workload, horizon, s) for s in seeds for horizon in CONTROL]
    jobs += [Job(options.workload, recipe, s) for recipe in recipes.values() for s in seeds]
    train(jobs, options.dir, options.workers, _said)
    runs = recorded(options.dir)
    lines = control_lines(runs, options.workload, seeds)
    rows = []
    for name, recipe in recipes.items():
        each = [fresh_gain(runs, options.workload, recipe, lines, [seed]) for seed in seeds]
        rows.append(
            Row(
                variant=name,
                gain=math.prod(each) ** (1 / len(each)),
                by_seed=", ".join(f"{gain:.2f}" for gain in each),
                seconds=runs[Job(options.workload, recipe, seeds[0])].seconds,
            )
        )
    publish({f"suggestions, {options.workload}": rows}, options.json, machine())


def _said(done: Done) -> None:
    print(f"seed {done.job.seed} {done.job.recipe.name}: {done.loss}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
