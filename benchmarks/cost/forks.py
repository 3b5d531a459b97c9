"""What starting trials from a shared trunk saves, by how far they share it, and what it costs.

A trunk is trained and recorded. Then trials that depart from it at different depths (control
horizons, and schedules that freeze from different fractions of the run on) are trained from their
first step and from their snapshot, taking turns.

- predicted: what the clock charges for the steps that a fork does not train;
- measured: median over rounds of the unforked less the forked run, loading the snapshot included,
  evaluations left out;
- start: loading the snapshot and putting it in place.

With --search N, the search of N trials is done with and without forks on one calibration, one trial
after another: the tables must be equal but for ``forked_from_step``, and the wall seconds stand
beside each other.

    python -m benchmarks.cost.forks [--workload W] [--rounds 3] [--search N] [--seed K] [--quick]
    [--json FILE]
"""

from __future__ import annotations

import importlib
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import Row, machine, parser, publish
from models.device import run_device, synchronize
from models.registry import find_workload
from models.workload import Workload
from policies.base import UpdatePolicy
from policies.registry import make_policy
from tuning.config.config import SearchConfig
from tuning.config.resources import Machine
from tuning.session.conduct import conduct
from tuning.session.description import describe
from tuning.session.slots import solo_work
from tuning.store.store import Store
from tuning.study.baselines import CONTROL_HORIZONS
from tuning.training.calibration.calibrate import Effort, calibrate
from tuning.training.checkpoint import load_checkpoint, save_checkpoint
from tuning.training.loop import TrainingRun, timetable
from tuning.training.stopwatch import Stopwatch
from tuning.training.trunk import Sharing, TrunkRecorder, load_trunk, snapshot_file
from tuning.trial.built import built
from tuning.trial.clock import CostTable, Ledger, baseline_seconds, charge
from tuning.trial.replay import Standing, Trunk, replay
from tuning.trial.trial import SEEDS

FREEZE_STARTS = (0.0, 0.1, 0.25, 0.5, 0.75)
FROZEN = {"threshold": 0.5, "probe_every": 20, "recovery": 0.1}
"""Of the schedules whose start of freezing is varied."""
QUICK = Effort(min_rounds=3, max_rounds=3, seconds=0, evaluations=1, part_rounds=1, tries=1, rest=0)
HAPPENSTANCE = [
    "wall_seconds",
    "measured_seconds",
    "co_residents",
    "executions",
    "started_at",
    "finished_at",
]
REPEATS = 10
IMPORTED = (
    "scipy.stats",
    "tuning.study.samplers.optuna_ask",
    "tuning.report.render",
    "tuning.report.picture.png",
)
"""What a search imports on its way: the first of two would pay for both."""


@dataclass(frozen=True)
class Bench:
    """What is trained, on which clock, from which trunk."""

    workload: Workload
    costs: CostTable
    seed: int
    folder: Path

    def run(self, policy: UpdatePolicy[Any], horizon: float, watch: Stopwatch) -> TrainingRun:
        """A run that has not begun, of which ``watch`` times the training."""
        timed = watch.around_evaluation(self.workload)
        return TrainingRun(
            timed, policy, seed=self.seed, horizon=horizon, costs=self.costs, device=run_device()
        )

    def trunk(self) -> Trunk:
        """The trunk, trained and recorded now."""
        sharing = Sharing(baseline_seconds(self.costs, self.workload.steps), SEEDS)
        run = self.run(make_policy("full_update", {}), 1.0, Stopwatch())
        run.recorder = recorder = TrunkRecorder(self.folder, timetable(self.workload), sharing)
        while not run.finished:
            run.advance()
        recorder.finish(run.measurements())
        trunk = load_trunk(self.folder)
        assert trunk is not None, "it was finished just now"
        return trunk


def schedules() -> Iterator[tuple[str, UpdatePolicy[Any], float]]:
    """Trials by name, from those that share least to those that share most."""
    for start in FREEZE_STARTS:
        yield (
            f"freezes from {start:g}",
            make_policy("dynamic_suffix", {**FROZEN, "freeze_start": start}),
            1.0,
        )
    for horizon in CONTROL_HORIZONS:
        yield f"control, horizon {horizon:g}", make_policy("full_update", {}), horizon


def seconds_of(
    bench: Bench, policy: UpdatePolicy[Any], horizon: float, standing: Standing[Any] | None
) -> Row:
    """Seconds that a run takes to start and to train, from ``standing`` or from its first step."""
    watch = Stopwatch(synchronize=synchronize)
    run = bench.run(policy, horizon, watch)
    begun = time.perf_counter()
    if standing is not None and not standing.finished:
        run.fork(standing, load_checkpoint(snapshot_file(bench.folder, standing.step)))
    elif standing is not None:
        run.fork(standing, None)
    start = time.perf_counter() - begun
    with watch.running():
        while not run.finished:
            run.advance()
    return {"start": start, "training": watch.seconds, "steps": run.steps}


