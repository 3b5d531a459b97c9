"""A search over a real store with real training: its order, target and faults.

Interruptions change nothing.
"""

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
from tests.support.costs import two_rounds
from tests.support.searches import config_of, own_columns, prepared, search
from tests.support.watch import Remembering
from tuning.config.config import SearchConfig
from tuning.errors import Interrupted, SearchFailed
from tuning.findings.context import background_of
from tuning.findings.front import front
from tuning.findings.summary import summary
from tuning.report.machine import as_json
from tuning.session import plan
from tuning.session.conduct import STOPPED_BY_USER
from tuning.session.plan import make_study
from tuning.store.info import Target
from tuning.store.store import Store, history_of
from tuning.trial.outcome import Outcome, outcomes_of
from tuning.trial.task import Task
from tuning.trial.trial import FIRST_FRESH, TrialRecord


def fused(run: Path, trials: int = 12) -> SearchConfig:
    """A search that can be made to die anywhere, of whose trials after the baselines every second
    is a replicate.
    """
    return config_of(run, workload=fuse.NAME, trials=trials, replicates=0.5)


@pytest.fixture(scope="module")
def straight_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a search that nothing interrupted."""
    return search(fused(tmp_path_factory.mktemp("straight") / "run"), Remembering()).run


@pytest.fixture(scope="module")
def straight(straight_run: Path) -> pd.DataFrame:
    """Its table."""
    return Store.open(straight_run).frame()


def test_baselines_come_first_then_sampled(straight: pd.DataFrame) -> None:
    """Numbers are dense; full_update, its control, the known schedules, then what the sampler
    proposes, and a longer control after a trial that the control up to the baseline cannot price.
    """
    assert straight["number"].tolist() == list(range(12))
    assert straight["origin"].tolist() == [
        *(["baseline"] + ["control"] * 4 + ["enqueued"] * 3),
        *["sampled", "control", "sampled", "replicate"],
    ]
    assert straight["horizon"][9] == 1.5
    assert (straight["state"] == "finished").all()


def test_a_trial_that_ends_while_the_study_is_built_is_not_begun_again(
    straight_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker records it, and then forgets its task: looked up in that order it would be in
    neither, and a search that goes on through Ray gave its number to another task.
    """
    config = fused(tmp_path / "run")
    store, record = prepared(config), Store.open(straight_run).record(0)
    task, target = Task.trial(0), Target(record.val_loss or 0.0)
    spec = make_study(store, config, target).ask()
    assert spec is not None
    assert spec.number == 0
    store.begin(spec, task)

    def read_before_it_ends(store: Store) -> list[Outcome]:
        found = history_of(store)
        store.commit(task, record)
        store.end(task)
        return found

    monkeypatch.setattr(plan, "history_of", read_before_it_ends)
    following = make_study(store, config, target).ask()
    assert following is not None
    assert following.number == 1


def test_automatic_target_is_the_median_of_three_seeds(tmp_path: Path) -> None:
    """The three runs are in the trunk; their median is the target.

    Trials train on the seed that has it.
    """
    config = config_of(tmp_path / "run", trials=1)
    frame = search(config, Remembering()).trials
    references = Store.open(tmp_path / "run").references()
    losses = sorted(
        record.val_loss for record in references.values() if record.val_loss is not None
    )
    assert len(losses) == 3
    assert frame["target_loss"].tolist() == frame["val_loss"].tolist() == [losses[1]]
    assert frame["reached"].tolist() == [True]


def test_a_given_target_lets_the_first_suggestion_go_ahead(tmp_path: Path) -> None:
    """Then the trunk, which is no trial, and all others in their order."""
    options = {"space": "recipe", "objective": "time-to-quality", "trials": 3}
    heard = Remembering()
    with two_rounds():
        search(config_of(tmp_path / "given", target=1.0, **options), heard)
    begun = [(spec.origin, spec.recipe.is_control, spec.target_loss) for spec in heard.starts]
    assert begun[:2] == [("enqueued", False, 1.0), ("baseline", True, None)]
    assert [record.number for record in heard.records if record.target_loss] == [1, 0, 2]
    frame = Store.open(tmp_path / "given").frame()
    assert frame["number"].tolist() == [0, 1, 2]


