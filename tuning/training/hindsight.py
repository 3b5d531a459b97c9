"""What a whole training shows that the few steps of an examination did not.

State that comes late: a queue that begins at the hundredth step, a level that rises once the loss
has fallen. What a snapshot cannot hold is no longer saved from there on; what no model holds goes
on from one training to the next, so after the first whole one a second one is begun and has to go
as the first did. What is kept where nobody looks for it (a cache that was drawn, a table by model)
shows where a training goes on from a snapshot, so two of those are tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from models.frames import told
from models.workload import Workload
from policies.full_update import FullUpdate
from tuning.errors import SearchFailed
from tuning.training.examination.again import NOISE, WAY_OUT
from tuning.training.examination.rehearsal import Heard
from tuning.training.loop import TrainingRun, timetable
from tuning.training.trunk import load_snapshot, load_trunk
from tuning.trial.clock import CostTable
from tuning.trial.replay import replay

STEPS = 3
"""The number of steps of the second training, and of one that goes on from a snapshot."""
_MUST = (
    "two trainings from one seed must be the same, but after a whole one in the same process "
    "another"
)
_WHY = (
    "Something that no model holds goes on from one training to the next: a global, what a "
    f"function closes over, a batch that is changed in place, a cache, a file. {WAY_OUT}"
)


def refuse_another_beginning(
    workload: Workload, seed: int, costs: CostTable, device: torch.device, losses: Sequence[float]
) -> None:
    """Begin a training of the workload's own recipe again, in the process that has just ended one,
    and refuse the workload if it begins differently.

    Args:
        workload: what was trained.
        seed: the seed it was trained on.
        costs: the clock.
        device: where it was trained.
        losses: the losses of the first training's steps.

    Raises:
        SearchFailed: the second one does not begin as the first did.
    """
    heard = Heard()
    try:
        again = _own_run(workload, seed, costs, device, heard)
        while again.steps < min(STEPS, len(losses)) and not again.finished:
            again.advance()
    except torch.OutOfMemoryError:
        return  # of the first model some may still be there
    except Exception as fault:
        raise SearchFailed(f"{_MUST} raised {told(fault)}. {_WHY}") from fault
    if (apart := _apart(losses, heard.losses, device)) is not None:
        step, first, second = apart
        raise SearchFailed(
            f"{_MUST} did not begin as it had: the loss of step {step} was {first!r} and then "
            f"{second!r}. {_WHY}"
        )


def hidden(
    workload: Workload, seed: int, costs: CostTable, device: torch.device, folder: Path
) -> list[str]:
    """What no snapshot of a whole training holds, described by a step that depends on it.

    Empty where a training goes on from the snapshot in the middle, and from the last one, as the
    first training did.

    Args:
        workload: what was trained.
        seed: the seed it was trained on.
        costs: the clock.
        device: where it was trained.
        folder: the trunk's, which is complete.
    """
    trunk = load_trunk(folder)
    saved = [] if trunk is None else [step for step in trunk.snapshots if step > 0]
    if trunk is None or not saved:
        return []
    for step in sorted({saved[len(saved) // 2], saved[-1]}):
        expected = trunk.losses[step : step + STEPS]
        before = replace(trunk, losses=trunk.losses[:step], snapshots=(step,))
        standing = replay(FullUpdate(), before, timetable(workload), costs, 1.0)
        snapshot = None if standing is None else load_snapshot(folder, step)
        if standing is None or snapshot is None:
            continue
        heard = Heard()
        try:
            run = _own_run(workload, seed, costs, device, heard)
            run.fork(standing, snapshot)
            while len(heard.losses) < len(expected) and not run.finished:
                run.advance()
        except torch.OutOfMemoryError:
            return []  # of the first model some may still be there
        except Exception as fault:
            return [f"what step {step} hangs on (from a snapshot it raised {told(fault)})"]
        del run, snapshot  # the next one needs the memory
        if (apart := _apart(expected, heard.losses, device)) is not None:
            number, first, second = apart
            return [
                f"what step {step + number} hangs on (its loss was {first!r}, and {second!r} where "
                f"a training went on from the snapshot before step {step})"
            ]
    return []


def _own_run(
    workload: Workload, seed: int, costs: CostTable, device: torch.device, heard: Heard
) -> TrainingRun:
    """A training of the workload's own recipe that ``heard`` records."""
    own = FullUpdate()
    return TrainingRun(
        workload, own, seed=seed, horizon=1.0, costs=costs, device=device, recorder=heard
    )


def _apart(
    one: Sequence[float], other: Sequence[float], device: torch.device
) -> tuple[int, float, float] | None:
    """The first step in which two trainings' losses differ, and both; None where they do not."""
    for step, (first, second) in enumerate(zip(one, other, strict=False)):
        apart = abs(first - second) / max(abs(first), abs(second), torch.finfo(torch.float64).tiny)
        if apart > (0.0 if device.type == "cpu" else NOISE):
            return step, first, second
    return None
