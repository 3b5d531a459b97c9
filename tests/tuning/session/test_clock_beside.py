"""A second search of a workload takes the clock of the first unasked, where it holds."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

import pytest

from models.device import run_device
from models.registry import find_workload
from models.workload import Workload
from tests.support.costs import made_up_costs
from tests.support.hosts import TICK, ScriptedHost
from tests.support.searches import MACHINE, TINY, config_of, prepared
from tests.support.watch import Remembering
from tuning.session import clock_beside
from tuning.session.clock_beside import MOST, clock_taken
from tuning.session.identity import identity_here
from tuning.session.other_runs import clock_faults
from tuning.session.search import resume_search, run_search
from tuning.store.store import Store
from tuning.training import clock_tasks
from tuning.training.calibration.calibrate import STEPS_IN_A_ROW, calibration_key
from tuning.trial.clock import CostTable

CALIBRATING = "calibrating the clock, alone on the device"
CHECKING = "checking that the clock holds here"


def clock(**changes: Any) -> CostTable:
    """A made-up clock that says it was calibrated here for trials of the tiny workload."""
    workload = find_workload(TINY)
    key = calibration_key(workload.make_model(0), workload, run_device(), threads=1)
    form = dataclasses.replace(made_up_costs(full_step=0.005), entry_seconds=0.01)
    table = dataclasses.replace(made_up_costs(), key=key, forms={"svd": form})
    return dataclasses.replace(table, **{**changes, "key": {**key, **changes.get("key", {})}})


def a_run(path: Path, costs: CostTable | None = None, **changes: Any) -> Path:
    """A run with that clock, on which nothing was trained yet."""
    prepared(config_of(path)).update_info(calibration=costs or clock(), **changes)
    return path


def taken(run: Path, **options: Any) -> Path | None:
    """Whose clock a search in ``run`` would take."""
    config = config_of(run, **options)
    return clock_taken(config, find_workload(config.workload), config.resources(MACHINE))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> CostTable:
    """What a calibration finds, at once."""
    found = clock(forms={}, data_seconds=0.002)
    monkeypatch.setattr(clock_tasks, "calibrate", lambda *_, **__: found)
    return found


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of which nothing can stray."""
    monkeypatch.setattr(clock_tasks, "strays", lambda store: False)


@pytest.mark.usefixtures("steady")
def test_it_is_taken_with_all_that_was_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is calibrated; whose it was is said, with the way out, and stands in run.json."""
    first, watcher = a_run(tmp_path / "first"), Remembering()
    run_search(config_of(tmp_path / "second", trials=1, target=1.0), watcher=watcher)
    info = Store.open(tmp_path / "second").info
    assert info.calibration == clock()
    assert (info.clock_from, info.config["clock"], info.timing_seconds) == (str(first), None, 0)
    said = capsys.readouterr().err
    assert f"clock: that of {first}, calibrated on fake device" in said
    assert "--clock new calibrates anew" in said
    assert CHECKING in watcher.phases
    assert CALIBRATING not in watcher.phases
    assert not any("anew" in note for note in watcher.notes)


@pytest.mark.usefixtures("steady")
def test_forms_that_were_not_timed_alone_are_not_taken(tmp_path: Path) -> None:
    """Unasked; whoever asks for a clock has it whole."""
    own = clock().forms["svd"]
    forms = {"svd": own, "muon 5": dataclasses.replace(own, disturbances=("company",))}
    first = a_run(tmp_path / "first", clock(forms=forms))
    for name, asked, known in (
        ("second", {}, {"svd"}),
        ("third", {"clock": str(first)}, {"svd", "muon 5"}),
    ):
        run_search(config_of(tmp_path / name, trials=1, target=1.0, **asked))
        costs = Store.open(tmp_path / name).info.calibration
        assert costs is not None
        assert costs.forms.keys() == known


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"data_seconds": -1.0}, "-1.0 s for a batch"),
        ({"step_seconds": {4: 0.0}}, "0.0 s for a step at depth 4"),
        ({"step_seconds": {1: 0.1}}, "no step at depth 4, a full one"),
        ({"forms": {"svd": clock(entry_seconds=-2.0)}}, "-2.0 s for an entry of the form 'svd'"),
        ({"baseline_step_seconds": 0.0}, "0.0 s for a step of the baseline"),
    ],
)
def test_one_that_no_device_has_is_not_taken(
    tmp_path: Path, changes: dict[str, Any], fault: str
) -> None:
    """Somebody edited it: unasked it is passed over, asked for it is refused with what is wrong."""
    edited = a_run(tmp_path / "edited", clock(**changes))
    assert taken(tmp_path / "second") is None
    (named,) = clock_faults(config_of(tmp_path / "second", clock=str(edited)))
    assert fault in named


def test_one_that_strays_is_calibrated_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: CostTable
) -> None:
    """No step of the tiny model takes an hour; the ratio is told."""
    monkeypatch.setattr(clock_tasks, "MOST_ELSEWHERE", math.inf)  # whatever runs beside the tests
    steps = dict.fromkeys(clock().step_seconds, 3600.0)
    a_run(tmp_path / "first", clock(step_seconds=steps))
    watcher = Remembering()
    run_search(config_of(tmp_path / "second", trials=1, target=1.0), watcher=watcher)
    info = Store.open(tmp_path / "second").info
    assert info.calibration == quick
    assert info.clock_from == ""
    assert info.timing_seconds > 0
    assert any("that clock does not hold by now" in note for note in watcher.notes)


@pytest.mark.parametrize(
    ("by_now", "elsewhere", "right"),
    [
        (1.0, [], False),
        (0.5, [], True),
        (2.0, [], True),
        (2.0, [0.5], True),  # in company first, and then alone
        (2.0, [0.5, 0.5, 0.5], False),  # never alone: it is believed
    ],
)
def test_whether_it_strays(
    tmp_path: Path, by_now: float, elsewhere: list[float], right: bool
) -> None:
    """On a machine that takes a tick for every lap, which is that many times the clock's."""
    then = TICK / STEPS_IN_A_ROW["cpu"] / by_now
    steps = dict.fromkeys(clock().step_seconds, then)
    store = Store.open(a_run(tmp_path / "first", clock(step_seconds=steps)))
    host = ScriptedHost(elsewhere=elsewhere)
    assert clock_tasks.strays(store, host) is right
    assert len(host.rests) == len(elsewhere)


