"""From a session's events to what the terminal shows: how far, how good, how long."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from tuning.findings import format as form
from tuning.report.progress import Progress, Snapshot, progress_on, seconds_left, trial_line
from tuning.trial.metric import LOSS, Metric
from tuning.trial.recipe import CONTROL_POLICY, Recipe
from tuning.trial.trial import ASIDE, SEEDS, TrialRecord, TrialSpec


class TerminalWatch:
    """Draws a search on a ``Progress``.

    Args:
        progress: where to draw.
        trials: rows asked for in all.
        recorded: rows that are there already.
        concurrency: trials at once.
        metric: what a loss is the value of.

    """

    def __init__(
        self,
        progress: Progress,
        *,
        trials: int,
        recorded: int,
        concurrency: int,
        metric: Metric = LOSS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress, self._trials, self._concurrency, self._now = (
            progress,
            trials,
            concurrency,
            now,
        )
        self._phase, self._metric = "", metric
        self._step: tuple[int, int] | None = None
        self._expected: Callable[[TrialSpec], float] | None = None
        self._done, self._failed, self._target_runs = recorded, 0, 0
        self._started: dict[tuple[bool, int], tuple[TrialSpec, float]] = {}
        self._best: dict[str, float] = {}
        self._gain: float | None = None
        self._told = False  # what the target is

    def phase(self, text: str) -> None:
        """Say what the search does now."""
        self._phase, self._step = text, None
        self.tick()

    def expects(self, seconds: Callable[[TrialSpec], float]) -> None:
        """Know how long tasks take, for the time left."""
        self._expected = seconds

    def began(self, spec: TrialSpec) -> None:
        """Note a start."""
        self._started[_key(spec)] = (spec, self._now())
        if spec.target_loss is None:
            self._say_target()
        else:
            self._begin_trials(spec)
        self.tick()

    def _begin_trials(self, spec: TrialSpec) -> None:
        self._phase, self._step = "", None
        if not self._told:
            self._told = True
            target = form.loss(spec.target_loss, metric=self._metric)
            self._progress.line(self._begun(f"target: {self._metric.name} {target}"))

    def _begun(self, target: str) -> str:
        return f"{target}; training {self._trials} trials"

    def ended(self, record: TrialRecord) -> None:
        """Count a record and say what it shows."""
        self._started.pop((record.target_loss is None, record.number), None)
        if record.target_loss is None:
            self._target_runs += 1
            self._say_target()
            return
        self._done += 1
        self._failed += record.state == "failed"
        better = self._improve(record)
        self._progress.line(trial_line(record, self._gain if better else None, self._metric))
        self.tick()

    def _say_target(self) -> None:
        self._phase = f"target and trunk: reference runs of full_update, {self._target_runs} done"
        self._step = (self._target_runs, max(SEEDS, self._target_runs))
        self.tick()

    def _improve(self, record: TrialRecord) -> bool:
        """Whether ``record`` raised the gain: the control's least seconds to the target over the
        least seconds of any trial.
        """
        if record.origin in ASIDE:  # on another seed, or no run of its own
            return False
        if record.state != "finished" or record.train_seconds is None or record.val_loss is None:
            return False
        if record.target_loss is None or record.val_loss > record.target_loss:
            return False
        for group in ("all", *(["control"] if record.recipe.is_control else [])):
            self._best[group] = min(
                record.train_seconds, self._best.get(group, record.train_seconds)
            )
        before, control = self._gain, self._best.get("control")
        self._gain = None if control is None else control / self._best["all"]
        return self._gain is not None and self._gain > (before or 0.0)

    def lost(self, spec: TrialSpec, reason: str, *, again: bool) -> None:
        """Say that a worker died."""
        self._started.pop(_key(spec), None)
        what = "goes on from its checkpoint" if again else "has failed"
        told = (
            f"reference run on seed {spec.seed}"
            if spec.target_loss is None
            else f"trial {spec.number:>3}"
        )
        self._progress.line(f"{told}  {reason}; it {what}")

    def stopping(self, reason: str) -> None:
        """Say why no further trial starts."""
        self._phase = f"{reason}: saving the trials in flight"
        self.tick()

    def note(self, text: str) -> None:
        """Print it, to stay."""
        self._progress.line(text)

    def warn(self, text: str) -> None:
        """Print the warning, to stay."""
        self._progress.line(f"warning: {text}")

    def tick(self) -> None:
        """Redraw."""
        trials = (
            0 if self._phase.startswith(("calibrating", "starting", "target")) else self._trials
        )
        self._progress.show(
            Snapshot(
                phase=self._phase,
                done=self._done,
                in_flight=len(self._started),
                trials=trials,
                failed=self._failed,
                best_gain=self._gain,
                seconds_left=self._seconds_left(),
                step=self._step,
            )
        )

    def _seconds_left(self) -> float | None:
        if self._expected is None:
            return None
        rest = [
            max(0.0, self._expected(spec) - (self._now() - start))
            for spec, start in self._started.values()
        ]
        waiting = max(0, self._trials - self._done - len(self._started))
        # The horizons of trials not yet proposed are unknown; the default space's middle stands for
        # them.
        typical = self._expected(TrialSpec(0, "sampled", "", Recipe(CONTROL_POLICY, 0.65), 0))
        return seconds_left(
            sorted(rest)[: self._concurrency], [typical] * waiting, self._concurrency
        )


def _key(spec: TrialSpec) -> tuple[bool, int]:
    return (spec.target_loss is None, spec.number)


@contextlib.contextmanager
def watching(
    watcher: Watcher | None, *, trials: int, recorded: int, concurrency: int, metric: Metric = LOSS
) -> Iterator[Watcher]:
    """The watcher that was handed in, or one that draws on standard error."""
    if watcher is not None:
        yield watcher
        return
    with progress_on() as progress:
        yield TerminalWatch(
            progress, trials=trials, recorded=recorded, concurrency=concurrency, metric=metric
        )


class Watcher(Protocol):
    """Is told of a search's progress: the terminal, a log, a test."""

    def phase(self, text: str) -> None:
        """What the search does now, beside training trials."""

    def expects(self, seconds: Callable[[TrialSpec], float]) -> None:
        """How long each task should take with the device to itself, from now on."""

    def began(self, spec: TrialSpec) -> None:
        """A task was handed to a worker."""

    def ended(self, record: TrialRecord) -> None:
        """A task was recorded."""

    def lost(self, spec: TrialSpec, reason: str, *, again: bool) -> None:
        """A worker died on a task, which is tried ``again`` or has failed."""

    def stopping(self, reason: str) -> None:
        """No further task is started; those in flight are saved."""

    def note(self, text: str) -> None:
        """Something about the search that a reader may want to know."""

    def warn(self, text: str) -> None:
        """Something the user must know, and that does not stop the search."""

    def tick(self) -> None:
        """Called about once a second."""


class Silent:
    """A watcher that says nothing; one with little to say overrides what it does say."""

    def phase(self, text: str) -> None:
        """Do nothing."""

    def expects(self, seconds: Callable[[TrialSpec], float]) -> None:
        """Do nothing."""

    def began(self, spec: TrialSpec) -> None:
        """Do nothing."""

    def ended(self, record: TrialRecord) -> None:
        """Do nothing."""

    def lost(self, spec: TrialSpec, reason: str, *, again: bool) -> None:
        """Do nothing."""

    def stopping(self, reason: str) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""

    def warn(self, text: str) -> None:
        """Do nothing."""

    def tick(self) -> None:
        """Do nothing."""


def say(message: str) -> None:
    """Tell the user before there is a watcher."""
    print(message, file=sys.stderr)
