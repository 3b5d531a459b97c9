"""A search over a real store with real training: its order, target, faults; interruptions change nothing."""

from __future__ import annotations

import dataclasses
import os
import signal
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.workload import Workload
from tests.support import fuse, tiny
from tests.support.searches import config_of, own_columns, search
from tests.support.watch import Remembering
from tuning.conduct import STOPPED_BY_USER
from tuning.errors import Interrupted, SearchFailed
from tuning.store import Store
from tuning.trial import TrialRecord


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The table of a search that nothing interrupted."""
    return search(config_of(tmp_path_factory.mktemp("straight") / "run", workload=fuse.NAME), Remembering()).trials


def test_baselines_come_first_then_sampled(straight: pd.DataFrame) -> None:
    """Numbers are dense; full_update, its control, the known schedules, then what the sampler proposes."""
    assert straight["number"].tolist() == list(range(12))
    assert straight["origin"].tolist() == ["baseline"] + ["control"] * 4 + ["enqueued"] * 3 + ["sampled"] * 4
    assert (straight["state"] == "finished").all()


def test_automatic_target_is_the_median_of_five_seeds(tmp_path: Path) -> None:
    """The five runs are in the trunk; their median is the target; trials train on the seed that has it."""
    config = config_of(tmp_path / "run", trials=1)
    frame = search(config, Remembering()).trials
    references = Store.open(tmp_path / "run").references()
    losses = sorted(record.val_loss for record in references.values() if record.val_loss is not None)
    assert len(losses) == 5
    assert frame["target_loss"].tolist() == frame["val_loss"].tolist() == [losses[2]]
    assert frame["reached"].tolist() == [True]


@settings(deadline=None, max_examples=8)
@given(kills=st.lists(st.integers(1, 150), min_size=1, max_size=3))
def test_interrupted_equals_uninterrupted(straight: pd.DataFrame, kills: list[int]) -> None:
    """Property: a search that dies at any training steps ends with the very table of the straight one."""
    with tempfile.TemporaryDirectory() as folder:
        config = config_of(Path(folder) / "run", workload=fuse.NAME)
        for steps in kills:
            with fuse.burning_after(steps):
                search(config, Remembering())
        frame = search(config, Remembering()).trials
    pd.testing.assert_frame_equal(own_columns(frame), own_columns(straight))


def test_extending_goes_on_where_it_was(straight: pd.DataFrame, tmp_path: Path) -> None:
    """Eight trials and then four more are the same twelve."""
    search(config_of(tmp_path / "run", workload=fuse.NAME, trials=8), Remembering())
    longer = search(config_of(tmp_path / "run", workload=fuse.NAME, trials=12), Remembering()).trials
    pd.testing.assert_frame_equal(own_columns(longer), own_columns(straight))


class StopsAfter(Remembering):
    """Asks the search to stop once ``trials`` records were written."""

    def __init__(self, trials: int, run: Path) -> None:
        super().__init__()
        self.left, self.run = trials, run

    def ended(self, record: TrialRecord) -> None:
        super().ended(record)
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)  # what Ctrl-C does


def test_ctrl_c_keeps_everything_and_says_how_to_go_on(tmp_path: Path) -> None:
    """A real SIGINT during the search: Interrupted with the command, and what was finished is there."""
    run = tmp_path / "run"
    with pytest.raises(Interrupted, match=f"--resume {run}"):
        search(config_of(run), StopsAfter(8, run))
    assert Store.open(run).numbers() == [0, 1, 2]
    assert not (run / "stop").exists()
    assert search(config_of(run), Remembering()).trials["number"].tolist() == list(range(12))


def test_failed_trial_is_a_record_with_its_reason(tmp_path: Path) -> None:
    """A loss that is not finite: the trial has failed, names the step, has no time to quality; the search goes on."""
    config = config_of(tmp_path / "run", workload="tests.support.tiny:nan_loss", trials=3)
    frame = search(config, Remembering()).trials.set_index("horizon")
    assert frame["state"].to_dict() == {1.0: "failed", 0.5: "finished", 0.625: "failed"}
    failed = frame[frame["state"] == "failed"]
    assert failed["error"].str.contains(f"at step {tiny.FAULT_STEP}").all()
    assert failed["seconds_to_quality"].isna().all()


def test_search_in_which_everything_fails_stops_early(tmp_path: Path) -> None:
    """After eight failures and no success the search says why and stops, keeping the records."""
    config = config_of(tmp_path / "run", workload="tests.tuning.test_session:no_memory", trials=30)
    with pytest.raises(SearchFailed, match=r"all of the first 8 trials failed.*MemoryError"):
        search(config, Remembering())
    assert len(Store.open(tmp_path / "run").numbers()) == 8


def test_full_update_that_fails_sets_no_target(tmp_path: Path) -> None:
    """Without a finished baseline there is no automatic target; the message has the reason and what to do."""
    config = config_of(tmp_path / "run", workload="tests.tuning.test_session:broken_without_target")
    with pytest.raises(SearchFailed, match=r"full_update must finish on every seed.*--target"):
        search(config, Remembering())


def no_memory() -> Workload:
    """Runs out of memory before the shortest horizon is spent."""
    return tiny.out_of_memory(at=2)


def broken_without_target() -> Workload:
    """Raises, and has an automatic target."""
    return dataclasses.replace(tiny.raises_at_step(), target="auto")


def test_time_budget_stops_and_is_no_fault(tmp_path: Path) -> None:
    """A budget of a millisecond: the search ends by itself, says why, and can go on."""
    result = search(config_of(tmp_path / "run", time_budget=0.001), Remembering())
    assert result.stop_reason == "the time budget is used up"
    assert result.stop_reason != STOPPED_BY_USER
    assert len(search(config_of(tmp_path / "run"), Remembering()).trials) == 12
