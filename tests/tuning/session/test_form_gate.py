"""New forms of the model are timed alone, before the trial that needs them, and once."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.costs import Company, two_rounds
from tests.support.searches import config_of, search
from tuning.drivers.driver import Nothing, TaskSource
from tuning.drivers.serial import SerialDriver
from tuning.findings.front import control, front
from tuning.session import conduct
from tuning.session.calibrations import FormGate
from tuning.session.search import resume_search
from tuning.store.store import Store
from tuning.training.calibration import company
from tuning.trial.recipe import Recipe
from tuning.trial.task import Task
from tuning.trial.trial import TrialSpec

PLAIN = Recipe("full_update")


def spec_of(number: int, approximation: str | None) -> TrialSpec:
    """A trial that needs the form of that name, or none."""
    recipe = (
        PLAIN
        if approximation is None
        else Recipe("full_update", 1.0, {"approximation": approximation})
    )
    return TrialSpec(number, "sampled", "tiny", recipe, 0)


class Clock:
    """What a gate asks and what a calibration teaches."""

    def __init__(self) -> None:
        self.known: set[str] = set()

    def unknown(self, spec: TrialSpec) -> set[str]:
        needed = spec.recipe.knobs.get("approximation")
        return set() if needed is None else {str(needed)} - self.known


@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_a_calibration_waits_until_nothing_runs_and_begins_once(busy: list[bool]) -> None:
    """Property: whatever is asked while others run or not, one task is given.

    It is given the first time that none runs.
    """
    gate, task = FormGate(lambda spec: {"svd"}), Task.trial(3)
    assert gate.hold(task, spec_of(3, "svd"))
    given = [gate.calibration(busy=each) for each in busy]
    first = busy.index(False) if False in busy else None
    assert given == [task.forms if index == first else None for index in range(len(busy))]


def test_the_held_task_goes_on_and_is_not_held_again() -> None:
    """By hand: after the calibration the task is free, even if it was in vain.

    After a death it is held again.
    """
    gate, task, spec = FormGate(lambda spec: {"svd"}), Task.trial(3), spec_of(3, "svd")
    assert gate.hold(task, spec)
    gate.calibration(busy=False)
    assert gate.release(done=False) == [task]
    assert gate.hold(task, spec)
    gate.calibration(busy=False)
    assert gate.release(done=True) == [task]
    assert not gate.hold(task, spec)
    assert gate.empty
    assert not gate.closed


@given(
    st.lists(st.sampled_from([None, "svd", "monarch", "hidden_units"]), min_size=1, max_size=12),
    st.integers(1, 4),
    st.lists(st.booleans(), max_size=6),
)
def test_tasks_are_held_together_and_timed_one_after_another(
    needed: list[str | None], room: int, deaths: list[bool]
) -> None:
    """Property, for any trials, any number at once and workers that die on a calibration.

    No more than there is room for are held. While one is timed nothing may begin; what is given
    back needs no form that is unknown, unless a worker died on it; all are given back, once each
    death and once for good.
    """
    clock, dying = Clock(), list(deaths)
    gate = FormGate(clock.unknown, lambda: room)
    left = deque((Task.trial(i), spec_of(i, each)) for i, each in enumerate(needed))
    specs, begun = dict(left), []
    while left or not gate.empty:
        while left and not gate.closed:
            task, spec = left.popleft()
            if not gate.hold(task, spec):
                begun.append(task)
                assert not clock.unknown(spec)
        timed = gate.calibration(busy=False)
        if timed is None:
            continue
        assert gate.closed
        assert gate.calibration(busy=False) is None
        died = bool(dying) and dying.pop()
        if not died:
            clock.known |= gate.forms
        free = gate.release(done=not died)
        if died:
            assert free[0].forms == timed
        assert len(free) <= room
        left.extendleft(reversed([(task, specs[task]) for task in free]))
    assert sorted(task.number for task in begun) == list(range(len(needed)))


def test_two_that_bring_forms_stop_the_device_once() -> None:
    """By hand: both are timed before either begins, and what came between waits with them."""
    clock = Clock()
    gate = FormGate(clock.unknown, lambda: 3)
    tasks = [Task.trial(number) for number in range(3)]
    for task, needed in zip(tasks, ("svd", None, "monarch"), strict=True):
        assert gate.hold(task, spec_of(task.number, needed))
    assert gate.closed
    assert gate.calibration(busy=True) is None
    assert gate.calibration(busy=False) == tasks[0].forms
    clock.known |= gate.forms
    assert gate.release(done=True) == []
    assert gate.calibration(busy=False) == tasks[2].forms
    clock.known |= gate.forms
    assert gate.release(done=True) == tasks


LOW_RANK: dict[str, Any] = {
    "space": "low_rank",
    "target": 1.0,
    "knobs": {"placement": {"choices": ["mlp"]}, "approximation_share": 0.5},
}


@pytest.fixture(scope="module", autouse=True)
def _two_rounds() -> Iterator[None]:
    with two_rounds():
        yield


@pytest.fixture(scope="module")
def levered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished serial search of the low-rank space; to be copied, not changed."""
    run = tmp_path_factory.mktemp("levered") / "run"
    search(config_of(run, trials=11, **LOW_RANK))
    return run


