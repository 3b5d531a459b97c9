"""The stopwatch on a clock that ticks once a look."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch

from tests.support.tiny import make_model, tiny
from tuning.training.loop import evaluate
from tuning.training.stopwatch import Stopwatch


def ticking() -> Callable[[], float]:
    """A clock that reads 0, 1, 2 and so on."""
    return itertools.count(0.0, 1.0).__next__


def test_only_running_time_counts() -> None:
    """Two stretches of a tick each, and a pause in a third one, which has a tick before and a tick
    after.
    """
    events: list[str] = []
    watch = Stopwatch(clock=ticking(), synchronize=lambda: events.append("synchronized"))
    for _ in range(2):
        with watch.running():
            pass
    assert (watch.seconds, events) == (2.0, [])
    with watch.running(), watch.standing():
        pass
    assert (watch.seconds, events) == (4.0, ["synchronized"])


def test_a_watch_that_stands_already_takes_no_time() -> None:
    """Standing outside of running: nothing is added and the device is not waited for."""
    watch = Stopwatch(1.5, clock=ticking())
    with watch.standing():
        pass
    assert watch.seconds == 1.5


def test_a_step_that_raises_is_counted() -> None:
    """The time of a step that failed was spent too."""
    watch = Stopwatch(clock=ticking())
    with pytest.raises(ZeroDivisionError), watch.running():
        _ = 1 / 0
    assert watch.seconds == 1.0


def test_evaluation_is_off_the_watch_and_unchanged() -> None:
    """The wrapped workload evaluates to the same loss, while the watch stands."""
    watch, workload = Stopwatch(clock=ticking()), tiny()
    model = make_model(0)
    model.to(torch.device("cpu"))
    with watch.running():
        loss = evaluate(watch.around_evaluation(workload), model)
    assert watch.seconds == 2.0
    assert loss == evaluate(workload, model)
