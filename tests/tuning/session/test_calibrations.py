"""A clock that was not calibrated alone is said so, and one that does not hold here stops a search
that would go on.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.costs import made_up_costs
from tests.support.searches import MACHINE, config_of, prepared, search
from tests.support.tiny import tiny
from tests.support.watch import Remembering
from tuning.drivers.driver import Nothing
from tuning.drivers.serial import SerialDriver
from tuning.errors import BadInput, SearchFailed
from tuning.session.calibrations import ClockFirst
from tuning.session.description import describe
from tuning.session.session import SearchSession
from tuning.store.store import Store
from tuning.training.calibration.calibrate import surroundings
from tuning.trial.task import CLOCK, Ending

HERE = surroundings(torch.device("cpu"))
ONE: dict[str, Any] = {"trials": 1, "target": 1.0}


def _store(run: Path, **key: str) -> Store:
    store = prepared(config_of(run, **ONE))
    store.update_info(calibration=dataclasses.replace(made_up_costs(), key=key))
    return store


def _without(run: Path) -> Store:
    """A run that has no clock yet."""
    config = config_of(run)
    return Store.create(run, describe(config, tiny(), config.resources(MACHINE)))


def disturbing(run: str, task: str, epoch: int) -> Ending:
    """What a worker on a busy machine does: store a table that was disturbed."""
    assert task == str(CLOCK)
    signs = ("50% of the cores' time went to other processes",)
    Store.open(Path(run)).update_info(
        calibration=dataclasses.replace(made_up_costs(), tries=3, disturbances=signs)
    )
    return Ending.DONE


def failing(run: str, task: str, epoch: int) -> Ending:
    """What a worker does that cannot set the clock."""
    raise ValueError(f"nothing to measure for {task}")


def fenced(run: str, task: str, epoch: int) -> Ending:
    """What a worker does when another search has taken the run."""
    return Ending.FENCED


class Enough(Exception):  # noqa: N818 - raised where the session would begin
    """The clock is set."""


def set_clock(store: Store, entry: str, watcher: Remembering) -> None:
    """Drive the clock's task by the serial driver, with ``entry`` in the worker's place."""

    def no_session() -> SearchSession:
        raise Enough

    SerialDriver(store.path, entry=f"{__name__}:{entry}").drive(
        ClockFirst(store, watcher, no_session)
    )


def test_a_disturbed_clock_is_said(tmp_path: Path) -> None:
    """The warning has the number of tries, the sign and what to do.

    It is stored in run.json too.
    """
    store, watcher = _without(tmp_path / "run"), Remembering()
    with pytest.raises(Enough):
        set_clock(store, "disturbing", watcher)
    assert len(watcher.warnings) == 1
    assert "calibrated 3 times and never alone: 50% of the cores' time" in watcher.warnings[0]
    assert "start a new run" in watcher.warnings[0]
    stored = Store.open(store.path).info.calibration
    assert stored is not None
    assert stored.disturbances


def test_the_same_surroundings_pass(tmp_path: Path) -> None:
    """A table that was measured here, and one that does not say where: the search goes on."""
    for number, key in enumerate((HERE, {})):
        search_run = _store(tmp_path / str(number), **key).path
        frame = search(config_of(search_run, **ONE), Remembering()).trials
        assert frame["state"].tolist() == ["finished"]


@pytest.mark.parametrize("name", HERE)
def test_other_surroundings_are_refused(tmp_path: Path, name: str) -> None:
    """Another device or torch is bad input, before anything is trained.

    The message names both and says what to do.
    """
    run = _store(tmp_path / "run", **{**HERE, name: "another"}).path
    with pytest.raises(
        BadInput, match=rf"{name} another, and this is {name} .*start a new run"
    ) as failure:
        search(config_of(run, **ONE), Remembering())
    assert len(failure.value.faults) == 1
    assert Store.open(run).numbers() == []


@pytest.mark.parametrize("known", [False, True], ids=["calibrated", "checked"])
def test_a_clock_that_cannot_be_set_ends_the_search(tmp_path: Path, known: bool) -> None:
    """The worker fails: SearchFailed with its reason, and no session is built."""
    run = tmp_path / "run"
    store = _store(run, **HERE) if known else _without(run)
    verb = "checked" if known else "calibrated"
    with pytest.raises(
        SearchFailed, match=f"clock could not be {verb}: ValueError: nothing to measure for clock"
    ):
        set_clock(store, "failing", Remembering())


def test_a_search_that_lost_its_run_meanwhile_stops(tmp_path: Path) -> None:
    """Another search has taken the run while this one calibrated."""
    with pytest.raises(SearchFailed, match="another search holds"):
        set_clock(_without(tmp_path / "run"), "fenced", Remembering())


def test_nothing_runs_beside_the_clock(tmp_path: Path) -> None:
    """However many tasks the driver would take, it waits until the clock is set.

    Then the session begins.
    """
    store = _without(tmp_path / "run")
    source = ClockFirst(store, Remembering(), lambda: pytest.fail("the clock is not set"))
    assert source.ask() == CLOCK
    assert [source.ask() for _ in range(3)] == [Nothing.WAIT] * 3
    assert source.deadline(CLOCK) is None
    assert source.stop_reason is None


def test_ctrl_c_while_the_clock_is_set_stops_at_once(tmp_path: Path) -> None:
    """Nothing is trained yet that a worker should save."""
    source = ClockFirst(_without(tmp_path / "run"), Remembering(), lambda: pytest.fail("not set"))
    source.ask()
    with pytest.raises(KeyboardInterrupt):
        source.request_stop("stopped on request")
