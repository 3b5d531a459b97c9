"""What a person sees of a search while it runs: a live display in a terminal, plain lines in a log.

It is drawn from plain values and never disturbs the search: a terminal that is closed, or that
cannot show a character, ends the drawing and nothing else.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tuning.findings import format as form
from tuning.trial.metric import LOSS, Metric
from tuning.trial.trial import AGAIN, REPLICATE, RUNG, TrialRecord

BAR_WIDTH = 30


@dataclass(frozen=True)
class Snapshot:
    """Where a search stands.

    Attributes:
        phase: what it does now, such as ``calibrating`` or ``target: 3 of 5 seeds``; empty for the
            trials themselves.
        done: trials recorded, failed ones included.
        in_flight: trials that a worker has now.
        trials: trials asked for in all.
        failed: trials recorded as failed.
        best_gain: control seconds / front seconds at the target, the best so far; None before there
            is one.
        seconds_left: estimated wall seconds to the end; None before there is an estimate.
        step: how much of the phase is done and of how much, where that can be counted.
    """

    phase: str = ""
    done: int = 0
    in_flight: int = 0
    trials: int = 0
    failed: int = 0
    best_gain: float | None = None
    seconds_left: float | None = None
    step: tuple[int, int] | None = None


class Progress(Protocol):
    """Shows a search. ``with progress:`` begins and ends the display. No method raises."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def show(self, snapshot: Snapshot) -> None:
        """Bring the display up to date; called as often as one likes."""

    def line(self, text: str) -> None:
        """Say something that stays."""


def progress_on(stream: TextIO | None = None) -> Progress:
    """The display that fits ``stream`` (standard error by default): a live one on a terminal, plain
    lines elsewhere.
    """
    stream = stream or sys.stderr
    console = HarmlessConsole(file=stream, markup=False, emoji=False)
    return LiveProgress(console) if console.is_terminal else PlainProgress(stream)


def seconds_left(in_flight: Iterable[float], waiting: Sequence[float], concurrency: int) -> float:
    """Seconds until all is done if each task goes, in order, to the worker that is free first.

    Args:
        in_flight: seconds that tasks with a worker still need; at most ``concurrency`` of them.
        waiting: seconds that tasks without one will need, in the order they start.
        concurrency: workers, >= 1.

    >>> seconds_left([3.0, 1.0], [4.0, 1.0], 2)
    5.0
    >>> seconds_left([], [], 2)
    0.0
    """
    free = list(in_flight)
    free += [0.0] * (concurrency - len(free))
    heapq.heapify(free)
    for seconds in waiting:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def duration(seconds: float) -> str:
    """A time as a person reads it.

    >>> duration(8.4), duration(192), duration(7380)
    ('8 s', '3 min 12 s', '2 h 3 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def trial_line(record: TrialRecord, gain: float | None = None, metric: Metric = LOSS) -> str:
    """A trial that has ended, in one line. ``gain`` is the search's best gain, given only where
    this trial raised it.
    """
    name = record.recipe.short_name
    parts = [f"trial {record.number:>3}  {name:<15} horizon {record.recipe.horizon:<5.3g}"]
    if record.state == "failed":
        return f"{parts[0]} failed: {record.error}"
    if record.train_seconds is not None:
        parts.append(f"{record.train_seconds:8.2f} s")
    if record.val_loss is not None:
        what = "val loss" if metric.is_default else metric.short
        parts.append(f"{what} {form.loss(record.val_loss, metric=metric)}")
    if record.state == "stopped":
        parts.append("stopped")
    if record.origin in AGAIN:
        what = "replicate on" if record.origin == REPLICATE else "on"
        parts.append(f"{what} seed {record.seed}")
    if record.origin == RUNG:
        parts.append("rung")
    if gain is not None:
        parts.append(f"gain {gain:.3f}")
    return "  ".join(parts)


def facts(snapshot: Snapshot) -> str:
    """The numbers of a snapshot in one line; those that are not known are left out."""
    parts = [f"{snapshot.done} of {snapshot.trials} trials", f"{snapshot.in_flight} in flight"]
    if snapshot.failed:
        parts.append(f"{snapshot.failed} failed")
    if snapshot.best_gain is not None:
        parts.append(f"best gain {snapshot.best_gain:.3f}")
    if snapshot.seconds_left is not None:
        parts.append(f"{duration(snapshot.seconds_left)} left")
    return "  ".join(parts)


class HarmlessConsole(Console):
    """A console that falls silent when its reader is gone; rich's own would end the process."""

    def on_broken_pipe(self) -> None:
        """Write nothing from now on."""
        self.quiet = True


class _Harmless:
    """Runs functions that draw; after the first that fails it runs no more."""

    def __init__(self) -> None:
        self._broken = False

    def _try(self, draw: Callable[[], object]) -> None:
        if self._broken:
            return
        try:
            draw()
        except Exception:  # the search matters, its display does not
            self._broken = True


class PlainProgress(_Harmless):
    """Lines in a log: one for each change of phase and one for whatever is said."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._phase = ""

    def __enter__(self) -> Self:
        """Nothing to begin."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing to end."""

    def show(self, snapshot: Snapshot) -> None:
        """Write the phase if it has changed."""
        if snapshot.phase != self._phase:
            self._phase = snapshot.phase
            if snapshot.phase:
                self.line(snapshot.phase)

    def line(self, text: str) -> None:
        """Write ``text``."""
        self._try(lambda: print(text, file=self._stream, flush=True))


class LiveProgress(_Harmless):
    """A line with a bar that is redrawn in place, below the lines that stay."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._live = Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._try(self._live.start)
        return self

    def __exit__(self, *exc: object) -> None:
        """Give the terminal back, whatever has happened to it."""
        self._broken = False
        self._try(self._live.stop)

    def show(self, snapshot: Snapshot) -> None:
        """Redraw."""
        self._try(lambda: self._live.update(drawn(snapshot), refresh=True))

    def line(self, text: str) -> None:
        """Write ``text`` above the display."""
        self._try(lambda: self._live.console.print(Text(text)))


def drawn(snapshot: Snapshot) -> RenderableType:
    """A snapshot for a terminal: the phase and a bar, which moves to and fro where nothing can be
    counted.
    """
    phase = Text(snapshot.phase, style="bold")
    if not snapshot.trials:
        done, steps = snapshot.step if snapshot.step is not None else (0, None)
        bar = ProgressBar(total=steps, completed=done, width=BAR_WIDTH, pulse=steps is None)
        row = Table.grid(padding=(0, 2))
        row.add_row(bar, phase)
        return row if snapshot.phase else phase
    row = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=snapshot.trials, completed=snapshot.done, width=BAR_WIDTH)
    row.add_row(bar, Text(facts(snapshot), overflow="ellipsis", no_wrap=True))
    return Group(phase, row) if snapshot.phase else row
