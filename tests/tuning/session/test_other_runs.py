"""A search that takes another run's clock charges as that did.

A clock that does not hold for it is refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from models.device import device_name, run_device
from models.registry import find_workload
from tests.support import tiny
from tests.support.costs import made_up_costs
from tests.support.searches import TINY, config_of, own_columns, prepared, search
from tests.support.watch import Remembering
from tuning.errors import BadInput
from tuning.search import main
from tuning.session.calibrations import disturbed
from tuning.session.conduct import SearchResult
from tuning.session.search import (
    fitted_as_there,
    fitted_to_device,
    resume_search,
    run_search,
)
from tuning.store.info import Memory
from tuning.store.store import Store
from tuning.training.calibration.calibrate import calibration_key
from tuning.trial.clock import CostTable

MEMORY = Memory(free_bytes=2**30, trial_bytes=2**20)
NINE: dict[str, Any] = {"trials": 9, "target": 1.0}


def clock(**changes: Any) -> CostTable:
    """A fake device's clock that says it was calibrated here for trials of the tiny workload.

    ``key`` adds to what it says of the calibration.
    """
    workload = find_workload(TINY)
    key = calibration_key(workload.make_model(0), workload, run_device(), threads=1) | changes.pop(
        "key", {}
    )
    form = dataclasses.replace(made_up_costs(full_step=0.005), entry_seconds=0.01)
    return dataclasses.replace(made_up_costs(), **{"key": key, "forms": {"svd": form}, **changes})


def a_run(path: Path, costs: CostTable | None = None, **options: Any) -> Path:
    """A run with that clock, on which nothing was trained yet."""
    prepared(config_of(path, **options)).update_info(calibration=costs or clock(), memory=MEMORY)
    return path


DISTURBED = clock(tries=3, disturbances=("50% of the cores' time went to other processes",))


@dataclasses.dataclass(frozen=True)
class Taken:
    """A search with the clock of another; to be copied, not changed.

    Attributes:
        whose: the other one's result.
        result: its own.
        phases: what its watcher was told it does.
        said: what stood on the terminal.
    """

    whose: SearchResult
    result: SearchResult
    phases: list[str]
    said: str


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Taken:
    """Nine trials, and the same nine with their clock, which was not calibrated alone."""
    folder, watcher = tmp_path_factory.mktemp("taken"), Remembering()
    whose = search(config_of(a_run(folder / "a", DISTURBED), **NINE), Remembering())
    with contextlib.redirect_stderr(io.StringIO()) as said:
        config = config_of(folder / "b", clock=str(whose.run), **NINE)
        result = run_search(config, watcher=watcher)
    return Taken(whose, result, watcher.phases, said.getvalue())


@pytest.fixture
def run(taken: Taken, tmp_path: Path) -> Path:
    """A copy of the search with the other's clock."""
    return Path(shutil.copytree(taken.result.run, tmp_path / "run"))


def test_the_same_search_with_the_same_clock_has_the_same_table(taken: Taken) -> None:
    """Every column, forks among them, though nothing was calibrated."""
    assert "calibrating the clock, alone on the device" not in taken.phases
    assert "checking that the clock holds here" in taken.phases
    one, other = (own_columns(result.trials) for result in (taken.whose, taken.result))
    assert one["forked_from_step"].notna().any()
    assert one.equals(other)


