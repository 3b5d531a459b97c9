"""Whether a trial is charged the same whatever runs beside it, and what it takes alone.

The same nine trials of ``byte_lm_narrow``, of mixed policies and horizons, run in the search's own
workers: two at once, four at once, and two beside a process that burns a core. Before and after,
each is trained alone in this process with a full step timed after every other step of its own; the
mean of both, in units of those full steps times the calibrated one, is what it takes alone, free of
the machine's drift. Errors are relative to that for our clock. The wall clock of a loaded worker
(training only: evaluations and checkpoints left out) is held against plain wall seconds alone.

    python -m benchmarks.truth.clock [--scale F] [--json FILE]
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from scipy.stats import kendalltau

from benchmarks.common import Row, machine, parser, publish
from benchmarks.truth.beside import train_beside
from models.workload import Workload
from models.workloads.byte_lm_narrow import byte_lm_narrow
from policies.full_update import FullUpdate
from policies.presets import PRESETS
from policies.registry import make_policy
from policies.settings import knobs_of
from tuning.config.config import SearchConfig
from tuning.drivers.driver import Nothing
from tuning.drivers.ray_driver import RayDriver
from tuning.store.info import RunInfo
from tuning.store.lease import Lease
from tuning.store.store import Store
from tuning.study.baselines import knob_columns
from tuning.training.calibration.calibrate import calibrate
from tuning.trial.clock import CostTable
from tuning.trial.recipe import Recipe
from tuning.trial.task import Ending, Lost, Task
from tuning.trial.trial import TrialRecord, TrialSpec
from tuning.version import VERSION

ERROR_GOAL, TAU_GOAL = 0.05, 0.95
TRIALS = 9
SHORTEST, RATIO = 0.3, 1.16
"""Horizons: the shortest, and each over the one before it; the longest of nine is 0.98."""
BURNER = "while True: pass"


@dataclass(frozen=True)
class Load:
    """What goes on at once: trials, and processes that have nothing to do with them."""

    name: str
    at_once: int
    burners: int = 0


LOADS = (Load("2 at once", 2), Load("4 at once", 4), Load("2 beside a burner", 2, burners=1))


@dataclass(frozen=True)
class Alone:
    """One trial with nothing beside it: wall seconds, and those freed of drift."""

    wall: float
    steady: float


def trials(scale: float) -> list[TrialSpec]:
    """Policies in turn, horizons rising, in an order that mixes short and long ones."""
    kinds = [FullUpdate(), *PRESETS.values()]
    specs = []
    for number in range(TRIALS):
        policy = kinds[number % len(kinds)]
        horizon = scale * SHORTEST * RATIO ** (4 * number % TRIALS)
        knobs = knobs_of(policy)
        specs.append(
            TrialSpec(
                number,
                "enqueued",
                "byte_lm_narrow",
                Recipe(policy.name, horizon, knobs),
                0,
                target_loss=0.0,
            )
        )
    return specs


class _Given:
    """A task source of given trials, each once."""

    def __init__(self, store: Store, specs: Sequence[TrialSpec]) -> None:
        self._waiting, self._running = list(specs), 0
        self._store = store

    def ask(self) -> Task | Nothing:
        if not self._waiting:
            return Nothing.WAIT if self._running else Nothing.DONE
        spec = self._waiting.pop(0)
        self._store.begin(spec)
        self._running += 1
        return Task.trial(spec.number)

    def ended(self, task: Task, ending: Ending) -> None:
        if ending is not Ending.DONE:
            raise RuntimeError(f"trial {task} was {ending.value}")
        self._running -= 1

    def lost(self, task: Task, why: Lost) -> None:
        raise RuntimeError(f"trial {task}: {why}")

    def deadline(self, task: Task) -> float | None:
        return None

    def tick(self) -> None:
        pass


def under(load: Load, specs: Sequence[TrialSpec], costs: CostTable) -> list[TrialRecord]:
    """The records of the trials, trained by the search's workers under a load."""
    with tempfile.TemporaryDirectory() as folder, burning(load.burners):
        run = _new_run(Path(folder) / "run", costs).path
        with Lease.acquire(run) as lease:
            store = Store.open(run, epoch=lease.epoch)
            with RayDriver(
                run, concurrency=load.at_once, cpus_per_trial=1, epoch=lease.epoch
            ) as driver:
                driver.drive(_Given(store, specs))
        records = [store.record(spec.number) for spec in specs]
    if failed := [f"trial {r.number}: {r.error}" for r in records if r.state != "finished"]:
        raise RuntimeError("; ".join(failed))
    return records


