"""What a search costs until it has found a recipe that holds up, beside what a person could put
together.

Every side searches the space `recipe` of a workload for the same loss with as many trials; all
train by one cost table (``benchmarks.cost.quality_sides``). A side's *incumbent* after so many solo
seconds is the recipe with the highest gain, over the own control on the search's seed, of those
trained to their end. Each incumbent is trained again on fresh seeds, and its gain there is what
counts. Printed for each side, as medians over search seeds:

- device s: solo seconds of everything it trained;
- gain: of its last incumbent on the fresh seeds;
- to Optuna's: solo seconds until its incumbent's gain on the fresh seeds was first that of the last
  one of Optuna's TPE with Hyperband; – where it never is;
- Optuna's / : Optuna's seconds to its own, over the side's;
- without controls: the same of the seconds that were not the own recipe's at some horizon: ours
  trains it to know a gain, where the other sides' gains are known to this program alone;
- looked at: distinct recipes.

Then the same of each search, with its incumbents: after how many seconds each was found, and its
gain on the fresh seeds.

What was trained before lies in DIR and is not trained again. Seconds are by the clock, whatever
runs beside, as long as forms were timed alone: those that were not are named at the end.

    python -m benchmarks.cost.quality --dir DIR [--workload W] [--trials 64] [--seeds 3]
        [--first-seed 0] [--sides S ...] [--fresh 3] [--workers 2] [--clock RUN] [--json FILE]
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import subprocess
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.common import Row, machine, parser, publish
from benchmarks.cost.quality_sides import NOT_ALONE, SIDES, Search, Tried, sound, spent_by
from benchmarks.studies.plan import FIRST_SEED, Job, control_job
from benchmarks.studies.runs import RUNS, Done, recorded, train
from tuning.config.config import SearchConfig
from tuning.layout import RUN_JSON
from tuning.session.compare import measured_costs
from tuning.session.listed import Subject, create_list
from tuning.store.store import Store
from tuning.study.baselines import knob_columns
from tuning.study.samplers.control_line import ControlLine
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import CONTROL_POLICY, Recipe
from tuning.trial.variants import disturbed_forms

REFERENCE = "Optuna TPE, Hyperband"
CONTROL = (0.25, 0.5, 0.75, 1.0, 1.5, 2.25)
"""Horizons of the own control, on every seed."""


@dataclass(frozen=True)
class Incumbent:
    """The best that a side knew after so many solo seconds."""

    spent: float
    recipe: Recipe
    controls: float = 0.0
    """Of ``spent``, solo seconds of the own recipe at some horizon."""


def main() -> None:
    """Run what was not run yet, and print the table."""
    made = parser(__doc__)
    made.add_argument("--dir", type=Path, metavar="DIR", required="--job" not in sys.argv)
    made.add_argument("--workload", default="byte_lm", metavar="W")
    made.add_argument("--trials", type=int, default=64, metavar="N", help="of each search")
    made.add_argument("--seeds", type=int, default=3, metavar="K", help="searches of each side")
    made.add_argument("--first-seed", type=int, default=0, metavar="SEED", help="of those K")
    made.add_argument("--fresh", type=int, default=3, metavar="K", help="seeds to be judged on")
    made.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES), metavar="S")
    made.add_argument("--workers", type=int, default=2, metavar="N", help="processes at once")
    made.add_argument("--clock", type=Path, metavar="RUN", help="(default: calibrate)")
    made.add_argument("--job", type=Path, help="of one side; for this program's own use")
    options = made.parse_args()
    if options.job:
        run_job(options.job)
        return
    prepare(options)
    seeds, fresh = search_seeds(options), _fresh(options.fresh)
    _train(
        [control_job(options.workload, h, s) for s in [*seeds, *fresh] for h in CONTROL], options
    )
    lines = control_lines(recorded(options.dir), options.workload, [*seeds, *fresh])
    found = search_all(options)
    best = {key: incumbents(tried, lines[key[0]]) for key, tried in found.items()}
    judged = [
        Job(options.workload, each.recipe, seed)
        for own in best.values()
        for each in own
        for seed in fresh
    ]
    _train(judged, options)
    runs = recorded(options.dir)
    gains = {
        each.recipe: fresh_gain(runs, options.workload, each.recipe, lines, fresh)
        for own in best.values()
        for each in own
    }
    tables = {
        f"to a recipe that holds up, {options.workload}": table(found, best, gains),
        "search by search": by_search(found, best, gains),
    }
    publish(tables, options.json, machine())
    for clock, forms in not_alone(options).items():
        print(f"{clock}: not timed alone, so that seconds may be far off: {', '.join(forms)}")


def not_alone(options: Namespace) -> dict[str, list[str]]:
    """Forms that were timed while something else ran, by whose clock they are of."""
    found: dict[str, list[str]] = {}
    for folder in (options.dir, *sorted(options.dir.iterdir())):
        forms = set[str]()
        if (folder / NOT_ALONE).exists():
            forms |= set((folder / NOT_ALONE).read_text().splitlines())
        for run in (folder / "run", folder / RUNS):
            costs = Store.open(run).info.calibration if (run / RUN_JSON).exists() else None
            forms |= set() if costs is None else disturbed_forms(costs).keys()
        if forms:
            found[str(folder)] = sorted(forms)
    return found


def prepare(options: Namespace) -> None:
    """The run directory of the controls and of what is judged, with the clock of all sides."""
    if (options.dir / RUNS).exists():
        return
    options.dir.mkdir(parents=True, exist_ok=True)
    subject = Subject.find(options.workload)
    columns = knob_columns(
        SearchConfig("", workload=options.workload, space="recipe").search_space()
    )
    known = None if options.clock is None else Store.open(options.clock).info.calibration
    create_list(options.dir / RUNS, subject, known or measured_costs(subject.workload), columns)


def search_all(options: Namespace) -> dict[tuple[int, str], list[Tried]]:
    """Every side's trials by search seed and side, searched now where they were not."""
    jobs = [(seed, side) for seed in search_seeds(options) for side in options.sides]
    with ThreadPoolExecutor(options.workers) as pool:
        found = list(pool.map(lambda job: _searched(options, *job), jobs))
    return dict(zip(jobs, found, strict=True))


