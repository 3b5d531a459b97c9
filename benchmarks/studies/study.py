"""The research note's four next iterations, a study each: relevance, levels, cadence, recovery.

A study searches its knob (``benchmarks/studies/NAME.toml``, every other knob fixed at one base),
then trains a few values of it on fresh seeds, beside full_update at the whole horizon and three
shorter ones on the same seeds. It prints

- what the search found, on its one seed;
- each value beside the base, in pairs, with Student's 95 % interval;
- each value beside the control: the seconds in which full_update reaches the same loss, over the
  value's own.

All runs are charged by one clock that is measured first, so company changes no loss and no ratio of
seconds. DIR keeps clock, runs and searches: a study that was stopped goes on where it was, and the
studies share base and control.

    python -m benchmarks.studies.study cadence --dir runs/studies
    python -m benchmarks.studies.study all --dir runs/studies --json studies.json
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

import tuning
from benchmarks.common import Row, machine, parser, publish
from benchmarks.studies.plan import FIRST_SEED, STUDIES, Study, jobs_of
from benchmarks.studies.runs import Done, clock, recorded, train
from benchmarks.studies.tables import base_rows, control_rows, gain_rows, search_rows
from tuning.training.calibration.calibrate import Effort
from tuning.trial.clock import CostTable

QUICK_SEEDS = 2
QUICK = Effort(min_rounds=3, max_rounds=3, seconds=0.0, evaluations=1, part_rounds=1, tries=1)


def main(argv: Sequence[str] | None = None) -> None:
    """Search, train, print the tables, and write JSON where asked."""
    options = _options(argv)
    options.dir.mkdir(parents=True, exist_ok=True)
    studies = list(STUDIES.values()) if options.name == "all" else [STUDIES[options.name]]
    seeds = range(FIRST_SEED, FIRST_SEED + options.seeds)
    costs = clock(options.dir, options.workload, QUICK if options.quick else None)
    _train(studies, seeds, options)
    tables: dict[str, list[Row]] = {}
    for study in studies:
        if not options.no_search:
            found = searched(study, options.dir, options.workload)
            tables[f"{study.name}: what the search found, one seed"] = search_rows(study, found)
        tables |= _compared(study, seeds, options)
    tables["control: full_update trained for less"] = control_rows(
        recorded(options.dir), options.workload, seeds
    )
    publish(tables, options.json, machine() | about(costs, options.workload))


def _train(studies: Sequence[Study], seeds: Sequence[int], options: argparse.Namespace) -> None:
    jobs = jobs_of(studies, options.workload, seeds)
    known = recorded(options.dir)
    count = itertools.count(1 + sum(job in known for job in jobs))

    def tell(done: Done) -> None:
        what = (
            f"{done.job.recipe.name} at horizon {done.job.recipe.horizon:g}, seed {done.job.seed}"
        )
        print(f"{next(count)} of {len(jobs)}: {what}: {done.loss}", file=sys.stderr, flush=True)

    train(jobs, options.dir, options.workers, tell)


def _compared(
    study: Study, seeds: Sequence[int], options: argparse.Namespace
) -> dict[str, list[Row]]:
    runs = recorded(options.dir)
    return {
        f"{study.name}: beside the base (first row)": base_rows(
            study, runs, options.workload, seeds
        ),
        f"{study.name}: beside the control": gain_rows(study, runs, options.workload, seeds),
    }


def searched(study: Study, folder: Path, workload: str) -> pd.DataFrame:
    """The trials of the study's search in ``folder``, which is begun or gone on with."""
    run = folder / study.name
    if run.exists():
        return tuning.resume(run).trials
    return tuning.run_search(study.config(run, "--workload", workload, "--driver", "serial")).trials


def about(costs: CostTable, workload: str) -> Row:
    """The clock, as ratios to a full step, and what disturbed it."""
    full = costs.step_cost(costs.num_blocks)
    ratios = {
        f"step {depth}": f"{seconds / full:.3f}" for depth, seconds in costs.step_seconds.items()
    }
    return {
        "workload": workload,
        "full step": f"{1000 * full:.3g} ms",
        **ratios,
        "probe": f"{costs.probe_seconds / full:.3f}",
        "clock": "; ".join(costs.disturbances) or "undisturbed",
    }


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("name", choices=(*STUDIES, "all"), help="which study")
    made.add_argument(
        "--dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="directory of clock, runs and searches",
    )
    made.add_argument(
        "--workload",
        default="byte_lm_narrow",
        metavar="W",
        help="what is trained (default: byte_lm_narrow)",
    )
    made.add_argument(
        "--seeds", type=int, default=8, metavar="N", help="fresh seeds, 2 or more (default: 8)"
    )
    made.add_argument(
        "--workers", type=int, default=2, metavar="N", help="runs at once (default: 2)"
    )
    made.add_argument(
        "--no-search", action="store_true", help="only the fresh seeds (default: search first)"
    )
    made.add_argument(
        "--quick",
        action="store_true",
        help="2 seeds, a rough clock and no search (default: all of it)",
    )
    options = made.parse_args(argv)
    if options.quick:
        options.seeds, options.no_search = QUICK_SEEDS, True
    for name, least in (("seeds", 2), ("workers", 1)):
        if getattr(options, name) < least:
            made.error(f"{name} >= {least} must hold, but got {getattr(options, name)}")
    return options


if __name__ == "__main__":
    main()