class TwoInHand(SerialDriver):
    """Asks for a second task while it has one, and carries out the older of two.

    Attributes:
        log: every task that was given, with how many were in hand already.
    """

    log: ClassVar[list[tuple[Task, int]]] = []

    def drive(self, source: TaskSource[Any]) -> None:
        """As two workers would, in one process."""
        hand: deque[Task] = deque()
        while True:
            task = source.ask() if len(hand) < 2 else Nothing.FULL
            if isinstance(task, Task):
                self.log.append((task, len(hand)))
                hand.append(task)
            elif hand:
                self._carry_out(source, hand.popleft())
            elif task is Nothing.DONE:
                return


def test_where_two_run_at_once_forms_are_timed_alone_and_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole search by two at once: no form is timed while a trial is in hand, two are timed one
    after another at least once, and every trial is given once and trained.
    """
    monkeypatch.setattr(TwoInHand, "log", [])
    monkeypatch.setattr(
        conduct, "make_driver", lambda run, config, resources, epoch: TwoInHand(run, epoch=epoch)
    )
    run = tmp_path / "run"
    config = config_of(run, trials=12, **LOW_RANK)
    search(dataclasses.replace(config, driver="ray", concurrency=2))
    given = [task for task, _ in TwoInHand.log]
    timed = [place for place, task in enumerate(given) if task.is_forms]
    assert len(timed) >= 2
    assert all(TwoInHand.log[place][1] == 0 for place in timed)
    assert any(second == first + 1 for first, second in itertools.pairwise(timed))
    frame = Store.open(run).frame()
    assert (frame["state"] == "finished").all()
    assert len(frame) == 12
    assert len(given) == len(set(given))


def test_levered_trials_are_trained_charged_and_no_control(levered: Path) -> None:
    """A whole search: trials finish, the clock knows each form they used, and none is taken for
    training for less.
    """
    store = Store.open(levered)
    frame = store.frame()
    sampled = frame[frame["origin"] == "sampled"]
    assert (frame["state"] == "finished").all()
    assert sampled["knob_approximation"].notna().all()
    known = store.info.calibration.forms if store.info.calibration else {}
    assert {str(kind) for kind in sampled["knob_approximation"]} <= {
        key.split()[0] for key in known
    }
    assert not set(control(frame)["number"]) & set(sampled["number"])
    assert set(front(frame)["number"]) <= set(frame["number"])
    terms = (
        sampled["required_flops"] / sampled["effective_flops_per_second"]
        + sampled["pipeline_overhead_seconds"]
    )
    assert (terms / sampled["train_seconds"]).to_list() == pytest.approx([1.0] * len(sampled))


def test_forms_that_were_not_timed_alone_are_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And each of them is noted in run.json."""
    monkeypatch.setattr(company, "Meanwhile", Company)
    monkeypatch.setattr(company, "REST", 0.0)
    run = tmp_path / "run"
    search(config_of(run, trials=11, **LOW_RANK))
    told = capsys.readouterr()
    assert (told.out + told.err).count("forms of the model were not timed alone: half of the") == 1
    costs = Store.open(run).info.calibration
    assert costs is not None
    assert {table.disturbances for table in costs.forms.values()} == {("half of the cores",)}


def test_a_search_goes_on_with_the_forms_it_knows(levered: Path, tmp_path: Path) -> None:
    """Extended, it times only what is new.

    The tables of the first part are kept to the last bit.
    """
    run = Path(shutil.copytree(levered, tmp_path / "run"))
    before = Store.open(run).info.calibration
    resume_search(run, {"trials": 12})
    after = Store.open(run).info.calibration
    assert before is not None
    assert after is not None
    assert before.forms.items() <= after.forms.items()
    assert len(Store.open(run).frame()) == 12


def test_a_form_the_model_cannot_take_fails_its_trials_alone(tmp_path: Path) -> None:
    """The workload has no attention to approximate.

    Those trials fail with the reason, the search goes on.
    """
    run = tmp_path / "run"
    knobs = {
        "placement": {"choices": ["attention"]},
        "approximation": "svd",
        "approximation_share": 0.5,
    }
    search(config_of(run, trials=9, **{**LOW_RANK, "knobs": knobs}))
    frame = Store.open(run).frame()
    (error,) = frame.loc[frame["origin"] == "sampled", "error"]
    assert "placement 'attention' must match a linear layer of a block" in error
    assert (frame.loc[frame["origin"] != "sampled", "state"] == "finished").all()
