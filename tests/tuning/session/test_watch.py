"""What the terminal is told: counts, the best gain, the time left."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

from tuning.report.progress import Snapshot
from tuning.session.watch import TerminalWatch
from tuning.trial.recipe import Recipe
from tuning.trial.trial import TrialRecord, TrialSpec

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


class Drawn:
    """A display that remembers."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.lines: list[str] = []

    def __enter__(self) -> Drawn:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def show(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def line(self, text: str) -> None:
        self.lines.append(text)


def spec(number: int, policy: str = "full_update", target: float | None = 2.0) -> TrialSpec:
    return TrialSpec(number, "sampled", "tiny", Recipe(policy, 1.0), 0, target)


def record(
    number: int, policy: str, seconds: float, loss: float, target: float | None = 2.0
) -> TrialRecord:
    return TrialRecord(
        recipe=Recipe(policy, 1.0),
        number=number,
        state="finished",
        origin="sampled",
        workload="tiny",
        seed=0,
        started_at=WHEN,
        finished_at=WHEN,
        executions=1,
        device="fake device",
        train_seconds=seconds,
        val_loss=loss,
        target_loss=target,
    )


def new_watch(drawn: Drawn) -> TerminalWatch:
    return TerminalWatch(drawn, trials=10, recorded=0, concurrency=2, now=lambda: 100.0)


def test_best_gain_is_control_over_front_seconds() -> None:
    """By hand: the control needs 10 s to 2.0; a schedule of 8 s gains 1.25.

    One above the target gains nothing.
    """
    drawn = Drawn()
    watch = new_watch(drawn)
    watch.ended(record(0, "full_update", 10.0, 2.0))
    assert drawn.snapshots[-1].best_gain == 1.0
    watch.ended(record(1, "dynamic_suffix", 5.0, 2.1))
    assert drawn.snapshots[-1].best_gain == 1.0
    watch.ended(record(2, "dynamic_suffix", 8.0, 1.9))
    assert drawn.snapshots[-1].best_gain == 1.25


def test_a_replicate_raises_no_gain() -> None:
    """On its own seed the loss may be low; the control of this one says nothing about it."""
    drawn = Drawn()
    watch = new_watch(drawn)
    watch.ended(record(0, "full_update", 10.0, 2.0))
    watch.ended(dataclasses.replace(record(1, "dynamic_suffix", 8.0, 1.9), origin="replicate"))
    assert drawn.snapshots[-1].best_gain == 1.0
    assert drawn.snapshots[-1].done == 2


def test_schedule_that_reaches_first_has_no_gain_without_control() -> None:
    """Until a control run has reached the target there is nothing to compare with."""
    drawn = Drawn()
    new_watch(drawn).ended(record(1, "dynamic_suffix", 8.0, 1.9))
    assert drawn.snapshots[-1].best_gain is None


def test_time_left_counts_what_waits_and_what_runs() -> None:
    """By hand: ten trials of 4 s on two workers, none begun: 20 s; two just begun: the same."""
    drawn = Drawn()
    watch = new_watch(drawn)
    watch.expects(lambda spec: 4.0)
    watch.tick()
    assert drawn.snapshots[-1].seconds_left == 20.0
    watch.began(spec(0))
    watch.began(spec(1))
    assert drawn.snapshots[-1].seconds_left == 20.0
    assert drawn.snapshots[-1].in_flight == 2


def test_runs_that_set_the_target_are_no_trials() -> None:
    """They are counted in the phase's words, not among the trials."""
    drawn = Drawn()
    watch = new_watch(drawn)
    watch.began(spec(0, target=None))
    watch.ended(record(0, "full_update", 10.0, 2.0, target=None))
    assert drawn.snapshots[-1].done == 0
    assert "1 done" in drawn.snapshots[-1].phase
    assert drawn.snapshots[-1].step == (1, 3)
    watch.phase("calibrating")
    assert drawn.snapshots[-1].step is None


def test_a_lost_worker_is_told_of_the_run_it_had() -> None:
    """A trial by its number; a run for the target, which has numbers of its own, by its seed."""
    drawn = Drawn()
    watch = new_watch(drawn)
    watch.lost(spec(3), "the worker died: killed", again=True)
    watch.lost(spec(0, target=None), "the worker died: killed", again=False)
    assert drawn.lines == [
        "trial   3  the worker died: killed; it goes on from its checkpoint",
        "reference run on seed 0  the worker died: killed; it has failed",
    ]
