"""A clock that was not calibrated alone is said so, and one that does not hold here stops a search that would go on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from tests.support.costs import made_up_costs
from tests.support.searches import config_of, prepared, search
from tests.support.watch import Remembering
from tuning.calibrate import surroundings
from tuning.conduct_clock import CHECK, calibrate, check_calibration
from tuning.driver_serial import SerialDriver
from tuning.errors import BadInput, SearchFailed
from tuning.store import Store

HERE = surroundings(torch.device("cpu"))


def _store(run: Path, **key: str) -> Store:
    store = prepared(config_of(run, trials=1))
    store.update_info(calibration=dataclasses.replace(made_up_costs(), key=key))
    return store


class Calibrating(SerialDriver):
    """Stores a table that was disturbed, as a worker on a busy machine would."""

    def alone(self, function: str, run: Path) -> None:
        signs = ("50% of the cores' time went to other processes",)
        Store.open(run).update_info(calibration=dataclasses.replace(made_up_costs(), tries=3, disturbances=signs))


def test_a_disturbed_clock_is_said(tmp_path: Path) -> None:
    """The warning has the number of tries, the sign and what to do; it is stored in run.json too."""
    store, watcher = prepared(config_of(tmp_path / "run")), Remembering()
    calibrate(Calibrating(store.path), store, watcher)
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
        frame = search(config_of(search_run, trials=1), Remembering()).trials
        assert frame["state"].tolist() == ["finished"]


@pytest.mark.parametrize("name", HERE)
def test_other_surroundings_are_refused(tmp_path: Path, name: str) -> None:
    """Another device or torch: bad input that names both and says what to do, before anything is trained."""
    run = _store(tmp_path / "run", **{**HERE, name: "another"}).path
    with pytest.raises(BadInput, match=rf"{name} another, and this is {name} .*start a new run") as failure:
        search(config_of(run, trials=1), Remembering())
    assert len(failure.value.faults) == 1
    assert Store.open(run).numbers() == []


def test_what_cannot_be_checked_ends_the_search(tmp_path: Path) -> None:
    """The worker fails for another reason: SearchFailed with it."""

    class Broken(SerialDriver):
        def alone(self, function: str, run: Path) -> None:
            assert function == CHECK
            super().alone("tests.support.source:fail", run)

    store = _store(tmp_path / "run", **HERE)
    with pytest.raises(SearchFailed, match="clock could not be checked: ValueError"):
        check_calibration(Broken(store.path), store)
