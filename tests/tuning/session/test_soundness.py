"""What an examination found is in run.json, is said, and is what the search does."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from models.workload import Workload
from tests.support import unsound
from tests.support.costs import made_up_costs
from tests.support.searches import config_of, own_columns, prepared, search
from tests.support.watch import Remembering
from tuning.errors import BadInput, Interrupted
from tuning.session.search import run_search
from tuning.store.info import RunInfo
from tuning.store.store import Store
from tuning.training import worker
from tuning.training.clock_tasks import examine_run
from tuning.trial.soundness import Finding, Soundness

ALONE = Soundness.of([Finding("going on", "its state is nowhere", "unforked")])
HERE = __name__


def stateful() -> Workload:
    """State that nobody can save: it trains alone."""
    return unsound.UNFORKED["an iterator's place"][0]()


def dependent() -> Workload:
    """State of the process: it is not trained."""
    return unsound.REFUSED["state of the process"][0]()


def test_forks_of_a_stateful_workload_are_what_they_are_without(tmp_path: Path) -> None:
    """The same table with forks and without them, though trials forked."""
    frames = []
    for name, forks in (("forked", True), ("straight", False)):
        config = config_of(
            tmp_path / name,
            workload="tests.support.stateful:everything",
            space="schedule",
            target=1.0,
            trials=9,
            forks=forks,
        )
        frames.append(search(config, Remembering()).trials)
    forked, straight = (own_columns(frame).drop(columns="forked_from_step") for frame in frames)
    assert (frames[0]["forked_from_step"] > 0).sum() >= 5
    pd.testing.assert_frame_equal(forked, straight)


def test_what_is_refused_leaves_nothing(tmp_path: Path) -> None:
    """A whole search, to the first worker's examination: one message, and no run directory."""
    config = config_of(tmp_path / "run", workload=f"{HERE}:dependent", target=1.0)
    with pytest.raises(BadInput, match=r"and is not saved: tests.support.unsound.CALLS"):
        run_search(config, watcher=Remembering())
    assert not list(tmp_path.iterdir())


def test_run_json_says_what_was_found(tmp_path: Path) -> None:
    """Written and read back; the run's trials share nothing and go on from nothing."""
    store = prepared(config_of(tmp_path / "run", workload=f"{HERE}:stateful", target=1.0))
    store.update_info(soundness=None)
    assert store.info.forks
    examine_run(store)
    info = RunInfo.from_json((tmp_path / "run" / "run.json").read_text())
    assert info.soundness is not None
    assert "is not saved: calls" in info.soundness.warnings[0]
    assert not info.forks
    assert not info.goes_on


def alone(run: Path, **options: Any) -> Any:
    """A search of a workload that trains alone, on made-up costs."""
    config = config_of(run, workload=f"{HERE}:stateful", target=1.0, trials=6, **options)
    if not run.exists():
        prepared(config).update_info(calibration=made_up_costs(), soundness=ALONE)
    return search(config, Remembering()).trials


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The table of such a search that nothing interrupted."""
    found: pd.DataFrame = alone(tmp_path_factory.mktemp("straight") / "run")
    return found


def test_trials_that_train_alone_are_what_they_are_without_forks(
    straight: pd.DataFrame, tmp_path: Path
) -> None:
    """The same table as with forks turned off, and no trial forked."""
    found, unforked = straight, alone(tmp_path / "b", forks=False)
    assert found["forked_from_step"].isna().all()
    assert own_columns(found).equals(own_columns(unforked))


def test_a_trial_that_was_stopped_begins_anew(
    straight: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stops a search within a trial and goes on with it: the table is the uninterrupted one's."""
    run, polls = tmp_path / "stopped", iter(range(1000))
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.0)
    count = Store.count_in_flight

    def stops(store: Store) -> int:
        if next(polls) == 60:
            signal.raise_signal(signal.SIGINT)
        return count(store)

    monkeypatch.setattr(Store, "count_in_flight", stops)
    with pytest.raises(Interrupted):
        alone(run)
    assert not list((run / "running").glob("*.pt"))
    assert len(Store.open(run).in_flight()) == 1
    assert own_columns(alone(run)).equals(own_columns(straight))
