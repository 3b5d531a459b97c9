"""The hand-over between a task source and Ray Tune: a trial of Tune's is one task.

Tune asks for trials through a Searcher, runs them in actors that it reuses, and tells through
callbacks what became of them. It is told to keep nothing: no checkpoints, no loggers, no result
files that anyone reads.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import ray
from ray import tune
from ray.tune.search import Searcher

from tuning.drivers.driver import Nothing, TaskSource, function_at
from tuning.errors import SearchFailed
from tuning.loading import loading
from tuning.trial.task import Ending, Fault, Lost

TICK_SECONDS = 1.0
HOLD_SHARE, LEAST_HOLD, MOST_HOLD = 0.1, 0.2, 10.0
"""A slot is held for this share of the time for which no task came for it, and for no less and no
more than the two bounds, in seconds.
"""
START_SECONDS = 3.0
"""A slot is held at least so many seconds while another slot's process starts; by so much may two
starts differ.
"""
PATIENCE_SECONDS = 20.0
"""Seconds without any process after which the reason is told: a cluster's other work may hold its
cores.
"""


class TaskTrainable(tune.Trainable):  # type: ignore[misc]
    """A worker process: each of its steps is one whole task."""

    def setup(self, config: dict[str, Any]) -> None:
        """Leave Ctrl-C to the driver and import what runs tasks, once for the life of the
        process.
        """
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        with loading():
            self._execute = function_at(config["entry"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next task; nothing of the last one is kept here."""
        return True

    def step(self) -> dict[str, Any]:
        """Run the task, or keep the process while there is none."""
        if self.config["task"] is None:
            time.sleep(self.config["hold"])
            return {"ending": None, "done": True}
        ending = self._execute(self.config["run"], self.config["task"], self.config["epoch"])
        return {"ending": ending.name, "done": True}

    def log_result(self, result: dict[str, Any]) -> None:
        """Write no result files: the worker has recorded the task."""


class _AbandonedError(BaseException):
    """Ends Tune at once, which only a ``BaseException`` does; Tune's clean-up would wait for a Ray
    that is gone.
    """


@dataclass
class Flight:
    """What Tune was given for one slot.

    Attributes:
        task: the task, or None where the slot's process is only held.
        started: when an actor began it; None before.
        actor: the actor that runs it; None before it began.
        late: why it counts as lost, once it is past its deadline; else None.
    """

    task: object | None
    started: float | None = None
    actor: Any = None
    late: Lost | None = None


