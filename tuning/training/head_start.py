"""What a task needs not train: a start shared with the trunk, or all that another trial was.

A run that others may share is recorded while it trains: the reference runs as trunks, the search's
own trials as runs that a later trial may repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.levers.planning import planned
from tuning.store.store import Store
from tuning.training.checkpoint import load_checkpoint
from tuning.training.finished_runs import RunRecorder, find_repeated, run_file
from tuning.training.trunk import Sharing, TrunkRecorder, load_trunk, snapshot_file
from tuning.trial.clock import CostTable, baseline_seconds
from tuning.trial.course import Timetable
from tuning.trial.replay import Standing, Trunk, replay
from tuning.trial.task import Task
from tuning.trial.trial import AGAIN, SEEDS, CurvePoint, TrialSpec

if TYPE_CHECKING:
    from tuning.training.loop import Recorder, TrainingRun


@dataclass(frozen=True)
class HeadStart:
    """What one task may share with others of its run.

    Attributes:
        store: the run.
        task: the task.
        spec: what is trained.
        timetable: the workload's numbers.
        costs: the calibrated clock.
        stops_at: returns the step at which a trial with a given curve is stopped early, or None.
    """

    store: Store
    task: Task
    spec: TrialSpec
    timetable: Timetable
    costs: CostTable
    stops_at: Callable[[Sequence[CurvePoint]], int | None]

    def recorder(self) -> Recorder | None:
        """The recorder of the task's training; None where nothing is shared."""
        if not self._shares:
            return None
        if self.task.is_trial:
            file = run_file(self._folder, self.spec.number)
            return RunRecorder(file, self.spec) if self._repeatable else None
        sharing = Sharing(baseline_seconds(self.costs, self.timetable.steps), SEEDS)
        return TrunkRecorder(self.store.trunk_folder(self.task), self.timetable, sharing)

    def give(self, training: TrainingRun) -> int | None:
        """Start a trial that has not begun as late as possible. Returns the step it goes on from,
        or None where it trains from its first.
        """
        if not (self._shares and self.task.is_trial):
            return None
        return self._repeat(training) or self._fork(training)

    @property
    def _shares(self) -> bool:
        return self.store.info.forks

    @property
    def _repeatable(self) -> bool:
        # A replicate is there to see what training again gives.
        return self.spec.origin not in AGAIN

    @property
    def _folder(self) -> Path:
        return self.store.trunk_folder(self.task).parent

    def _repeat(self, training: TrainingRun) -> int | None:
        """Take over a finished trial's measurements where this one would make the same decisions at
        every step.
        """
        if not self._repeatable:
            return None
        end = find_repeated(self._folder, self.spec, self.timetable, self.costs, self.stops_at)
        if end is None:
            return None
        training.fork(end, None)
        training.recorder = None
        return end.step

    def _fork(self, training: TrainingRun) -> int | None:
        """Start at the last snapshot of the trunk before the trial departs from it; returns the
        step, or None. The trunk is of the workload as it is, so a trial with knobs of the
        workload's own turned shares nothing with it.
        """
        if self.spec.recipe.own:
            return None
        folder = self.store.trunk_folder(Task.reference(self.spec.seed))
        try:
            trunk = _trunk(folder)
        except FileNotFoundError:
            return None  # still being trained, or dropped: the trial trains from its first step
        standing = self._standing(trunk)
        # From step 0 it would load what it has just made.
        if standing is None or standing.step == 0:
            return None
        snapshot = (
            None if standing.finished else load_checkpoint(snapshot_file(folder, standing.step))
        )
        # Dropped since the trunk was read; the trial trains from its first step, with the same
        # record.
        if snapshot is None and not standing.finished:
            return None
        training.fork(standing, snapshot)
        if standing.finished:
            training.recorder = None
        elif isinstance(training.recorder, RunRecorder):
            training.recorder.fork(trunk.losses[: standing.step], standing.probed)
        return standing.step

    def _standing(self, trunk: Trunk) -> Standing[Any] | None:
        """Where the trial departs from the trunk, or stands before the trunk's evaluation at which
        it is stopped early; None where it shares nothing.
        """
        own, levers = self.spec.recipe.policy_and_levers()
        policy = planned(own, levers, self.costs.num_blocks, self.spec.seed)
        horizon = self.spec.recipe.horizon
        standing = replay(policy, trunk, self.timetable, self.costs, horizon, levers)
        curve = (
            [] if standing is None else [CurvePoint(**point) for point in standing.course["curve"]]
        )
        if (stop := self.stops_at(curve)) is None:
            return standing
        # As if the trunk ended there, so that the replay stands before the evaluation that stops
        # the trial.
        shorter = replace(trunk, losses=trunk.losses[:stop])
        return replay(policy, shorter, self.timetable, self.costs, horizon, levers)


@lru_cache(maxsize=SEEDS)
def _trunk(folder: Path) -> Trunk:
    # Kept between the trials of a reused worker, which all fork from the trunks of a few seeds.
    found = load_trunk(folder)
    if found is None:
        raise FileNotFoundError(folder)
    return found
