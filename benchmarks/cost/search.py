"""What a search costs, beside plain Ray Tune with OptunaSearch and plain Optuna, part by part.

Every side searches the same space on the same workload with the same number of trials, so many at
once, one side after another, each in a process of its own. Trials are scored by solo seconds from
one cost table and by final loss, whatever the side itself measured. Printed are medians over seeds:

- wall s: of the whole process; for ours the calibration is added, which the others do without;
- busy s: of all tasks, added up;
- hypervolume: of the box between the reference point (a horizon of 1, the loss of full_update at
  the shortest horizon) and the ideal one (no time, as far below the loss of full_update as the
  reference is above it), as a share;
- to plain's s: wall seconds until the hypervolume is what plain Ray Tune ended with; – where it
  never is, and then the median is over the seeds in which it is;
- plain / …: plain Ray Tune's seconds over the side's, seed by seed;
- idle: the share of the slots' time between a task and the next, from the first task's start to the
  last one's end;
- ends: the share in which a slot had not begun yet, or had nothing left to do.

    python -m benchmarks.cost.search [--workload W] [--trials 40] [--at-once 2] [--seeds 3] [--sides
    S …] [--quick]
                                     [--json FILE]
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.common import Row, machine, parser, publish
from benchmarks.cost.search_sides import SIDES, SPACE, Done, Job, train
from benchmarks.quality.hypervolume import Box, Point
from models.device import run_device
from models.registry import find_workload
from search_spaces.registry import find_space
from tuning.config.config import SearchConfig
from tuning.config.resources import Machine
from tuning.session.description import describe
from tuning.store.store import Store
from tuning.training.calibration.calibrate import Effort, calibrate
from tuning.trial.clock import baseline_seconds

PLAIN = "plain Ray Tune"
QUICK = Effort(min_rounds=3, max_rounds=3, seconds=0, evaluations=1, part_rounds=1, tries=1, rest=0)


@dataclass(frozen=True)
class Ground:
    """What all sides share.

    Attributes:
        shared: directory of a run that holds the cost table.
        calibration: wall seconds that measuring it took.
        tries: how often it was measured until nothing disturbed it.
        box: where hypervolume is counted.
        target: the loss of full_update.
    """

    shared: Path
    calibration: float
    tries: int
    box: Box
    target: float


@dataclass(frozen=True)
class Outcome:
    """One side's search on one seed; times in seconds since its process was started."""

    side: str
    seed: int
    wall: float
    tasks: tuple[Done, ...]

    def points(self, until: float = float("inf")) -> list[Point]:
        """(solo seconds, loss) of the trials that had ended by then."""
        return [
            (t.solo, t.loss)
            for t in self.tasks
            if t.ended <= until and t.solo is not None and t.loss is not None
        ]

    def reaches(self, share: float, box: Box) -> float | None:
        """When the hypervolume was ``share`` of the box; None if it never was."""
        ends = sorted(task.ended for task in self.tasks if task.loss is not None)
        return next((end for end in ends if box.share(self.points(end)) >= share), None)

    def ends(self, slots: int) -> float:
        """The share of the slots' time before each one's first task and after its last."""
        began, ended = (
            sorted(t.began for t in self.tasks)[:slots],
            sorted(t.ended for t in self.tasks)[-slots:],
        )
        return (
            sum(began) - slots * began[0] + slots * ended[-1] - sum(ended)
        ) / self._slot_seconds(slots)

    def idle(self, slots: int) -> float:
        """The share of the slots' time between a task and the next."""
        return 1 - self.busy / self._slot_seconds(slots) - self.ends(slots)

    def _slot_seconds(self, slots: int) -> float:
        return slots * (
            max(task.ended for task in self.tasks) - min(task.began for task in self.tasks)
        )

    @property
    def busy(self) -> float:
        """Seconds of all tasks."""
        return sum(task.ended - task.began for task in self.tasks)


def prepare(name: str, seed: int, folder: Path, *, quick: bool) -> Ground:
    """Calibrate, and train full_update for the longest and the shortest horizon.

    Their results span the box of the hypervolume.
    """
    workload, space = find_workload(name, None), find_space(SPACE)
    config = SearchConfig(str(folder / "shared"), workload=name, space=SPACE)
    store = Store.create(
        folder / "shared", describe(config, workload, config.resources(Machine.here()))
    )
    begun = time.perf_counter()
    costs = calibrate(workload, device=run_device(), threads=1, effort=QUICK if quick else None)
    calibration = time.perf_counter() - begun
    store.update_info(calibration=costs, device=costs.device)
    job = Job("", name, 0, seed, 0.0, str(store.path), "", 1)
    horizon = space.knob("horizon")
    never = {"freeze_start": 0.0, "recovery": 1.0}  # full_update as a point of the space's policy
    short, long = (train(job, {**never, "horizon": horizon.at(place)}).loss for place in (0.0, 1.0))
    assert short is not None, "it trained to its end"
    assert long is not None, "it trained to its end"
    longest = float(horizon.at(1.0)) * baseline_seconds(costs, workload.steps)
    return Ground(
        store.path, calibration, costs.tries, Box((0.0, 2 * long - short), (longest, short)), long
    )