@settings(deadline=None, max_examples=3)
@given(kills=st.lists(st.integers(1, 150), min_size=1, max_size=3))
def test_interrupted_equals_uninterrupted(straight: pd.DataFrame, kills: list[int]) -> None:
    """Property: a search that dies at any training steps ends with the very table of the straight
    one.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = fused(Path(folder) / "run")
        for steps in kills:
            with fuse.burning_after(steps):
                search(config, Remembering())
        frame = search(config, Remembering()).trials
    pd.testing.assert_frame_equal(own_columns(frame), own_columns(straight))


def test_extending_goes_on_where_it_was(straight: pd.DataFrame, tmp_path: Path) -> None:
    """Ten trials, the last a longer control, and then two more are the same twelve, whatever they
    forked from: a search that is done keeps few snapshots.
    """
    search(fused(tmp_path / "run", trials=10), Remembering())
    longer = search(fused(tmp_path / "run"), Remembering()).trials
    columns = ["forked_from_step"]
    pd.testing.assert_frame_equal(
        own_columns(longer).drop(columns=columns), own_columns(straight).drop(columns=columns)
    )


def test_replicates_are_schedules_of_the_front_on_other_seeds(straight: pd.DataFrame) -> None:
    """Each replicate has a twin on the front of the trials before it, on another seed.

    Without the replicates the front is the same.
    """
    again, own = (
        straight[straight["origin"] == "replicate"],
        straight[straight["origin"] != "replicate"],
    )
    assert (again["state"] == "finished").all()
    assert not set(again["seed"]) & set(own["seed"])
    assert ((again["seed"] > 0) & (again["seed"] < FIRST_FRESH)).all()
    assert (again["forked_from_step"] < again["steps"]).all(), (
        "they share a start with their own seed's trunk"
    )
    for run in outcomes_of(again):
        before = front(own[own["number"] < run.number])
        assert (run.recipe.policy, run.recipe.horizon, run.recipe.knobs) in [
            (o.recipe.policy, o.recipe.horizon, o.recipe.knobs) for o in outcomes_of(before)
        ]
    pd.testing.assert_frame_equal(front(straight), front(own))


def test_a_members_loss_over_seeds_is_read_from_the_run(
    straight_run: Path, straight: pd.DataFrame
) -> None:
    """The losses of its replicates, and its own, as the report for machines has them."""
    known = background_of(Store.open(straight_run))
    again = straight[straight["origin"] == "replicate"]
    assert sorted(loss for found in known.replicated.values() for loss in found) == sorted(
        again["val_loss"]
    )
    members = as_json(summary(straight, background=known))["front"]
    assert max(member["replicates"] for member in members) >= 1
    for member in members:
        seen = member["val_loss_over_seeds"]
        assert (
            seen is None if member["replicates"] == 0 else seen["seeds"] == member["replicates"] + 1
        )


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
    """A real SIGINT is sent during the search.

    It ends interrupted, with the command to go on, and what was finished is there.
    """
    run = tmp_path / "run"
    with pytest.raises(Interrupted, match=f"--resume {run}"):
        search(config_of(run, trials=6, target=1.0), StopsAfter(4, run))
    assert Store.open(run).numbers() == [0, 1, 2]
    assert not (run / "stop").exists()
    frame = search(config_of(run, trials=6, target=1.0), Remembering()).trials
    assert frame["number"].tolist() == list(range(6))


def test_failed_trial_is_a_record_with_its_reason(tmp_path: Path) -> None:
    """A loss that is not finite: the trial has failed, names the step, has no time to quality.

    The search goes on.
    """
    config = config_of(tmp_path / "run", workload="tests.support.tiny:nan_loss", trials=3)
    frame = search(config, Remembering()).trials.set_index("horizon")
    assert frame["state"].to_dict() == {1.0: "failed", 0.5: "finished", 0.625: "failed"}
    failed = frame[frame["state"] == "failed"]
    assert failed["error"].str.contains(f"at step {tiny.FAULT_STEP}").all()
    assert failed["seconds_to_quality"].isna().all()


def test_search_in_which_everything_fails_stops_early(tmp_path: Path) -> None:
    """After eight failures and no success the search says why and stops, keeping the records."""
    config = config_of(
        tmp_path / "run", workload="tests.tuning.session.test_session:no_memory", trials=30
    )
    with pytest.raises(SearchFailed, match=r"all of the first 8 trials failed.*MemoryError"):
        search(config, Remembering())
    assert len(Store.open(tmp_path / "run").numbers()) == 8


def test_full_update_that_fails_sets_no_target(tmp_path: Path) -> None:
    """Without a finished baseline there is no automatic target.

    The message has the reason and what to do.
    """
    config = config_of(
        tmp_path / "run", workload="tests.tuning.session.test_session:broken_without_target"
    )
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
    result = search(
        config_of(tmp_path / "run", trials=2, target=1.0, time_budget=0.001), Remembering()
    )
    assert result.stop_reason == "the time budget is used up"
    assert result.stop_reason != STOPPED_BY_USER
    assert len(search(config_of(tmp_path / "run", trials=2, target=1.0), Remembering()).trials) == 2