@pytest.mark.usefixtures("steady")
def test_what_was_charged_by_it_stays_charged_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine is looked at before anything is trained, and not again."""
    a_run(tmp_path / "first")
    config = config_of(tmp_path / "second", trials=1, target=1.0)
    run_search(config, watcher=Remembering())
    monkeypatch.setattr(clock_tasks, "strays", lambda store: True)
    resume_search(Path(config.run), {"trials": 2}, watcher=Remembering())
    assert Store.open(Path(config.run)).info.calibration == clock()


def test_the_newest_that_holds(tmp_path: Path) -> None:
    """Of runs of the workload, whatever else lies beside them."""
    runs = [a_run(tmp_path / name) for name in ("b", "c", "a")]
    other = a_run(tmp_path / "other", clock(key={"fingerprint": "f00"}))
    for time, run in enumerate([*runs, other]):
        os.utime(run / "run.json", (time, time))
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "run.json").write_text("{")
    (tmp_path / "file").touch()
    assert taken(tmp_path / "new") == runs[-1]
    assert taken(tmp_path / "elsewhere" / "new") is None


def test_no_more_than_so_many_are_looked_at(tmp_path: Path) -> None:
    """A folder may hold thousands."""
    first = a_run(tmp_path / "first")
    os.utime(first / "run.json", (0, 0))
    for number in range(MOST):
        assert taken(tmp_path / "new") == first
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "run.json").touch()
    assert taken(tmp_path / "new") is None


def test_the_workload_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of its runs it was edited since: it takes seconds."""
    for name in ("a", "b", "c"):
        a_run(tmp_path / name, identity={"steps": 7})
    looks = []

    def counted(workload: Workload) -> dict[str, Any]:
        looks.append(workload)
        return identity_here(workload)

    monkeypatch.setattr(clock_beside, "identity_here", counted)
    assert taken(tmp_path / "new") is None
    assert len(looks) == 1


@pytest.mark.parametrize(
    ("costs", "changes"),
    [
        (clock(tries=3, disturbances=("half of the cores' time",)), {}),
        (clock(key={"workload": "other"}), {}),
        (clock(key={"threads": "2"}), {}),
        (clock(key={"device": "another"}), {}),
        (clock(key={"torch": "0.4"}), {}),
        (clock(num_blocks=8), {}),
        (made_up_costs(), {}),
        (clock(), {"version": "0.0.1"}),
        (clock(), {"version": "0.0.1", "identity": {"parameters": ["a"], "modules": 3}}),
        (clock(), {"identity": None}),
        (clock(), {"identity": {"steps": 7}}),
        (clock(), {"identity": {"parameters": 3, "modules": None}}),
        (clock(), {"soundness": None}),
    ],
    ids=str.split(
        "disturbed workload threads device torch blocks unknown version form older edited "
        "broken unexamined"
    ),
)
def test_one_that_may_not_hold_is_left(
    tmp_path: Path, costs: CostTable, changes: dict[str, Any]
) -> None:
    """Without a word: nobody asked for it."""
    a_run(tmp_path / "first", costs, **changes)
    assert taken(tmp_path / "second") is None


def test_what_is_asked_for_counts(tmp_path: Path) -> None:
    """A run by name, or none; a cluster's devices are not known."""
    first = a_run(tmp_path / "first")
    assert taken(tmp_path / "second") == first
    assert taken(tmp_path / "second", clock="new") is None
    assert taken(tmp_path / "second", clock=str(tmp_path / "x")) == tmp_path / "x"
    assert taken(tmp_path / "second", address="auto", driver="ray") is None


def test_new_is_no_run(tmp_path: Path, quick: CostTable) -> None:
    """It calibrates, and is no fault."""
    a_run(tmp_path / "first")
    config = config_of(tmp_path / "second", clock="new", trials=1, target=1.0)
    watcher = Remembering()
    run_search(config, watcher=watcher)
    assert CALIBRATING in watcher.phases
    info = Store.open(tmp_path / "second").info
    assert (info.config["clock"], info.clock_from) == ("new", "")
    assert info.calibration == quick
