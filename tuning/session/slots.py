"""Filling the device: how many trials run at once is found by measuring what more of them bring.

With n trials in flight the device does, a wall second, n · Σ solo / Σ wall seconds of work: solo
seconds are what the clock charges for the work with the device to itself, so the figure does not
depend on which trials they were. One more is tried for as long as that brings a stated share more;
where it brings less than nothing, the last one is taken back. Memory sets a ceiling before the
first trial: what a full step takes was seen when the clock was calibrated.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from tuning.store.info import AtOnce
from tuning.trial.clock import CostTable
from tuning.trial.task import Task
from tuning.trial.trial import TrialRecord

GAIN = 0.05
"""The fraction by which one more trial must raise the throughput for yet another to be tried."""
NEAR = 0.25
"""A trial counts for n at once where on average no more than this was missing, or too many, while
it ran.
"""
FEWEST = 2
"""The fewest trials that a throughput is taken from; with more than that at once it is as many as
run at once.
"""


class Filling:
    """Finds how many trials at once give the device's highest throughput.

    Args:
        most: the most trials that memory and the workers allow, >= 1.
        start: how many trials run at first, in [1, most].
        gain: fraction by which throughput must grow for one more to be tried.

    Attributes:
        limit: how many trials may be in flight now.
        settled: whether ``limit`` is final.
        reason: why ``limit`` is what it is, for a reader.

    Raises:
        ValueError: ``start`` is out of range.
    """

    def __init__(self, most: int, start: int, *, gain: float = GAIN) -> None:
        if not 1 <= start <= most:
            raise ValueError(f"1 <= start <= most must hold, but got (start={start}, most={most})")
        self._most, self._gain = most, gain
        self._seen: list[tuple[float, float]] = []
        self._below: float | None = None
        self.limit, self.settled = start, start == most
        self.reason = (
            "as many as there is room for" if self.settled else "to begin with; more are tried"
        )

    def observe(self, in_flight: float, solo_seconds: float, wall_seconds: float) -> bool:
        """Take note of a trial that has ended; returns whether that changed anything.

        Args:
            in_flight: how many trials ran meanwhile on average, itself included.
            solo_seconds: seconds that its work takes with the device to itself.
            wall_seconds: seconds that it took.
        """
        if (
            self.settled
            or abs(in_flight - self.limit) > NEAR
            or not (solo_seconds > 0 and wall_seconds > 0)
        ):
            return False
        self._seen.append((solo_seconds, wall_seconds))
        if len(self._seen) < max(FEWEST, self.limit):
            return False
        solo, wall = (math.fsum(column) for column in zip(*self._seen, strict=True))
        self._seen = []
        self._judge(self.limit * solo / wall)
        return True

    def _judge(self, here: float) -> None:
        """Try one more trial, stay, or step back, by the throughputs with ``limit`` trials,
        ``here``, and with one fewer.
        """
        below, self._below = self._below, here
        if below is None or here >= (1 + self._gain) * below:
            self._more(here)
        elif here < below:
            self._settle(
                self.limit - 1,
                f"{self.limit} did {here:.3g} solo seconds a second, one fewer {below:.3g}",
            )
        else:
            self._settle(self.limit, f"the last one brought {here / below - 1:.1%} more throughput")

    def _more(self, here: float) -> None:
        if self.limit == self._most:
            self._settle(
                self.limit, f"as many as there is room for, with {here:.3g} solo seconds a second"
            )
            return
        self.limit += 1
        self.reason = f"one fewer did {here:.3g} solo seconds a second"

    def _settle(self, limit: int, reason: str) -> None:
        self.limit, self.settled, self.reason = limit, True, reason


class Slots:
    """Keeps a session's tasks within a filling's limit, and tells the filling how many were in
    flight beside each.
    """

    def __init__(self, filling: Filling, clock: Callable[[], float] = time.monotonic) -> None:
        self._filling, self._clock = filling, clock
        self._begun: dict[Task, tuple[float, float]] = {}
        self._ended: dict[Task, float] = {}
        self._area, self._at = 0.0, clock()

    @property
    def choice(self) -> AtOnce:
        """The choice as run.json holds it."""
        return AtOnce(self._filling.limit, self._filling.reason)

    @property
    def limit(self) -> int:
        """How many tasks may run at once now."""
        return self._filling.limit

    @property
    def full(self) -> bool:
        """Whether another task must wait."""
        return len(self._begun) >= self.limit

    def begin(self, task: Task) -> None:
        """Note that a worker was given the task."""
        self._pass()
        self._begun[task] = self._at, self._area

    def end(self, task: Task) -> None:
        """Note that a worker has left the task."""
        self._pass()
        since, area = self._begun.pop(task)
        self._ended[task] = (self._area - area) / (self._at - since) if self._at > since else 1.0

    def learn(self, task: Task, record: TrialRecord, costs: CostTable) -> bool:
        """Learn from the record of a task that ended; returns whether that changed the choice."""
        in_flight = self._ended.pop(task, None)
        if (
            in_flight is None
            or record.state == "failed"
            or record.executions > 1
            or record.wall_seconds is None
        ):
            return False
        return self._filling.observe(in_flight, solo_work(record, costs), record.wall_seconds)

    def _pass(self) -> None:
        now = self._clock()
        self._area += len(self._begun) * (now - self._at)
        self._at = now


def solo_work(record: TrialRecord, costs: CostTable) -> float:
    """Seconds that the work done for a record takes with the device to itself: training and
    evaluations.

    A start that the trial took over from another run is left out: it was full steps, whose few
    probes do not count.
    """
    shared = record.forked_from_step or 0
    if record.train_seconds is None or shared == record.steps:
        return 0.0
    full_step = costs.step_cost(costs.num_blocks) + costs.data_seconds
    evaluations = sum(point.step > shared for point in record.curve)
    return record.train_seconds - shared * full_step + evaluations * costs.evaluation_seconds
