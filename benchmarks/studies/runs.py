"""Training the runs of the studies.

On one calibrated clock, several at once, and none of them twice.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.studies.plan import Job
from models.device import run_device
from models.registry import find_workload
from models.workload import Workload
from policies.registry import make_policy
from tuning.session.compare import measured_costs
from tuning.training.calibrate import Effort, surroundings
from tuning.training.loop import NonFiniteLossError, TrainingRun
from tuning.training.place import set_threads
from tuning.trial.clock import CostTable, charge, refuse_other_surroundings

CLOCK, RUNS = "clock.json", "runs.jsonl"


@dataclass(frozen=True)
class Done:
    """A finished run.

    Attributes:
        job: what was trained.
        seconds: solo seconds.
        loss: the final validation loss; None where it was not finite.
        steps, probes: counts.
        mean_active_fraction: of the blocks, over all steps.
        decisions: (step from which on, active blocks, phase), one a change; probes are changes too.
    """

    job: Job
    seconds: float
    loss: float | None
    steps: int
    probes: int
    mean_active_fraction: float
    decisions: tuple[tuple[int, int, str], ...] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Done:
        """The inverse of ``dataclasses.asdict`` by way of JSON."""
        decisions = tuple((step, active, phase) for step, active, phase in data["decisions"])
        return cls(**{**data, "job": Job.from_json(data["job"]), "decisions": decisions})


def train(job: Job, costs: CostTable) -> Done:
    """Train one run to its end, in this process."""
    set_threads(costs.threads)
    policy = make_policy(job.policy, dict(job.knobs))
    workload = _workload(job.workload)
    training = TrainingRun(
        workload, policy, seed=job.seed, horizon=job.horizon, costs=costs, device=run_device()
    )
    finite = True
    try:
        while not training.finished:
            training.advance()
    except NonFiniteLossError:
        finite = False
    measured = training.measurements()
    ledger = measured.ledger
    return Done(
        job=job,
        seconds=charge(costs, ledger).train_seconds,
        loss=measured.curve[-1].val_loss if finite else None,
        steps=ledger.steps,
        probes=ledger.probes,
        mean_active_fraction=ledger.mean_active_fraction(costs.num_blocks) or 0.0,
        decisions=tuple((d.step, d.active_blocks, d.phase) for d in measured.decisions),
    )


@lru_cache(maxsize=1)
def _workload(name: str) -> Workload:
    return find_workload(name)


def clock(folder: Path, workload: str, effort: Effort | None = None) -> CostTable:
    """The clock of the studies in ``folder``: measured once, and then the same for all that is
    added there.

    Raises:
        OtherSurroundings: it was measured on another workload or device.
    """
    file = folder / CLOCK
    if not file.exists():
        # The parts of a step are not needed here.
        costs = replace(measured_costs(_workload(workload), effort), step_parts={})
        file.write_text(json.dumps(asdict(costs), indent=1) + "\n")
    data = json.loads(file.read_text())
    tables = {
        name: {int(depth): value for depth, value in data[name].items()}
        for name in ("step_seconds", "step_flops")
    }
    costs = CostTable(**{**data, **tables, "disturbances": tuple(data["disturbances"])})
    about = {"workload": _workload(workload).name, "fingerprint": _workload(workload).fingerprint}
    refuse_other_surroundings(costs, {**surroundings(run_device()), **about})
    return costs


def recorded(folder: Path) -> dict[Job, Done]:
    """The runs trained so far; a line that a kill cut short is passed over."""
    file = folder / RUNS
    found = {}
    for line in file.read_text().splitlines() if file.exists() else []:
        try:
            done = Done.from_json(json.loads(line))
        except json.JSONDecodeError:
            continue
        found[done.job] = done
    return found


def trained(jobs: Sequence[Job], costs: CostTable, folder: Path, workers: int) -> Iterator[Done]:
    """Train what is not recorded in ``folder``, ``workers`` at once.

    Each run as it is done, once it is on disk.
    """
    left = [job for job in jobs if job not in recorded(folder)]
    with (folder / RUNS).open("a", encoding="utf-8") as log:
        log.write("" if _ends_well(folder / RUNS) else "\n")
        for done in _each(left, costs, workers):
            log.write(json.dumps(asdict(done)) + "\n")
            log.flush()
            yield done


def _ends_well(file: Path) -> bool:
    """Whether its last line is whole: what a kill cut short must not be continued."""
    text = file.read_bytes()
    return not text or text.endswith(b"\n")


def _each(jobs: Sequence[Job], costs: CostTable, workers: int) -> Iterator[Done]:
    if workers == 1:
        yield from (train(job, costs) for job in jobs)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(train, job, costs) for job in jobs]
        try:
            yield from (future.result() for future in as_completed(futures))
        finally:
            pool.shutdown(cancel_futures=True)
