"""A search with real Ray processes is killed at random, again and again, and ends as if it had not
been.
"""

from __future__ import annotations

import random
from pathlib import Path

import pandas as pd
import pytest

import tuning
from tests.support import slow
from tests.support.searches import config_of, prepared
from tests.support.victims import Victim, eventually
from tuning import search as command
from tuning.store.store import Store

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
TRIALS = 12
BASELINES = 8
SEED = 20
SPACE = "static_suffix"
STARTING = [
    *("tuning.search", "--workload", slow.NAME, "--space", SPACE),
    *("--trials", str(TRIALS), "--concurrency", "2"),
]
DIED = "the worker died: "
RESUMING = ["tuning.search", "--resume"]
KILLS = (("workers", 1), ("raylet", 1)), (("worker", 3), ("driver", BASELINES))
"""Of each start but the first, which dies as it starts: who is killed, and once how many trials are
recorded. Ray dies while it replaces both workers, the driver after one of two died and when what
was sampled is in flight.
"""


class Chaos:
    """One run, and what it held before each kill."""

    def __init__(self, folder: Path) -> None:
        self.run, self.log, self.output = folder / "run", folder / "steps", folder / "output"
        self.hold = folder / "hold"
        self.random = random.Random(SEED)
        self.kept: dict[str, bytes] = {}
        self.kills = 0
        self.searches: list[Victim] = []
        self.told: list[int] = []
        self.clock = folder / "clock"
        prepared(config_of(self.clock, workload=slow.NAME, space=SPACE))

    def start(self) -> Victim:
        """The command a user types, for the first time or to go on."""
        words = RESUMING if (self.run / "run.json").exists() else self.starting
        files = {slow.LOG: str(self.log), slow.HOLD: str(self.hold)}
        self.searches.append(Victim([*words, str(self.run)], self.output, files))
        return self.searches[-1]

    @property
    def starting(self) -> list[str]:
        """On a clock that is there: each step is to be a trial's."""
        return [*STARTING, "--clock", str(self.clock), "--run"]

    def records(self) -> dict[str, bytes]:
        """The files of the trials that are finished, whole."""
        return {path.name: path.read_bytes() for path in (self.run / "trials").glob("*.parquet")}

    def strike(self, search: Victim, victim: str, recorded: int) -> None:
        """Kill once so many trials are recorded, tasks are in flight and some more steps were
        trained.
        """
        assert eventually(lambda: len(self.records()) >= recorded or search.over)
        assert eventually(lambda: list((self.run / "running").glob("*.json")) or search.over)
        wanted = len(slow.steps_in(self.log)) + self.random.randrange(10, 60)
        if victim != "raylet":  # when nobody trains
            assert eventually(lambda: len(slow.steps_in(self.log)) >= wanted or search.over)
            assert eventually(lambda: search.workers() or search.over)
        if victim == "workers":
            self.hold.touch()
            assert eventually(lambda: self.held(search) == 2 or search.over)
        before = self.records()
        killed = [] if search.over else search.kill(victim)
        self.kills += bool(killed)
        if victim == "workers":
            self.hold.unlink()
            assert eventually(lambda: search.said().count(DIED) == len(killed) == 2)
        self.unchanged(before)

    def held(self, search: Victim) -> int:
        """How many workers stay within a step: a death between two tasks is not told."""
        there = {str(process.pid) for process in search.workers()}
        return len(there & set(self.hold.read_text().split()))

    def strike_early(self, search: Victim) -> None:
        """Kill all of it while Ray starts."""
        assert eventually(lambda: search.servers() or search.over)
        self.kills += not search.over and bool(search.kill("group"))

    def ended(self, search: Victim) -> None:
        """Remember whether it could say why, and leave nothing of Ray's."""
        if search.process.returncode > 0 and not (self.run / "ray").exists():
            self.told.append(search.process.returncode)

    def unchanged(self, before: dict[str, bytes]) -> None:
        """Nothing that was finished is gone or another."""
        self.kept |= before
        now = self.records()
        assert {name: now.get(name) for name in self.kept} == self.kept


@pytest.fixture(scope="module")
def survived(tmp_path_factory: pytest.TempPathFactory) -> Chaos:
    """The run after all kills, which Ray goes on with after each kill but the last.

    What is left then is trained in this process.
    """
    chaos = Chaos(tmp_path_factory.mktemp("chaos"))
    for kills in ((), *KILLS):
        search = chaos.start()
        try:
            if not kills:
                chaos.strike_early(search)
            for victim, recorded in kills:
                chaos.strike(search, victim, recorded)
            search.wait()
            assert eventually(search.gone), "a process outlived its search"
            chaos.ended(search)
        finally:
            search.end()
    assert command.main(["--resume", str(chaos.run), "--driver", "serial"]) == 0
    return chaos


def test_nothing_finished_is_lost_or_changed(survived: Chaos) -> None:
    """The files of the records that were there before any kill are there byte for byte."""
    assert survived.kills == 1 + sum(map(len, KILLS))
    assert survived.kept
    survived.unchanged({})


def test_as_many_trials_as_asked_for(survived: Chaos) -> None:
    """Numbers are dense and unique, every trial finished, no two with the same knobs, though two
    ran at once.
    """
    frame = tuning.load(survived.run)
    assert frame["number"].tolist() == list(range(TRIALS))
    assert set(frame["state"]) == {"finished"}
    records = Store.open(survived.run).records()
    assert len({r.recipe for r in records}) == TRIALS
    assert pd.read_parquet(survived.run / "trials")["number"].is_unique


def test_only_what_was_in_flight_ran_again(survived: Chaos) -> None:
    """A kill costs at most the two tasks that were in flight another execution."""
    again = sum(record.executions - 1 for record in Store.open(survived.run).records())
    assert 0 < again <= 2 * survived.kills


def test_no_link_outlives_its_search(survived: Chaos) -> None:
    """The short names that Ray's sockets have: of a search that was killed as it started the next
    one removes it.
    """
    assert eventually(lambda: not any(search.links() for search in survived.searches))


def test_the_death_of_a_server_is_told(survived: Chaos) -> None:
    """It ends the search with the reason and without Ray's files; no other death does."""
    assert survived.told == [1]
    assert survived.output.read_text().count("a server of Ray on this machine (process ") == 1


def test_the_directory_holds_what_the_design_lists(survived: Chaos) -> None:
    """Nothing of Ray's, no checkpoint and no temporary file is left; the lease alone stays."""
    run = survived.run
    assert sorted(path.name for path in run.iterdir()) == [
        "front.png", "report.html", "run.json", "running", "trials", "trunk",
    ]  # fmt: skip
    assert [path.name for path in (run / "running").iterdir()] == ["lease"]
    assert [path for path in run.rglob("*") if path.name.endswith(".tmp")] == []
