"""Tasks and their ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.errors import SearchFailed
from tuning.trial.clock import OtherSurroundings
from tuning.trial.task import CLOCK, Fault, Lost, Task

numbers = st.integers(0, 10**9)
tasks = st.one_of(numbers.map(Task.trial), numbers.map(Task.reference), st.just(CLOCK))


@given(tasks)
def test_a_tasks_text_is_its_id(task: Task) -> None:
    """Property: read back it is the same task, of its forms too, and no two have the same text."""
    assert Task.parse(str(task)) == task
    assert Task.parse(str(task.forms)) == task.forms != task
    assert task.forms.subject == task.subject == task


def test_only_a_trials_own_task_is_a_row() -> None:
    """By hand."""
    assert Task.trial(3).is_trial
    assert not any(t.is_trial for t in (Task.trial(3).forms, Task.reference(3), CLOCK))


@pytest.mark.parametrize("text", ["", "x", "../x", "seed-", "3a", "calibrate-", "-1", "clock-2"])
def test_other_text_is_no_task(text: str) -> None:
    """Text that no task has."""
    with pytest.raises(ValueError, match="a task's id must be"):
        Task.parse(text)


@pytest.mark.parametrize(
    ("error", "fault", "text"),
    [
        (SearchFailed("no room"), Fault.RUN, "no room"),
        (OtherSurroundings("another torch"), Fault.SURROUNDINGS, "another torch"),
        (ValueError("no such block"), Fault.RAISED, "ValueError: no such block"),
        (SystemExit(), Fault.RAISED, "SystemExit"),
    ],
)
def test_whose_fault_a_loss_is(error: BaseException, fault: Fault, text: str) -> None:
    """The exception's class tells, never its message."""
    assert Lost.by(error) == Lost(fault, text)
