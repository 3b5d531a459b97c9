"""The trunk on disk: what a full-update run records, and how a trial starts from it.

    RUN/trunk/seed-3.parquet        the run's record
    RUN/trunk/seed-3/recorded.pt    losses, relevance scores and evaluations of every step,
                                    written when the run is over
    RUN/trunk/seed-3/000090.pt      a snapshot of the run before step 90

Snapshots lie evenly over the steps at which trials depart. A trial that departs between two of them
trains on average half a distance again, so n snapshots cost n·save and, for T trials of a run of s
seconds, T·s/(2n) of training: the sum is least at n = sqrt(T·s / (2·save)). The disk they take is
bounded as well: by bytes, and by a number, so that a small model does not leave a thousand times
its size. What saving costs is reckoned from the size of the first snapshot, not measured: where
trials fork is then the same whenever the search is run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from policies.apply import Step
from policies.base import RELEVANCE_METRICS
from tuning.training.checkpoint import load_checkpoint, save_checkpoint
from tuning.training.levered import UNSAVED
from tuning.trial.course import Timetable
from tuning.trial.record import Measurements
from tuning.trial.replay import Trunk

MOST_SNAPSHOTS = 24
"""The most snapshots of a seed. With 24 a trial trains on average 2 % of a run again; each snapshot
holds weights and moments, three times the weights and more.
"""
DISK_BYTES = 2 * 2**30
"""The most bytes that the snapshots of all the seeds of a run take."""
SAVE_SECONDS, SAVE_BYTES_PER_SECOND = 0.01, 200e6
"""What saving costs on an ordinary disk: seconds to make the file last, and bytes written in a
second.
"""
TYPICAL_TRIALS = 64
"""The number of trials that share a trunk. It is a round number and not the search's own, because a
search may be extended later.
"""
RECORDED = "recorded.pt"


@dataclass(frozen=True)
class Sharing:
    """How much a trunk is going to be used: the run's solo ``seconds``, and on how many ``seeds``
    there is such a run.
    """

    seconds: float
    seeds: int


def snapshot_steps(timetable: Timetable, count: int) -> tuple[int, ...]:
    """At most ``count`` evenly spaced steps from 0 to the start of the baseline's decay.

    >>> snapshot_steps(Timetable(steps=100, eval_every=10, warmup_steps=0, decay_fraction=0.2), 5)
    (0, 20, 40, 60, 80)
    """
    # Beyond it the trunk's rate falls, which a trial of another horizon never follows.
    last = math.floor(timetable.steps * (1 - timetable.decay_fraction))
    count = max(2, min(count, last + 1))
    return tuple(sorted({round(i * last / (count - 1)) for i in range(count)}))


def best_count(sharing: Sharing, size: int) -> int:
    """The number of snapshots of ``size`` bytes that costs least, at least 2 and within the bounds
    of number and disk.
    """
    save_seconds = SAVE_SECONDS + size / SAVE_BYTES_PER_SECOND
    # n snapshots cost n · save, and each trial trains half a gap, seconds / (2 n), again: least
    # where the derivative of the sum is zero.
    by_cost = math.sqrt(TYPICAL_TRIALS * sharing.seconds / (2 * save_seconds))
    by_disk = DISK_BYTES / (sharing.seeds * max(size, 1))
    return max(2, math.floor(min(by_cost, by_disk, MOST_SNAPSHOTS)))


class TrunkRecorder:
    """Records a full-update run into ``folder``, step by step; see
    ``tuning.training.loop.Recorder``.
    """

    def __init__(self, folder: Path, timetable: Timetable, sharing: Sharing) -> None:
        self._folder, self._timetable, self._sharing = folder, timetable, sharing
        self._losses: list[float] = []
        self._relevance: dict[str, list[list[float]]] = {metric: [] for metric in RELEVANCE_METRICS}
        self._steps: tuple[int, ...] = (0,)
        self.unsaved: list[str] = []  # for want of which a snapshot was not taken
        folder.mkdir(exist_ok=True)

    def before(self, step: int, snapshot: Callable[[], dict[str, Any]]) -> None:
        """Save the run if a snapshot is due and can hold it. The first snapshot shows how large
        they are, and so how many there will be.
        """
        if step not in self._steps:
            return
        state = snapshot()
        if state[UNSAVED]:
            self.unsaved = state[UNSAVED]
            return
        size = save_checkpoint(self._file(step), state)
        if step == 0:
            self._steps = snapshot_steps(self._timetable, best_count(self._sharing, size))

    def after_backward(
        self, loss: float, update: Step, relevance: Callable[[str], tuple[float, ...]]
    ) -> None:
        """Note the step's loss, and each block's relevance by every metric a policy may ask for."""
        self._losses.append(loss)
        for metric, scores in self._relevance.items():
            scores.append(list(relevance(metric)))

    @property
    def losses(self) -> Sequence[float]:
        """The training losses of the steps so far."""
        return self._losses

    @property
    def folder(self) -> Path:
        """Where the trunk is written."""
        return self._folder

    def finish(self, measured: Measurements) -> None:
        """Write what was recorded: the run is over, and trials may start from it."""
        state = {**self.state_dict(), **ending_of(measured)}
        save_checkpoint(self._folder / RECORDED, state)

    def state_dict(self) -> dict[str, Any]:
        """What was recorded so far; the numbers as tensors, which are small on disk and exact."""
        return {
            "losses": torch.tensor(self._losses, dtype=torch.float64),
            "relevance": {
                m: torch.tensor(s, dtype=torch.float64) for m, s in self._relevance.items()
            },
            "steps": list(self._steps),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on recording where ``state`` was taken."""
        self._losses = state["losses"].tolist()
        self._relevance = {metric: scores.tolist() for metric, scores in state["relevance"].items()}
        self._steps = tuple(state["steps"])

    def _file(self, step: int) -> Path:
        return snapshot_file(self._folder, step)


def ending_of(measured: Measurements) -> dict[str, Any]:
    """The results of a run that another may repeat: validation losses by step, and its further
    metrics.
    """
    evaluations = {point.step: point.val_loss for point in measured.curve}
    return {"evaluations": evaluations, "metrics": dict(measured.metrics)}


def snapshot_file(folder: Path, step: int) -> Path:
    """Where the snapshot before ``step`` is."""
    return folder / f"{step:06d}.pt"


def load_snapshot(folder: Path, step: int) -> dict[str, Any] | None:
    """The snapshot before ``step``; None where there is none that can be read."""
    return load_checkpoint(snapshot_file(folder, step))


def load_trunk(folder: Path) -> Trunk | None:
    """The trunk recorded in ``folder``; None where there is no complete one."""
    state = load_checkpoint(folder / RECORDED)
    if state is None:
        return None
    return Trunk(
        losses=state["losses"].tolist(),
        relevance={metric: scores.tolist() for metric, scores in state["relevance"].items()},
        evaluations=state["evaluations"],
        # Fewer may be left than were taken: a search that is done thins them.
        snapshots=tuple(step for step in state["steps"] if snapshot_file(folder, step).exists()),
        metrics=state["metrics"],
    )