def search_seeds(options: Namespace) -> range:
    """Seeds of the searches of each side."""
    return range(options.first_seed, options.first_seed + options.seeds)


def _searched(options: Namespace, seed: int, side: str) -> list[Tried]:
    folder = options.dir / f"{side} {seed}"
    done = folder / "tried.json"
    if not done.exists():
        runs = recorded(options.dir)
        target = runs[control_job(options.workload, 1.0, seed)].loss
        folder.mkdir(exist_ok=True)
        shared, own = str(options.dir / RUNS), str(folder)
        search = Search(side, options.workload, options.trials, seed, target or 0.0, shared, own)
        (folder / "job.json").write_text(json.dumps(asdict(search)))
        command = [sys.executable, "-m", "benchmarks.cost.quality", "--job", folder / "job.json"]
        with (folder / "log").open("w") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log)
    return [Tried(**each) for each in json.loads(done.read_text())]


def run_job(file: Path) -> None:
    """What a side's process does."""
    search = Search(**json.loads(file.read_text()))
    tried = [asdict(each) for each in SIDES[search.side](search)]
    (file.parent / "tried.json").write_text(json.dumps(tried))


def control_lines(
    runs: Mapping[Job, Done], workload: str, seeds: Sequence[int]
) -> dict[int, ControlLine]:
    """The own control on each seed."""
    found = {}
    for seed in seeds:
        own = [runs[control_job(workload, horizon, seed)] for horizon in CONTROL]
        line = ControlLine.through([_outcome(run) for run in own])
        assert line is not None, "the control finishes at several horizons"
        found[seed] = line
    return found


def incumbents(tried: Sequence[Tried], line: ControlLine) -> list[Incumbent]:
    """Each that was better than all before it."""
    found, best, controls = [], -math.inf, 0.0
    for spent, each in spent_by(tried):
        recipe = Recipe(each.policy, each.horizon, each.knobs)
        controls += each.spent if recipe.is_control else 0.0
        if not sound(each) or recipe.is_control:
            continue
        gain = line.log_gain(each.seconds or 0.0, each.loss or 0.0)
        if gain > best:
            best = gain
            found.append(Incumbent(spent, recipe, controls))
    return found