def _new_run(run: Path, costs: CostTable) -> Store:
    config = SearchConfig(run=str(run), forks=False)
    resources = {"concurrency": 1, "cpus_per_trial": 1.0, "gpus_per_trial": 0.0, "threads": 1}
    info = RunInfo(
        version=VERSION,
        created_at=datetime.now(UTC),
        config={**config.to_json(), "resources": resources},
        knob_columns=knob_columns(config.search_space()),
        calibration=costs,
        device=costs.device,
    )
    return Store.create(run, info)


@contextlib.contextmanager
def burning(processes: int) -> Iterator[None]:
    """Processes that take a core each."""
    running = [subprocess.Popen([sys.executable, "-c", BURNER]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def alone(workload: Workload, specs: Sequence[TrialSpec], costs: CostTable) -> list[Alone]:
    """Each trial trained in this process."""
    done = [
        train_beside(
            workload, make_policy(s.recipe.policy, dict(s.recipe.knobs)), s.recipe.horizon, costs
        )
        for s in specs
    ]
    return [Alone(run.seconds.wall, run.units * run.predicted_full) for run in done]


def fidelity(name: str, said: Sequence[float], truth: Sequence[float]) -> Row:
    """Median and largest relative error of ``said``, and how well it orders the trials."""
    errors = [abs(ours / true - 1) for ours, true in zip(said, truth, strict=True)]
    return {
        f"{name}: median error": statistics.median(errors),
        f"{name}: largest": max(errors),
        f"{name}: tau": float(kendalltau(said, truth).statistic),
    }


def rows(results: dict[Load, list[TrialRecord]], truth: Sequence[Alone]) -> list[Row]:
    """One row a load."""
    first = next(iter(results.values()))
    return [
        {
            "load": load.name,
            "trials": len(records),
            **fidelity(
                "ours", [r.train_seconds or 0.0 for r in records], [true.steady for true in truth]
            ),
            **fidelity(
                "wall", [r.measured_seconds or 0.0 for r in records], [true.wall for true in truth]
            ),
            "same to the bit": all(_own(a) == _own(b) for a, b in zip(records, first, strict=True)),
        }
        for load, records in results.items()
    ]


def _own(record: TrialRecord) -> tuple[object, ...]:
    return record.train_seconds, record.val_loss, record.curve


def trial_rows(
    specs: Sequence[TrialSpec],
    results: dict[Load, list[TrialRecord]],
    before: Sequence[Alone],
    after: Sequence[Alone],
) -> list[Row]:
    """One row a trial: seconds by every clock."""
    first = next(iter(results.values()))
    return [
        {
            "trial": spec.number,
            "policy": spec.recipe.policy,
            "horizon": spec.recipe.horizon,
            "ours": first[i].train_seconds,
            "alone, before": before[i].steady,
            "alone, after": after[i].steady,
            "wall alone": statistics.mean((before[i].wall, after[i].wall)),
            **{
                f"wall, {load.name}": records[i].measured_seconds
                for load, records in results.items()
            },
        }
        for i, spec in enumerate(specs)
    ]


def main() -> None:
    """Calibrate, train alone, under each load and alone again; print and write the results."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--scale",
        type=float,
        default=1.0,
        metavar="F",
        help="train for F times the horizons (default: 1)",
    )
    options = arguments.parse_args()
    torch.set_num_threads(1)
    about, workload, specs = machine(), byte_lm_narrow(), trials(options.scale)
    costs = calibrate(workload, device=torch.device("cpu"), threads=1)
    before = alone(workload, specs, costs)
    results = {load: under(load, specs, costs) for load in LOADS}
    after = alone(workload, specs, costs)
    truth = [
        Alone((a.wall + b.wall) / 2, (a.steady + b.steady) / 2)
        for a, b in zip(before, after, strict=True)
    ]
    about |= {"calibrated": "alone" if not costs.disturbances else "; ".join(costs.disturbances)}
    about |= {"goals": f"median error < {ERROR_GOAL}, tau >= {TAU_GOAL}"}
    tables = {
        "our clock and the wall clock against alone": rows(results, truth),
        "seconds of each trial": trial_rows(specs, results, before, after),
    }
    publish(tables, options.json, about)


if __name__ == "__main__":
    main()
