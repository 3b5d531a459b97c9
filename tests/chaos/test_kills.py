"""A search with real Ray processes is killed at random, again and again, and ends as if it had not
been.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pandas as pd
import pytest

import tuning
from tests.support import slow
from tests.support.victims import Victim, eventually
from tuning.store.store import Store

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
TRIALS = 12
SEED = 20
STARTING = [
    "tuning.search",
    "--workload",
    slow.NAME,
    "--space",
    "static_suffix",
    "--trials",
    str(TRIALS),
    "--concurrency",
    "2",
    "--run",
]
RESUMING = ["tuning.search", "--resume"]
KILLS = (("group",), ("worker", "raylet"), ("workers", "driver"))
"""Of each start of the search, who is killed.

The first dies as it starts, the others while trials are trained.
"""


class Chaos:
    """One run, and what it held before each kill."""

    def __init__(self, folder: Path) -> None:
        self.run, self.log, self.output = folder / "run", folder / "steps", folder / "output"
        self.random = random.Random(SEED)
        self.kept: dict[str, bytes] = {}
        self.kills = 0

    def start(self) -> Victim:
        """The command a user types, for the first time or to go on."""
        argv = (
            [*RESUMING, str(self.run)]
            if (self.run / "run.json").exists()
            else [*STARTING, str(self.run)]
        )
        return Victim(argv, self.output, {slow.LOG: str(self.log)})

    def records(self) -> dict[str, bytes]:
        """The files of the trials that are finished, whole."""
        return {path.name: path.read_bytes() for path in (self.run / "trials").glob("*.parquet")}

    def strike(self, search: Victim, victim: str, recorded: int) -> None:
        """Kill once so many trials are recorded, tasks are in flight and some more steps were
        trained.
        """
        assert eventually(lambda: len(self.records()) >= recorded or search.over)
        assert eventually(lambda: list((self.run / "running").glob("*.json")) or search.over)
        wanted = len(slow.steps_in(self.log)) + self.random.randrange(10, 100)
        assert eventually(lambda: len(slow.steps_in(self.log)) >= wanted or search.over)
        before = self.records()
        self.kills += not search.over and bool(search.kill(victim))
        self.unchanged(before)

    def strike_early(self, search: Victim) -> None:
        """Kill while Ray starts or the clock is calibrated."""
        assert eventually((self.run / "run.json").exists)
        time.sleep(self.random.random() * 8)
        self.kills += bool(search.kill("group"))

    def unchanged(self, before: dict[str, bytes]) -> None:
        """Nothing that was finished is gone or another."""
        self.kept |= before
        now = self.records()
        assert {name: now.get(name) for name in self.kept} == self.kept


@pytest.fixture(scope="module")
def survived(tmp_path_factory: pytest.TempPathFactory) -> Chaos:
    """The run after all kills, and a last start that was left alone."""
    chaos = Chaos(tmp_path_factory.mktemp("chaos"))
    for number, victims in enumerate(KILLS):
        search = chaos.start()
        try:
            for victim in victims:
                chaos.strike(
                    search, victim, recorded=2 * (number - 1)
                ) if number else chaos.strike_early(search)
            search.wait()
            assert eventually(search.gone), "a process outlived its search"
        finally:
            search.end()
    last = chaos.start()
    try:
        assert last.wait() == 0, chaos.output.read_text()
    finally:
        last.end()
    return chaos


def test_nothing_finished_is_lost_or_changed(survived: Chaos) -> None:
    """The files of the records that were there before any kill are there byte for byte."""
    assert survived.kills == sum(map(len, KILLS))
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


def test_the_directory_holds_what_the_design_lists(survived: Chaos) -> None:
    """Nothing of Ray's, of checkpoints, of temporary files.

    The lease alone is left of what was running.
    """
    run = survived.run
    assert sorted(path.name for path in run.iterdir()) == [
        "front.png", "report.html", "run.json", "running", "trials", "trunk",
    ]  # fmt: skip
    assert [path.name for path in (run / "running").iterdir()] == ["lease"]
    assert [path for path in run.rglob("*") if path.name.endswith(".tmp")] == []
