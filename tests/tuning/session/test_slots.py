"""Filling the device: a controller on simulated devices whose saturation is known, and a session
that heeds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import tiny
from tests.support.costs import made_up_costs
from tests.support.searches import config_of, prepared
from tests.support.watch import Remembering
from tuning.config.resources import Machine, Resources
from tuning.drivers.driver import Nothing
from tuning.session.plan import SearchPlan, make_slots
from tuning.session.session import SearchSession
from tuning.session.slots import GAIN, Filling, Slots, solo_work
from tuning.store.info import AtOnce, Memory, memory_share, that_fit
from tuning.trial.clock import Ledger
from tuning.trial.recipe import Recipe
from tuning.trial.record import Circumstances, Measurements, record_of
from tuning.trial.task import Ending, Task
from tuning.trial.trial import CurvePoint, TrialRecord, TrialSpec

COSTS = made_up_costs()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
Curve = Callable[[int], float]
"""Solo seconds a wall second that a device does with so many trials at once."""


def saturating(knee: int, after: float) -> Curve:
    """A machine whose throughput grows in proportion up to ``knee`` trials.

    Each further trial changes the throughput by the share ``after``.
    """
    return lambda n: float(min(n, knee)) * (1 + after) ** max(0, n - knee)


@dataclass
class Device:
    """Runs tasks of random length on a throughput curve shared evenly, as many as it is allowed."""

    throughput: Curve
    lengths: list[float]
    now: float = 0.0
    left: dict[Task, float] = field(default_factory=dict)
    most_seen: int = 0

    def run(self, filling: Filling, tasks: int) -> None:
        slots = Slots(filling, clock=lambda: self.now)
        begun: dict[Task, float] = {}
        waiting = [Task.trial(number) for number in range(tasks)]
        while waiting or self.left:
            while waiting and not slots.full:
                task = waiting.pop(0)
                slots.begin(task)
                self.left[task], begun[task] = self.length(task), self.now
            self.most_seen = max(self.most_seen, len(self.left))
            task = min(self.left, key=lambda name: self.left[name])
            rate = self.throughput(len(self.left)) / len(self.left)
            done = self.left[task]
            self.now += done / rate
            self.left = {name: rest - done for name, rest in self.left.items() if name != task}
            slots.end(task)
            slots.learn(task, record(self.length(task), self.now - begun[task]), COSTS)

    def length(self, task: Task) -> float:
        return self.lengths[task.number % len(self.lengths)]


def record(seconds: float | None, wall: float, **changes: object) -> TrialRecord:
    """A finished trial of so many solo seconds."""
    found = TrialRecord(
        recipe=Recipe("full_update", 1.0),
        number=0,
        state="finished",
        origin="sampled",
        workload="w",
        seed=0,
        started_at=NOW,
        finished_at=NOW,
        executions=1,
        device="d",
        train_seconds=seconds,
        wall_seconds=wall,
    )
    return replace(found, **changes)  # type: ignore[arg-type]


LENGTHS = st.lists(st.floats(1.0, 3.0), min_size=1, max_size=7)


@given(st.integers(1, 12), st.floats(-0.5, 0.0), st.integers(1, 12), LENGTHS, st.data())
def test_it_ends_within_one_of_the_best(
    knee: int, after: float, most: int, lengths: list[float], data: st.DataObject
) -> None:
    """Property, over devices on which more than a known number bring nothing: settled within one of
    it, never above.

    Where they bring a little, a few trials of unequal length cannot always tell it from the share
    that counts.
    """
    best = min(knee, most)
    start = data.draw(st.integers(1, min(2, best)))
    device, filling = Device(saturating(knee, after), lengths), Filling(most, start)
    device.run(filling, tasks=400)
    assert filling.settled
    assert abs(filling.limit - best) <= 1
    assert device.most_seen <= most


@given(st.lists(st.floats(0.1, 10.0), min_size=1, max_size=40), st.integers(1, 8), st.data())
def test_the_limit_holds_whatever_is_seen(
    rates: list[float], most: int, data: st.DataObject
) -> None:
    """Property: whatever is measured, the limit stays in [1, most] and moves by one at a time."""
    filling = Filling(most, data.draw(st.integers(1, most)))
    for rate in rates:
        before = filling.limit
        filling.observe(before, rate, 1.0)
        assert 1 <= filling.limit <= most
        assert abs(filling.limit - before) <= 1


def test_by_hand() -> None:
    """1 does 1, 2 do 1.8, 3 do 1.7: two at once, after 2 + 2 + 3 trials."""
    filling = Filling(4, 1)
    rates = {1: 1.0, 2: 0.9, 3: 1.7 / 3}
    limits = []
    for _ in range(8):
        filling.observe(filling.limit, rates[filling.limit], 1.0)
        limits.append(filling.limit)
    assert limits == [1, 2, 2, 3, 3, 3, 2, 2]
    assert (filling.settled, filling.reason) == (
        True,
        "3 did 1.7 solo seconds a second, one fewer 1.8",
    )


def test_growth_short_of_the_share_ends_it() -> None:
    """Two do 1.03 times what one does, less than ``GAIN`` more: it stays at two, and says so."""
    filling = Filling(4, 1)
    for _ in range(2):
        filling.observe(1, 1.0, 1.0)
    for _ in range(2):
        filling.observe(2, 1.03 / 2, 1.0)
    assert GAIN > 0.03
    assert (filling.limit, filling.settled, filling.reason) == (
        2,
        True,
        "the last one brought 3.0% more throughput",
    )


@pytest.mark.parametrize("in_flight", [1.0, 1.7, 2.3, 3.0])
def test_a_trial_beside_others_than_the_limit_tells_nothing(in_flight: float) -> None:
    """Two may be in flight, but so many were: nothing is concluded however often it happens."""
    filling = Filling(4, 2)
    assert not any(filling.observe(in_flight, 1.0, 1.0) for _ in range(10))


@pytest.mark.parametrize(("most", "start"), [(0, 0), (3, 4), (3, 0)])
def test_a_start_out_of_range_is_refused(most: int, start: int) -> None:
    """The message has the rule and both values."""
    with pytest.raises(
        ValueError, match=rf"1 <= start <= most must hold, but got \(start={start}, most={most}\)"
    ):
        Filling(most, start)


@pytest.mark.parametrize(
    "unusable",
    [
        record(1.0, 1.0, state="failed"),
        record(1.0, 1.0, executions=2),
        record(None, 1.0),
        record(1.0, 0.0),
        record(1.0, 1.0, steps=20, forked_from_step=20),
    ],
    ids=["failed", "interrupted", "not trained", "no time", "taken over"],
)
def test_what_tells_nothing_of_throughput(unusable: TrialRecord) -> None:
    """Such a record changes nothing, however many there are."""
    now = iter(range(1000))
    slots = Slots(Filling(4, 1), clock=lambda: float(next(now)))
    for number in range(10):
        slots.begin(Task.trial(number))
        slots.end(Task.trial(number))
        assert not slots.learn(Task.trial(number), unusable, COSTS)


def test_work_is_what_was_trained_and_evaluated() -> None:
    """By hand: 20 full steps and 4 evaluations.

    Of the same run from step 10 on, 10 steps and 2 evaluations.
    """
    curve = tuple(CurvePoint(step, 0.0, 1.0) for step in (5, 10, 15, 20))
    full_step = COSTS.step_cost(4) + COSTS.data_seconds
    around = Circumstances(NOW, NOW, 1.0, 0.0, 1, "d")
    spec = TrialSpec(0, "sampled", "w", Recipe("full_update"), 0)
    measured = Measurements(Ledger({4: 20}), curve, ())
    whole = record_of(spec, COSTS, measured, around)
    forked = record_of(spec, COSTS, measured, around, forked_from_step=10)
    assert solo_work(whole, COSTS) == pytest.approx(20 * full_step + 4 * COSTS.evaluation_seconds)
    assert solo_work(forked, COSTS) == pytest.approx(10 * full_step + 2 * COSTS.evaluation_seconds)


GIB = 2**30


@pytest.mark.parametrize(
    ("trial", "fit", "share"), [(1, 19, 1 / 8), (5, 3, 1 / 3), (23, 1, 1.0), (40, 1, 1.0)]
)
def test_memory_sets_the_ceiling(tmp_path: Path, trial: int, fit: int, share: float) -> None:
    """24 GiB, and a quarter more than was measured for each trial, eight at most.

    Worked out by hand.
    """
    memory = Memory(24 * GIB, trial * GIB)
    assert that_fit(memory) == fit
    store = prepared(config_of(tmp_path / "run"))
    info = replace(
        store.info,
        memory=memory,
        config={**store.info.config, "resources": vars(Resources(8, 1, 0.125, 1, True))},
    )
    assert memory_share(info) == share


def test_a_share_that_was_asked_for_is_taken(tmp_path: Path) -> None:
    """Without filling a trial may have what its fraction of the GPU says."""
    store = prepared(config_of(tmp_path / "run"))
    resources = vars(Resources(2, 1, 0.5, 1))
    info = replace(
        store.info, memory=Memory(GIB, GIB), config={**store.info.config, "resources": resources}
    )
    assert memory_share(info) == 0.5


@pytest.mark.parametrize(
    ("options", "resources", "choice", "finds"),
    [
        ({"driver": "serial"}, Resources(2, 1, 0, 1), None, False),
        ({"driver": "ray", "concurrency": 2}, Resources(2, 1, 0, 1), None, False),
        ({"driver": "ray", "gpus_per_trial": 0.5}, Resources(2, 1, 0.5, 1), None, False),
        ({"driver": "ray", "address": "auto"}, Resources(2, 1, 0, 1), None, False),
        (
            {"driver": "ray"},
            Resources(2, 1, 0, 1),
            AtOnce(2, "as many as the machine holds"),
            False,
        ),
        (
            {"driver": "ray"},
            Resources(8, 1, 0.125, 1, True),
            AtOnce(1, "to begin with; more are tried"),
            True,
        ),
    ],
    ids=["serial", "concurrency", "share", "cluster", "cores", "one GPU"],
)
def test_who_finds_how_many(
    tmp_path: Path,
    options: dict[str, object],
    resources: Resources,
    choice: AtOnce | None,
    finds: bool,
) -> None:
    """Only where nothing was asked for is a number chosen.

    Run.json and the watcher are told, and nobody else.
    """
    config, watcher = config_of(tmp_path / "run", **options), Remembering()
    store = prepared(replace(config, driver="serial", address=None))
    slots = make_slots(store, config, resources, watcher.note)
    assert (slots is not None) is finds
    assert store.reload_info().at_once == choice
    assert watcher.notes == (
        [] if choice is None else [f"trials at once: {choice.trials}, {choice.reason}"]
    )


def test_a_resumed_search_begins_where_it_was(tmp_path: Path) -> None:
    """Three at once had been found to be best so far; memory now holds five."""
    config = config_of(tmp_path / "run", driver="ray")
    store = prepared(config)
    store.update_info(at_once=AtOnce(3, "so far"), memory=Memory(25 * GIB, 4 * GIB))
    slots = make_slots(store, config, Resources(8, 1, 0.125, 1, True), Remembering().note)
    assert slots is not None
    assert slots.choice.trials == 3


def test_a_session_keeps_to_the_limit(tmp_path: Path) -> None:
    """One at once to begin with: a second task waits for the first to end.

    Two once two have shown their rate.
    """
    config, watcher, seconds = (
        config_of(tmp_path / "run", target=0.5, forks=False),
        Remembering(),
        iter(range(1000)),
    )
    store = prepared(config)
    plan = SearchPlan(
        store, config, tiny.tiny(), config.resources(Machine(cpus=2, gpus=0)), watcher.note
    )
    plan.slots = Slots(Filling(2, 1), clock=lambda: float(next(seconds)))
    watcher.notes.clear()
    session = SearchSession(store, plan, watcher)
    for number in range(2):
        assert session.ask() == Task.trial(number)
        assert session.ask() is Nothing.FULL
        store.append(record(1.0, 1.0, number=number, workload=config.workload))
        store.end(Task.trial(number))
        session.ended(Task.trial(number), Ending.DONE)
    assert [session.ask(), session.ask(), session.ask()] == [
        Task.trial(2),
        Task.trial(3),
        Nothing.FULL,
    ]
    assert watcher.notes == ["trials at once: 2, one fewer did 1 solo seconds a second"]
    assert store.reload_info().at_once == AtOnce(2, "one fewer did 1 solo seconds a second")
