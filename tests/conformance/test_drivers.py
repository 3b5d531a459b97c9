"""What every driver does alike.

It carries out each task of a source once, and tells the source what became of each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.source import ENTRY, ListSource, notes
from tuning.drivers.driver import Driver
from tuning.drivers.ray_driver import RayDriver
from tuning.drivers.serial import SerialDriver
from tuning.trial.task import Ending

EPOCH = 7


@dataclass(frozen=True)
class Kind:
    """A driver under test: how it is made for a run directory, and how many tasks it runs at
    once.
    """

    make: Callable[[Path], Driver]
    at_once: int


def _serial(run: Path) -> Driver:
    return SerialDriver(run, threads=1, epoch=EPOCH, entry=ENTRY)


def _ray(run: Path) -> Driver:
    return RayDriver(run, concurrency=2, cpus_per_trial=1, threads=1, epoch=EPOCH, entry=ENTRY)


KINDS = [
    pytest.param(Kind(_serial, 1), id="serial"),
    pytest.param(Kind(_ray, 2), id="ray", marks=pytest.mark.ray),
]


@dataclass(frozen=True)
class Open:
    """A driver that has been started, for the drives of this module in turn."""

    driver: Driver
    run: Path
    at_once: int


@pytest.fixture(scope="module", params=KINDS)
def started(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Open]:
    run = tmp_path_factory.mktemp("run")
    with request.param.make(run) as driver:
        yield Open(driver, run, request.param.at_once)


BEFORE, BARRIER = [f"ok-{i}" for i in range(7)], 3
LOST = ["raise-loss", "exit-loss"]
AFTER = ["ok-after"]


@dataclass(frozen=True)
class Driven:
    """What one drive came to.

    Attributes:
        source: its tasks in order, a barrier among those of before any is lost.
        calls: what workers noted.
        at_once: tasks that the driver runs at once.
    """

    source: ListSource
    calls: list[dict[str, Any]]
    at_once: int


@pytest.fixture(scope="module")
def driven(started: Open) -> Driven:
    """Tasks that end, two that never do, and one that ends: a drive starts its workers anew."""
    source = ListSource([*BEFORE, *LOST, *AFTER], barrier=BARRIER, patience=2)
    started.driver.drive(source)
    return Driven(source, notes(started.run), started.at_once)


class TestDriver:
    def test_every_task_runs_once_in_workers_that_are_reused(self, driven: Driven) -> None:
        """Workers leave a note a call; the notes, and the endings told, are the tasks asked for.

        There are fewer processes than tasks, and each counts on through its calls.
        """
        calls = [call for call in driven.calls if call["task"] in BEFORE]
        assert sorted(call["task"] for call in calls) == sorted(BEFORE)
        told = [entry for entry in driven.source.log if entry[1] in BEFORE]
        assert Counter(told) == Counter(("ended", task, "DONE") for task in BEFORE)
        assert {call["epoch"] for call in calls} == {EPOCH}
        assert driven.source.most_in_flight <= driven.at_once
        assert len({call["pid"] for call in calls}) <= driven.at_once + 1
        for pid in {call["pid"] for call in calls}:
            assert [call["seen"] for call in calls if call["pid"] == pid] == _counting_from_first(
                calls, pid
            )

    def test_waiting_is_not_the_end(self, driven: Driven) -> None:
        """The source says to wait after three tasks until all three have ended.

        The rest run after them.
        """
        ended = driven.source.told("ended")
        assert set(ended[:BARRIER]) == set(BEFORE[:BARRIER])
        assert set(ended[BARRIER:]) == {*BEFORE[BARRIER:], *AFTER}

    def test_a_lost_task_is_offered_again(self, driven: Driven) -> None:
        """Tasks that always raise or exit are lost twice, with what they said; their neighbours
        end.
        """
        source = driven.source
        assert Counter(source.told("lost")) == dict.fromkeys(LOST, 2)
        assert sorted(source.told("ended")) == sorted([*BEFORE, *AFTER])
        assert source.reasons("raise-loss") == ["ValueError: raise-loss cannot be"] * 2
        assert all(source.reasons("exit-loss"))

    def test_nothing_to_do(self, started: Open) -> None:
        """A source that is done from the start is left at once, with nothing told."""
        source = ListSource([])
        started.driver.drive(source)
        assert source.log == []

    def test_ticks_reach_the_source_while_a_task_runs(self, started: Open) -> None:
        """The task ends only when a tick asks it to.

        Then no further task is started and drive returns.
        """
        stop = started.run / "stop"

        class Stopping(ListSource):
            def tick(self) -> None:
                self.stopped = self.stopped or bool(self.in_flight)
                if self.stopped:
                    stop.touch()

        source = Stopping([f"stop-{i}" for i in range(5)])
        started.driver.drive(source)
        stop.unlink()
        assert {entry[2] for entry in source.log} == {"INTERRUPTED"}
        assert 1 <= len(source.log) <= started.at_once
        assert source.in_flight == []

    @pytest.mark.parametrize("where", ["ask", "ended", "tick"])
    def test_an_error_of_the_source_ends_the_drive(self, started: Open, where: str) -> None:
        """The source raises in one of its methods: the caller gets that very error."""
        with pytest.raises(_OwnError, match=where):
            started.driver.drive(_broken(where))


def _counting_from_first(calls: list[dict[str, Any]], pid: int) -> list[int]:
    seen = [call["seen"] for call in calls if call["pid"] == pid]
    return list(range(seen[0], seen[0] + len(seen)))


class _OwnError(Exception):
    pass


def _broken(where: str) -> ListSource:
    class Broken(ListSource):
        def ask(self) -> Any:
            if where == "ask" and self.asked:
                raise _OwnError(where)
            return super().ask()

        def ended(self, task: str, ending: Ending) -> None:
            if where == "ended":
                raise _OwnError(where)
            super().ended(task, ending)

        def tick(self) -> None:
            if where == "tick":
                raise _OwnError(where)

    return Broken([f"ok-{where}"])