def saved(bench: Bench, trunk: Trunk, rounds: int) -> list[Row]:
    """A row for every schedule."""
    times = timetable(bench.workload)
    everywhere = replace(trunk, snapshots=range(bench.workload.steps))
    rows = []
    for name, policy, horizon in schedules():
        standing = replay(policy, trunk, times, bench.costs, horizon)
        departs = replay(policy, everywhere, times, bench.costs, horizon)
        assert standing is not None, "a trunk has a snapshot before its first step"
        assert departs is not None, "likewise"
        turns = [
            [seconds_of(bench, policy, horizon, s) for s in (None, standing)] for _ in range(rounds)
        ]
        measured = statistics.median(a["training"] - b["training"] - b["start"] for a, b in turns)
        predicted = charge(bench.costs, built(Ledger, standing.course["ledger"])).train_seconds
        rows.append(
            {
                "schedule": name,
                "departs at": departs.step,
                "forks at": standing.step,
                "of steps": turns[0][0]["steps"],
                "predicted s": predicted,
                "measured s": measured,
                "measured / predicted": measured / predicted if predicted else None,
                "start s": statistics.median(b["start"] for _, b in turns),
                "whole run s": statistics.median(a["training"] for a, _ in turns),
            }
        )
    return rows


def snapshots(bench: Bench, trunk: Trunk) -> list[Row]:
    """What the trunk's snapshots cost, and where they are."""
    run = bench.run(make_policy("full_update", {}), 1.0, Stopwatch())
    run.advance()
    file = bench.folder / "timed.pt"
    saves, loads = [], []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        size = save_checkpoint(file, run.snapshot())
        written = time.perf_counter()
        load_checkpoint(file)
        saves.append(written - begun)
        loads.append(time.perf_counter() - written)
    file.unlink()
    steps = trunk.snapshots
    save, whole = statistics.median(saves), baseline_seconds(bench.costs, bench.workload.steps)
    return [
        {
            "snapshots": len(steps),
            "first, last step": f"{steps[0]}, {steps[-1]}",
            "steps apart": (steps[-1] - steps[0]) / max(1, len(steps) - 1),
            "bytes each": size,
            "save s": save,
            "load s": statistics.median(loads),
            "all saves / trunk": len(steps) * save / whole,
        }
    ]


def searched(name: str, costs: CostTable, options: dict[str, Any], folder: Path) -> list[Row]:
    """The search with forks and without: wall seconds of each, and whether the tables are equal."""
    for module in IMPORTED:
        importlib.import_module(module)
    frames, rows = [], []
    for forks in (True, False):
        run = folder / f"forks-{forks}"
        config = SearchConfig(
            str(run),
            workload=name,
            space="dynamic_suffix",  # whose forms are all in the table: none is timed twice
            driver="serial",
            sampler="tpe",
            forks=forks,
            **options,
        )
        workload, resources = find_workload(name, None), config.resources(Machine.here())
        store = Store.create(run, describe(config, workload, resources))
        store.update_info(calibration=costs, device=costs.device)
        begun = time.perf_counter()
        frame = conduct(store, config, workload, resources, None).trials
        wall = time.perf_counter() - begun
        frames.append(frame.drop(columns=[*HAPPENSTANCE, "forked_from_step"]))
        records = store.records()
        rows.append(
            {
                "forks": "yes" if forks else "no",
                "trials": len(records),
                "wall s": wall,
                "charged s": sum(record.train_seconds or 0.0 for record in records),
                "trained, evaluated s": sum(solo_work(record, costs) for record in records),
                "taken over whole": sum(
                    r.steps is not None and r.forked_from_step == r.steps for r in records
                ),
                "same table": frames[0].equals(frames[-1]),
            }
        )
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Train the trunk, measure, print the tables, write the JSON."""
    given = parser(__doc__, rounds=3)
    given.add_argument(
        "--workload", default="byte_lm_narrow", help="what is trained (default: byte_lm_narrow)"
    )
    given.add_argument(
        "--search",
        type=int,
        default=0,
        metavar="N",
        help="trials of the two searches (default: none)",
    )
    given.add_argument(
        "--seed", type=int, default=0, help="of the trunk and of the searches (default: 0)"
    )
    given.add_argument(
        "--quick", action="store_true", help="calibrate in a moment, to see that it runs"
    )
    options = given.parse_args(argv)
    if options.rounds < 1:
        given.error(f"rounds >= 1 must hold, but got {options.rounds}")
    about = machine()
    torch.set_num_threads(1)
    workload = find_workload(options.workload, None)
    costs = calibrate(
        workload, device=run_device(), threads=1, effort=QUICK if options.quick else None
    )
    tables: dict[str, Sequence[Row]] = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(workload, costs, options.seed, Path(folder))
        trunk = bench.trunk()
        tables["saved by forking"] = saved(bench, trunk, options.rounds)
        tables["snapshots of the trunk"] = snapshots(bench, trunk)
        if options.search:
            # Told what to reach, they need no runs on other seeds to find it.
            target = trunk.evaluations[max(trunk.evaluations)]
            search = {"trials": options.search, "seed": options.seed, "target": target}
            tables["the same search"] = searched(options.workload, costs, search, Path(folder))
    publish(tables, options.json, about)


if __name__ == "__main__":
    main()