def test_what_its_space_could_not_have_is_known_with_the_clock(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The space is the one that trying everything again leaves, and is said to be that."""
    first = fitted_to_device(config_of(tmp_path / "a", space="sparsity"), tiny.tiny())
    prepared(first).update_info(calibration=clock())
    config = config_of(tmp_path / "b", space="sparsity", clock=str(tmp_path / "a"), trials=1)
    capsys.readouterr()
    known = fitted_as_there(config, tmp_path / "a")
    assert known is not None
    assert known.search_space() == fitted_to_device(config, tiny.tiny()).search_space()
    assert known.device_choices == first.device_choices == {"approximation": ["hidden_units"]}
    assert "as in " in capsys.readouterr().err
    knobs = {"approximation": {"choices": ["two_four", "hidden_units"]}}
    for other in ({"knobs": knobs}, {"space": "low_rank"}, {"address": "auto", "driver": "ray"}):
        assert fitted_as_there(dataclasses.replace(config, **other), tmp_path / "a") is None
    assert fitted_as_there(config, None) is None


def test_a_worker_on_another_machine_ends_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is checked where it holds, and the trials begin on a machine with another
    processor: one message names both, and none of them is recorded as failed.
    """
    run = a_run(tmp_path / "a", trials=3, target=1.0)
    other = {"device": "another processor", "torch": torch.__version__}
    monkeypatch.setattr("tuning.training.worker.surroundings", lambda device: other)
    with pytest.raises(BadInput, match="machines of a cluster must be alike") as failure:
        resume_search(run, watcher=Remembering())
    assert device_name(run_device()) in str(failure.value)
    assert "another processor" in str(failure.value)
    monkeypatch.undo()
    assert list(resume_search(run, watcher=Remembering()).trials["state"]) == ["finished"] * 3


def test_run_json_holds_the_clock_and_whose_it_was(taken: Taken, run: Path) -> None:
    """The calibration is taken with its forms, device and memory.

    The run goes on when the other one is gone.
    """
    info, whose = Store.open(run).info, taken.whose.run
    assert (info.calibration, info.device, info.memory) == (DISTURBED, "fake device", MEMORY)
    assert info.config["clock"] == str(whose)
    assert f"clock: that of {whose}, calibrated on fake device" in taken.said
    gone = whose.rename(whose.with_name("gone"))
    try:
        assert len(resume_search(run, {"trials": 10}, watcher=Remembering()).trials) == 10
    finally:
        gone.rename(whose)


def test_a_clock_that_was_not_calibrated_alone_is_taken_with_a_warning(taken: Taken) -> None:
    """The words are those of its own calibration."""
    assert f"warning: {disturbed(DISTURBED)}" in taken.said


@pytest.mark.parametrize(
    ("costs", "options", "words"),
    [
        (
            clock(key={"workload": "other"}),
            {},
            ["for workload other, and this search has workload tiny: name another"],
        ),
        (clock(key={"fingerprint": "f00"}), {}, ["fingerprint f00", "has fingerprint tiny"]),
        (
            clock(key={"threads": "2"}),
            {},
            ["threads 2, and this search has threads 1: give --cpus-per-trial 2, or"],
        ),
        (clock(key={"device": "another"}), {}, ["device another"]),
        (clock(key={"torch": "0.4"}), {}, ["torch 0.4", f"torch {torch.__version__}"]),
        (clock(key={"dtype": "float64"}), {}, ["dtype float64, and this search has dtype float32"]),
        (
            clock(key={"matmul precision": "high"}),
            {},
            ["matmul precision high, and this search has"],
        ),
        (
            clock(num_blocks=8, step_seconds={1: 0.1, 8: 0.2}),
            {},
            ["blocks 8, and this search has blocks 4"],
        ),
        (
            clock(key={"threads": "2", "torch": "0.4"}),
            {},
            ["threads 2", "torch 0.4", "name another run"],
        ),
        (
            clock(),
            {"workload": "tests.support.tiny:nan_loss"},
            ["workload tiny, fingerprint tiny", "nan_loss"],
        ),
        (clock(key={"threads": "2"}), {"address": "auto", "driver": "ray"}, ["threads 2"]),
    ],
)
def test_a_clock_of_something_else_is_refused(
    tmp_path: Path, costs: CostTable, options: dict[str, Any], words: list[str]
) -> None:
    """One message with what differs, then and now, and what to do; no directory is made."""
    other = a_run(tmp_path / "a", costs)
    config = config_of(tmp_path / "b", clock=str(other), **options)
    with pytest.raises(BadInput, match="clock holds for this search") as failure:
        run_search(config, watcher=Remembering())
    assert len(failure.value.faults) == 1
    assert all(word in failure.value.faults[0] for word in [*words, str(other), "or leave it out"])
    assert list(tmp_path.iterdir()) == [other]


def test_a_clock_of_another_version_is_refused(tmp_path: Path) -> None:
    """What a step takes may be another there."""
    other = Store.open(a_run(tmp_path / "a"))
    other.update_info(version="0.0.1")
    with pytest.raises(BadInput, match=r"calibrated for version 0\.0\.1"):
        run_search(config_of(tmp_path / "b", clock=str(other.path)))
    assert list(tmp_path.iterdir()) == [other.path]


def no_model() -> Any:
    """The tiny workload, whose model can no longer be made."""

    def make_model(seed: int) -> torch.nn.Module:
        raise RuntimeError("no weights")

    return dataclasses.replace(find_workload(TINY), make_model=make_model)


def test_a_model_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """It has to be, to be compared."""
    other = a_run(tmp_path / "a")
    with pytest.raises(BadInput, match="cannot be trained: RuntimeError: no weights"):
        run_search(config_of(tmp_path / "b", clock=str(other), workload=f"{__name__}:no_model"))
    assert list(tmp_path.iterdir()) == [other]


def test_what_has_no_clock_is_refused_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Naming no run, or a run before its calibration, ends with status 2.

    All other faults are in the same message, and nothing is made.
    """
    early = a_run(tmp_path / "early")
    Store.open(early).update_info(calibration=None)
    for other, words in [
        (tmp_path / "nowhere", "--clock must name the directory of a search"),
        (
            early,
            f"--clock must name a run whose clock is calibrated, but that of {early} is not: wait",
        ),
    ]:
        assert (
            main(
                [
                    "--run",
                    str(tmp_path / "b"),
                    "--workload",
                    TINY,
                    "--trials",
                    "0",
                    "--clock",
                    str(other),
                ]
            )
            == 2
        )
        err = capsys.readouterr().err
        assert words in err
        assert "trials >= 1" in err
        assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == [early]


def test_a_run_keeps_its_clock(taken: Taken, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another one on resuming is refused, and the run untouched.

    The one it has may be named again.
    """
    before, whose = (run / "run.json").read_bytes(), str(taken.whose.run)
    assert main(["--resume", str(run), "--clock", str(run)]) == 2
    assert f"must keep its clock, which was '{whose}', but got '{run}'" in capsys.readouterr().err
    assert (run / "run.json").read_bytes() == before
    assert main(["--resume", str(run), "--clock", whose, "--trials", "10"]) == 0
    assert Store.open(run).info.calibration == DISTURBED