def fresh_gain(
    runs: Mapping[Job, Done],
    workload: str,
    recipe: Recipe,
    lines: Mapping[int, ControlLine],
    seeds: Sequence[int],
) -> float:
    """The geometric mean over the seeds; 0 where a run failed."""
    done = [runs[Job(workload, recipe, seed)] for seed in seeds]
    if any(run.loss is None for run in done):
        return 0.0
    logs = [lines[run.job.seed].log_gain(run.seconds, run.loss or 0.0) for run in done]
    return math.exp(statistics.fmean(logs))


def table(
    found: Mapping[tuple[int, str], Sequence[Tried]],
    best: Mapping[tuple[int, str], Sequence[Incumbent]],
    gains: Mapping[Recipe, float],
) -> list[Row]:
    """A row a side."""
    seeds, sides = (list(dict.fromkeys(each)) for each in zip(*found, strict=True))
    rows = []
    for side in sides:
        costs = [to_reference(best, gains, seed, side) for seed in seeds]
        theirs = [to_reference(best, gains, seed, REFERENCE) for seed in seeds]
        both = [(a, b) for a, b in zip(costs, theirs, strict=True) if a and b]
        rows.append(
            {
                "side": side,
                "searches": len(seeds),
                "device s": _median([sum(t.spent for t in found[seed, side]) for seed in seeds]),
                "gain": _median([_last(best[seed, side], gains) for seed in seeds]),
                "to Optuna's": _median([cost.spent for cost in costs if cost]),
                "reached on": sum(cost is not None for cost in costs),
                "Optuna's /": _median([b.spent / a.spent for a, b in both]),
                "without controls": _median([_beside(b) / _beside(a) for a, b in both]),
                "looked at": _median([_distinct(found[seed, side]) for seed in seeds]),
            }
        )
    return rows


def by_search(
    found: Mapping[tuple[int, str], Sequence[Tried]],
    best: Mapping[tuple[int, str], Sequence[Incumbent]],
    gains: Mapping[Recipe, float],
) -> list[Row]:
    """A row a search: what the medians are of."""
    rows: list[Row] = []
    for (seed, side), tried in found.items():
        cost, theirs = (to_reference(best, gains, seed, each) for each in (side, REFERENCE))
        rows.append(
            {
                "side": side,
                "seed": seed,
                "device s": sum(each.spent for each in tried),
                "gain": _last(best[seed, side], gains),
                "to Optuna's": cost and cost.spent,
                "Optuna's /": theirs.spent / cost.spent if cost and theirs else None,
                "incumbents": "; ".join(
                    f"{each.spent:.1f} s {gains[each.recipe]:.2f}" for each in best[seed, side]
                ),
            }
        )
    return rows


def to_reference(
    best: Mapping[tuple[int, str], Sequence[Incumbent]],
    gains: Mapping[Recipe, float],
    seed: int,
    side: str,
) -> Incumbent | None:
    """The first of a side's that gained as much as Optuna's last."""
    if (seed, REFERENCE) not in best:
        return None
    wanted = _last(best[seed, REFERENCE], gains)
    return next((each for each in best[seed, side] if gains[each.recipe] >= wanted), None)


def _beside(found: Incumbent) -> float:
    """Solo seconds of what was trained beside controls."""
    return found.spent - found.controls


def _last(own: Sequence[Incumbent], gains: Mapping[Recipe, float]) -> float:
    return gains[own[-1].recipe] if own else 0.0


def _distinct(tried: Sequence[Tried]) -> int:
    return len({Recipe(each.policy, 1.0, each.knobs) for each in tried})


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _fresh(count: int) -> range:
    return range(FIRST_SEED, FIRST_SEED + count)


def _train(jobs: Sequence[Job], options: Namespace) -> None:
    train(list(dict.fromkeys(jobs)), options.dir, options.workers, _said)


def _said(done: Done) -> None:
    recipe = done.job.recipe
    said = f"seed {done.job.seed} {recipe.name} {recipe.horizon:g}: {done.loss}"
    print(said, file=sys.stderr, flush=True)


def _outcome(run: Done) -> Outcome:
    recipe = dataclasses.replace(run.job.recipe, policy=CONTROL_POLICY)
    return Outcome(0, "control", "finished", recipe, run.seconds, run.loss)


if __name__ == "__main__":
    main()
