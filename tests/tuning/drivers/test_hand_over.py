"""What Tune is handed while a source has nothing for a slot. No Ray runs."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tuning.drivers.driver import Nothing
from tuning.drivers.ray_tune import LEAST_HOLD, PATIENCE_SECONDS, START_SECONDS, HandOver
from tuning.trial.task import Ending, Lost


class Source:
    """One task, and then nothing for a while."""

    def __init__(self) -> None:
        self.tasks: list[object] = ["clock"]

    def ask(self) -> object | Nothing:
        """The task, once."""
        return self.tasks.pop() if self.tasks else Nothing.WAIT

    def ended(self, task: object, ending: Ending) -> None:
        """It is of no interest here."""

    def lost(self, task: object, why: Lost) -> None:
        """It is of no interest here."""

    def deadline(self, task: object) -> float | None:
        """None."""
        return None

    def tick(self) -> None:
        """Nothing is watched."""


def handed(hand_over: HandOver, trial: str) -> dict[str, Any]:
    """A configuration that Tune is given."""
    found = hand_over.next_config(trial)
    assert isinstance(found, dict)
    return found


def test_a_slot_is_held_until_the_others_process_has_started() -> None:
    """Tune would give the other's task to the process that is idle first, end the one that was
    started for it, and start a third for the next hold.
    """
    hand_over = HandOver(Source(), 2, {}, lambda: None)
    assert handed(hand_over, "first")["task"] == "clock"
    held = handed(hand_over, "second")
    assert (held["task"], held["hold"]) == (None, START_SECONDS)
    for trial in ("first", "second"):
        hand_over.started(trial, None)
    hand_over.ended("second", {"ending": None})
    assert LEAST_HOLD <= handed(hand_over, "third")["hold"] < START_SECONDS


def test_a_task_that_goes_to_a_process_that_is_there_holds_nobody_up() -> None:
    """Both processes have started; one is given a task and has not begun it yet."""
    source = Source()
    hand_over = HandOver(source, 2, {}, lambda: None)
    for trial in ("first", "second"):
        handed(hand_over, trial)
        hand_over.started(trial, None)
    hand_over.ended("first", {"ending": next(iter(Ending)).name})
    hand_over.ended("second", {"ending": None})
    source.tasks.append("forms")
    assert handed(hand_over, "third")["task"] == "forms"
    assert handed(hand_over, "fourth")["hold"] < START_SECONDS


@pytest.mark.parametrize("started", [False, True])
def test_what_holds_up_the_first_process_is_told_once(
    started: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a task that no process has had after so long, and of no other."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    hand_over = HandOver(Source(), 1, {}, lambda: None, lambda: "other work holds the cores")
    handed(hand_over, "first")
    if started:
        hand_over.started("first", None)
    for _ in range(2 * int(PATIENCE_SECONDS)):
        now[0] += 2.0
        hand_over.beat()
        if now[0] < PATIENCE_SECONDS:
            assert capsys.readouterr().err == ""
    assert capsys.readouterr().err == ("" if started else "other work holds the cores\n")