@dataclass
class HandOver:
    """What both adapters share: the source, and the tasks that Tune has.

    An error of the source is kept, because Tune would swallow it, and raised by ``beat``, which
    Tune lets through.

    Attributes:
        source: where tasks come from.
        concurrency: tasks that Tune may have at once.
        fixed: what every worker is told besides the task.
        dead: why no task can run any more, or None.
        held_up: why no process may have been had yet, or None; it is told once.
    """

    source: TaskSource[Any]
    concurrency: int
    fixed: dict[str, Any]
    dead: Callable[[], str | None]
    held_up: Callable[[], str | None] = lambda: None
    flights: dict[str, Flight] = field(default_factory=dict)
    failure: BaseException | None = None
    _ticked: float = 0.0
    _starts: int = 0
    _waiting_since: float | None = None
    _patient_until: float | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its configuration and these adapters with it, but nothing is read back here.
        return {}

    def next_config(self, trial: str) -> dict[str, Any] | str | None:
        """The next task as a Tune configuration. None means that Tune is to ask again, and
        ``Searcher.FINISHED`` that there are no more tasks.
        """
        self.beat()
        if len(self.flights) >= self.concurrency:
            return None
        try:
            task = self.source.ask()
        except BaseException as error:
            self._give_up(error)
        if not isinstance(task, Nothing):
            self.flights[trial], self._waiting_since = Flight(task), None
            return {**self.fixed, "task": str(task)}
        if task is Nothing.WAIT:
            return self._hold(trial)
        if task is Nothing.FULL or any(flight.task is not None for flight in self.flights.values()):
            return None  # a task in flight may yet be lost, and asked for again
        self._kill(self.flights.values())
        finished: str = Searcher.FINISHED
        return finished

    def _hold(self, trial: str) -> dict[str, Any]:
        """Keep a slot's process for a while: Tune ends what is idle, and starting another takes
        seconds.

        It also starts the slots together: a trial that is over before another's process has started
        would be followed by that other in the same process, and so on, and the second process would
        never start; or it would start, be ended unused, and start again. The longer nothing comes
        the longer is the hold, so that there are few of them and yet little time is lost when
        something does.
        """
        now = time.monotonic()
        self._waiting_since = now if self._waiting_since is None else self._waiting_since
        unstarted = any(flight.started is None for flight in self.flights.values())
        starting = unstarted and self._starts < self.concurrency  # not in one that is there
        least = START_SECONDS if starting else LEAST_HOLD
        self.flights[trial] = Flight(None)
        seconds = min(max(HOLD_SHARE * (now - self._waiting_since), least), MOST_HOLD)
        return {**self.fixed, "task": None, "hold": seconds}

    def started(self, trial: str, actor: Any) -> None:
        """An actor begins a task."""
        self._starts += 1
        if flight := self.flights.get(trial):
            flight.started, flight.actor = time.monotonic(), actor

    def ended(self, trial: str, result: dict[str, Any]) -> None:
        """An actor returned from a task."""
        flight = self.flights.pop(trial, None)
        if flight and (task := flight.task) is not None:
            self._tell(lambda: self.source.ended(task, Ending[result["ending"]]))

    def lost(self, trial: str, why: Lost) -> None:
        """An actor died, or raised."""
        flight = self.flights.pop(trial, None)
        if flight and (task := flight.task) is not None:
            self._tell(lambda: self.source.lost(task, flight.late or why))

    def _tell(self, call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as error:
            # The first is the cause; later ones follow from it.
            self.failure = self.failure or error

    def beat(self) -> None:
        """About once a second: let the source tick, end tasks past their deadline, notice that Ray
        is gone.

        Raises:
            SearchFailed: Ray is gone.
            Exception: whatever the source raised.
        """
        if self.failure:
            self._give_up(self.failure)
        now = time.monotonic()
        if now - self._ticked < TICK_SECONDS:
            return
        self._ticked = now
        if reason := self.dead():
            self.failure = SearchFailed(
                f"{reason}; finished trials are kept, and the search can be resumed"
            )
            raise _AbandonedError
        try:
            self.source.tick()
        except BaseException as error:
            self._give_up(error)
        for flight in self.flights.values():
            self._enforce_deadline(flight, now)
        self._tell_if_held_up(now)

    def _tell_if_held_up(self, now: float) -> None:
        if self._starts or not self.flights:
            return
        if self._patient_until is None:
            self._patient_until = now + PATIENCE_SECONDS
        if now >= self._patient_until:
            # Told once; whoever waits for a machine need not be told each second.
            self._patient_until = math.inf
            if reason := self.held_up():
                print(reason, file=sys.stderr)

    def _enforce_deadline(self, flight: Flight, now: float) -> None:
        if flight.task is None or flight.started is None or flight.late:
            return
        limit = self.source.deadline(flight.task)
        if limit is not None and now - flight.started > limit:
            flight.late = Lost(
                Fault.DIED, f"did not end within its deadline of {limit:.1f} s and was killed"
            )
            ray.kill(flight.actor)

    def _give_up(self, error: BaseException) -> NoReturn:
        # Tune asks actors politely to stop, and waits: those in a task would keep it waiting.
        self.failure = error
        self._kill(self.flights.values())
        raise error

    def _kill(self, flights: Iterable[Flight]) -> None:
        for flight in flights:
            if flight.actor is not None:
                ray.kill(flight.actor)


class SourceSearcher(Searcher):  # type: ignore[misc]
    """A task source in the shape of a Tune search algorithm."""

    def __init__(self, hand_over: HandOver) -> None:
        super().__init__()
        self._hand_over = hand_over

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next task, as a configuration."""
        return self._hand_over.next_config(trial_id)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Pass on the ending; a loss is passed on by the callback, which knows the reason."""
        if result and not error:
            self._hand_over.ended(trial_id, result)

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing: the store is the truth."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Keep nothing: the store is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing: the store is the truth."""


class SourceCallback(tune.Callback):  # type: ignore[misc]
    """What Tune reports beside results: its loop's turns, starts, and losses with their reasons."""

    def __init__(self, hand_over: HandOver) -> None:
        self._hand_over = hand_over

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Tune's loop turns at least ten times a second."""
        self._hand_over.beat()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """An actor has a task."""
        self._hand_over.started(trial.trial_id, trial.temporary_state.ray_actor)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A task's actor died or raised; Tune has the exception."""
        self._hand_over.lost(trial.trial_id, _why(trial))


def _why(trial: Any) -> Lost:
    error = _exception(trial)
    if isinstance(error, ray.exceptions.RayTaskError):
        return Lost.by(error.cause)
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return Lost(Fault.DIED, "the worker was killed because the machine ran out of memory")
    return Lost(Fault.DIED, f"the worker died: {cause_in(str(error))}")


def _exception(trial: Any) -> Any:
    # Tune leaves the exception that ended a trial in a file of its own; this process wrote it an
    # instant ago.
    try:
        return ray.cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
    except (OSError, TypeError):
        return None


def cause_in(message: str) -> str:
    """What Ray's many lines say of a worker's death, in one short line."""
    lines = [line.strip() for line in message.splitlines()]
    for mark in ("Worker exit detail:", "The actor is dead because"):
        for line in lines:
            if mark in line:
                return line.partition(mark)[2].strip().partition(" Some common causes")[0][:300]
    return next((line for line in lines if line and line != "None"), "no reason given")[:300]


@contextlib.contextmanager
def uncounted() -> Iterator[None]:
    """Within the block Ray does not count its users' callbacks; it has no reports to send in any
    case. To see whether ours is one of the known ones it would import MLflow and W&B where they are
    installed, which takes two seconds.
    """
    try:
        from ray.air._internal import usage

        count = usage.tag_callbacks
    except (ImportError, AttributeError):  # Ray's own business, elsewhere in another version
        yield
        return
    usage.tag_callbacks = lambda callbacks: False
    try:
        yield
    finally:
        usage.tag_callbacks = count


def drive(hand_over: HandOver, storage: Path, *, cpus: float, gpus: float) -> None:
    """Let Tune run the source's tasks until there are no more.

    Raises:
        SearchFailed: Ray is gone.
        Exception: whatever the source raised.
    """
    tuner = tune.Tuner(
        tune.with_resources(TaskTrainable, {"cpu": cpus, "gpu": gpus}),
        tune_config=tune.TuneConfig(
            search_alg=SourceSearcher(hand_over),
            # As many as the source has: how many that is it may not know yet.
            num_samples=-1,
            # Another task in the same process: starting one anew takes seconds.
            reuse_actors=True,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=os.fspath(storage),
            callbacks=[SourceCallback(hand_over)],
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_frequency=0, checkpoint_at_end=False
            ),
            verbose=0,
        ),
    )
    try:
        with uncounted():
            tuner.fit()
    except BaseException as error:
        raise (hand_over.failure or error) from None
    if hand_over.failure:
        raise hand_over.failure