def measure(job: Job, *, apart: bool) -> Outcome:
    """Run one side, in a process of its own where ``apart``."""
    begun = time.time()
    if apart:
        file = Path(job.folder) / "job.json"
        file.write_text(json.dumps(dataclasses.asdict(job)))
        subprocess.run(
            [sys.executable, "-m", "benchmarks.cost.search", "--job", str(file)], check=True
        )
        tasks = [Done(**task) for task in json.loads((Path(job.folder) / "done.json").read_text())]
    else:
        tasks = SIDES[job.side](job)
    wall = time.time() - begun
    since = [dataclasses.replace(t, began=t.began - begun, ended=t.ended - begun) for t in tasks]
    return Outcome(job.side, job.seed, wall, tuple(since))


def run_job(file: Path) -> None:
    """What a side's process does."""
    job = Job(**json.loads(file.read_text()))
    done = [dataclasses.asdict(task) for task in SIDES[job.side](job)]
    (file.parent / "done.json").write_text(json.dumps(done))


def with_calibration(outcome: Outcome, seconds: float) -> Outcome:
    """A search of ours as if it had calibrated first."""
    if not outcome.side.startswith("ours"):
        return outcome
    moved = [
        dataclasses.replace(t, began=t.began + seconds, ended=t.ended + seconds)
        for t in outcome.tasks
    ]
    return Outcome(outcome.side, outcome.seed, outcome.wall + seconds, tuple(moved))


def compared(outcomes: Sequence[Outcome], box: Box, slots: int) -> list[Row]:
    """A row a side, medians over its seeds."""
    plain = {outcome.seed: outcome for outcome in outcomes if outcome.side == PLAIN}
    rows = []
    for side in dict.fromkeys(outcome.side for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.side == side]
        reached = {
            o.seed: o.reaches(box.share(plain[o.seed].points()), box)
            for o in own
            if o.seed in plain
        }
        times = {seed: at for seed, at in reached.items() if at is not None}
        there = {
            seed: plain[seed].reaches(box.share(plain[seed].points()), box) or 0.0 for seed in times
        }
        rows.append(
            {
                "side": side,
                "seeds": len(own),
                "wall s": _median([o.wall for o in own]),
                "plain / wall": _median(
                    [plain[o.seed].wall / o.wall for o in own if o.seed in plain]
                ),
                "busy s": _median([o.busy for o in own]),
                "hypervolume": _median([box.share(o.points()) for o in own]),
                "to plain's s": _median(list(times.values())),
                "reached on": f"{len(times)} of {len(reached)}" if plain else None,
                "plain / to plain's": _median([there[seed] / at for seed, at in times.items()]),
                "idle": _median([o.idle(slots) for o in own]),
                "ends": _median([o.ends(slots) for o in own]),
            }
        )
    return rows


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def main(argv: Sequence[str] | None = None) -> None:
    """Run the sides, print the table, write the JSON."""
    given = parser(__doc__)
    given.add_argument(
        "--workload",
        default="benchmarks.cost.search_sides:short",
        help="(default: byte_lm_narrow, 200 steps)",
    )
    given.add_argument("--trials", type=int, default=40, help="of each search (default: 40)")
    given.add_argument("--at-once", type=int, default=2, help="trials at once (default: 2)")
    given.add_argument(
        "--seeds", type=int, default=3, help="searches of each side, from seed 0 on (default: 3)"
    )
    given.add_argument(
        "--sides", nargs="+", choices=SIDES, default=list(SIDES), help="(default: all)"
    )
    given.add_argument(
        "--quick", action="store_true", help="in this process, one at a time, without Ray"
    )
    given.add_argument("--job", type=Path, help="of one side; for this program's own use")
    options = given.parse_args(argv)
    torch.set_num_threads(1)
    if options.job:
        run_job(options.job)
        return
    if options.quick:
        options.at_once, options.sides = 1, [side for side in options.sides if side != PLAIN]
    about = machine()
    with tempfile.TemporaryDirectory() as scratch:
        ground = prepare(options.workload, 0, Path(scratch), quick=options.quick)
        outcomes = [
            with_calibration(measure(job, apart=not options.quick), ground.calibration)
            for job in jobs(options, ground, Path(scratch))
        ]
    rows = compared(outcomes, ground.box, options.at_once)
    searches = [
        {"side": o.side, "seed": o.seed, "wall s": o.wall, "tasks": len(o.tasks)} for o in outcomes
    ]
    about |= {"calibration s": round(ground.calibration, 1), "tries": ground.tries}
    publish({"what a search costs": rows, "each search": searches}, options.json, about)


def jobs(options: Namespace, ground: Ground, scratch: Path) -> Iterator[Job]:
    """Every search that is asked for, the sides of a seed one after another."""
    for seed in range(options.seeds):
        for side in options.sides:
            yield Job(
                side=side,
                workload=options.workload,
                trials=options.trials,
                seed=seed,
                target=ground.target,
                shared=str(ground.shared),
                folder=tempfile.mkdtemp(dir=scratch),
                at_once=options.at_once,
                driver="serial" if options.quick else "ray",
            )


if __name__ == "__main__":
    main()
