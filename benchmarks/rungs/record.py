"""Train random recipes to several horizons, each decayed to its end there, and keep the table.

Recipes are drawn uniformly from the space `recipe` as the workload can have it, the own control is
beside them at every horizon, all are on one seed and one clock. What was trained before is not
trained again, so that a table grows. Each row of the table is a run: its recipe, its place among
those drawn, horizon, solo seconds, final loss and the whole curve.

    python -m benchmarks.rungs.record --workload W --dir DIR --table FILE.parquet
        [--recipes N] [--horizons H ...] [--workers N]
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from benchmarks.common import parser
from benchmarks.studies.plan import Job, control_job
from benchmarks.studies.runs import RUNS, Done, train
from search_spaces.base import SearchSpace
from tuning.config.config import SearchConfig
from tuning.session.compare import measured_costs
from tuning.session.listed import Subject, create_list
from tuning.session.search import fitted_to_device
from tuning.store.store import Store
from tuning.study.baselines import knob_columns
from tuning.study.samplers.draws import uniform
from tuning.trial.outcome import outcomes_of
from tuning.trial.recipe import KNOB, Recipe

HORIZONS = (0.125, 0.25, 0.5, 1.0)
LONGER = (1.5, 2.25)
"""Of the control alone, so that a loss below its own has a price."""
SEED = 0
KEPT = ("policy", "horizon", "train_seconds", "val_loss", "steps", "state", "curve")


def main() -> None:
    """Train what the table lacks, and write it."""
    made = parser(__doc__)
    made.add_argument("--workload", default="byte_lm", metavar="W")
    made.add_argument("--dir", type=Path, required=True, metavar="DIR", help="of the runs")
    made.add_argument("--table", type=Path, required=True, metavar="FILE")
    made.add_argument("--recipes", type=int, default=100, metavar="N")
    made.add_argument("--horizons", type=float, nargs="+", default=HORIZONS, metavar="H")
    made.add_argument("--workers", type=int, default=2, metavar="N", help="runs at once")
    options = made.parse_args()
    subject = Subject.find(options.workload)
    space = space_of(subject, options.dir)
    if not (options.dir / RUNS).exists():
        options.dir.mkdir(parents=True, exist_ok=True)
        costs = measured_costs(subject.workload)
        create_list(options.dir / RUNS, subject, costs, knob_columns(space))
    drawn = recipes(space, options.recipes)
    jobs = [*_controls(options.workload, options.horizons), *_jobs(options, drawn)]
    train(jobs, options.dir, options.workers, _said)
    table_of(options.dir, drawn).to_parquet(options.table, index=False)


def space_of(subject: Subject, folder: Path) -> SearchSpace:
    """The space `recipe` without what the workload cannot have."""
    config = SearchConfig(str(folder / RUNS), workload=subject.name, space="recipe")
    return fitted_to_device(config, subject.workload).search_space()


def recipes(space: SearchSpace, count: int) -> list[Recipe]:
    """The first ``count`` that are drawn, at horizon 1 and none of them the own control."""
    return [recipe for _, recipe in zip(range(count), _drawn(space), strict=False)]


def _drawn(space: SearchSpace) -> Iterator[Recipe]:
    number = 0
    while True:
        policy, _, knobs = space.split(uniform(space, SEED, number))
        recipe = Recipe(policy, 1.0, knobs)
        if not recipe.is_control:
            yield recipe
        number += 1


def table_of(folder: Path, drawn: Sequence[Recipe]) -> pd.DataFrame:
    """One row a run; ``recipe`` is its place among those drawn, −1 the own control's."""
    frame = Store.open(folder / RUNS).frame().sort_values("number")
    places = {recipe: place for place, recipe in enumerate(drawn)}
    runs = (run.recipe for run in outcomes_of(frame))
    recipe = [
        -1 if run.is_control else places.get(dataclasses.replace(run, horizon=1.0), -2)
        for run in runs
    ]
    knobs = [name for name in frame.columns if name.startswith(KNOB)]
    table = frame[[*KEPT, *knobs]].dropna(axis=1, how="all")
    table.insert(0, "recipe", recipe)
    return table[table["recipe"] > -2]


def _controls(workload: str, horizons: Sequence[float]) -> list[Job]:
    return [control_job(workload, horizon, SEED) for horizon in [*horizons, *LONGER]]


def _jobs(options: object, drawn: Sequence[Recipe]) -> list[Job]:
    workload, horizons = vars(options)["workload"], vars(options)["horizons"]
    return [
        Job(workload, dataclasses.replace(recipe, horizon=horizon), SEED)
        for recipe in drawn
        for horizon in horizons
    ]


def _said(done: Done) -> None:
    print(f"{done.job.recipe.horizon:g}: {done.loss} in {done.seconds:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
