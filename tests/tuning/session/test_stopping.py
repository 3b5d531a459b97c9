"""Early stopping where it happens.

It is tested in the worker, from and to the store, and over a whole search.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import fuse
from tests.support.searches import TINY, config_of, own_columns, search
from tests.support.stores import fresh_store, merging_by_three, record, spec
from tests.support.watch import Remembering
from tuning.findings.front import front
from tuning.findings.summary import summary
from tuning.findings.words import stopping_note
from tuning.store.info import Target
from tuning.store.lease import Lease
from tuning.store.retry import spec_of
from tuning.store.store import Store
from tuning.study.samplers.values import values_of
from tuning.study.stopping import stopping_of
from tuning.training import worker
from tuning.trial.outcome import outcomes_of
from tuning.trial.task import Ending, Task
from tuning.trial.trial import Limits, TrialRecord

TRIALS = 9


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a trunk and some trials that went to their ends."""
    folder = tmp_path_factory.mktemp("stopping")
    config = config_of(folder / "run", trials=TRIALS, target=1.0, sampler="random", workload=TINY)
    return search(config, Remembering()).run


@pytest.fixture(params=["repeats", "forks", "neither"])
def lease(run: Path, request: pytest.FixtureRequest) -> Iterator[Lease]:
    """The run, held; its trials take over one that was the same, or fork from the trunk, or train
    it all.
    """
    with Lease.acquire(run) as held:
        store = Store.open(run, epoch=held.epoch)
        store.update_info(config={**store.info.config, "forks": request.param != "neither"})
        runs = [*(run / "trunk").glob("trial-*.pt")] if request.param == "forks" else []
        for file in runs:
            file.rename(file.with_suffix(".away"))
        yield held
        for file in runs:
            file.with_suffix(".away").rename(file)


def limited(
    run: Path, lease: Lease, straight: TrialRecord, evaluation: int, *, runs_on: bool
) -> TrialRecord:
    """The trial again, under a new number, with a limit that just this evaluation crosses."""
    store = Store.open(run, epoch=lease.epoch)
    number, at = len(store.numbers()), straight.curve[evaluation].train_seconds
    limits = Limits((at * (1 - 1e-9), at * (1 + 1e-9)), (-1.0, -1.0), runs_on)
    store.begin(dataclasses.replace(spec_of(straight), number=number), limits=limits)
    assert worker.execute(str(run), str(number), lease.epoch) is Ending.DONE
    assert store.count_in_flight() == 0
    return store.record(number)


def comparable(record: TrialRecord, **changes: Any) -> TrialRecord:
    """The record without its number and what depends on when it ran and where it forked."""
    around = {
        "number": 0,
        "started_at": None,
        "finished_at": None,
        "wall_seconds": None,
        "measured_seconds": None,
    }
    return dataclasses.replace(
        record, **{**around, "co_residents": None, "forked_from_step": None, **changes}
    )


@pytest.mark.parametrize("number", [5, TRIALS - 1])
def test_stopped_trial_is_the_beginning_of_the_straight_one(
    run: Path, lease: Lease, number: int
) -> None:
    """A trial is stopped at any evaluation but the last, on the trunk or off it.

    Curve and decisions so far are the same, and it claims no more.
    """
    straight = Store.open(run).record(number)
    for last, end in enumerate(straight.curve[:-1]):
        record = limited(run, lease, straight, last, runs_on=False)
        assert record.state == "stopped"
        assert record.curve == straight.curve[: last + 1]
        assert record.decisions == tuple(
            each for each in straight.decisions if each.step < end.step
        )
        assert (record.steps, record.train_seconds, record.val_loss) == (
            end.step,
            end.train_seconds,
            end.val_loss,
        )
        unknown = (
            record.reached,
            record.seconds_to_quality,
            record.would_stop_at_step,
            record.error,
        )
        assert unknown == (None, None, None, None)


def test_trial_that_runs_on_is_the_straight_one_and_says_where_it_would_have_ended(
    run: Path, lease: Lease
) -> None:
    """Nothing but the one column differs."""
    straight = Store.open(run).record(TRIALS - 1)
    record = limited(run, lease, straight, 1, runs_on=True)
    assert comparable(record) == comparable(straight, would_stop_at_step=straight.curve[1].step)


def test_limits_stay_with_the_task() -> None:
    """They are there after any number of executions, for the worker that goes on."""
    limits = Limits((1.0, 2.0), (3.0, 2.5), runs_on=True)
    with fresh_store() as store:
        store.begin(spec(0), limits=limits)
        store.begin(spec(1))
        store.started(Task.trial(0))
        assert store.started(Task.trial(0)) == 2
        assert [task.limits for task in store.in_flight()] == [limits, None]


@given(numbers=st.sets(st.integers(0, 15)))
@settings(max_examples=8)
def test_some_records_are_read_by_number(numbers: set[int]) -> None:
    """Property: those of all that have these numbers, whichever files they are in."""
    with merging_by_three(), fresh_store() as store:
        for number in range(11):
            store.append(record(number))
        while store.compact():
            pass
        assert store.records(numbers) == [
            each for each in store.records() if each.number in numbers
        ]


def test_with_time_to_quality_the_target_is_good_enough(run: Path) -> None:
    """A trial is then not held against a front below the target.

    With stopping turned off there is no rule.
    """
    store, next_trial = (
        Store.open(run),
        dataclasses.replace(spec(99), recipe=dataclasses.replace(spec(99).recipe, horizon=0.9)),
    )
    above = max(record.curve[0].val_loss for record in store.records())
    found = []
    for objective in ("pareto", "time-to-quality"):
        config = config_of(run, stop_confidence=0.5, objective=objective)
        rule = stopping_of(store, config, Target(above), baseline_seconds=0.2)
        assert rule is not None
        found.append(rule.limits(next_trial))
    pareto, on_the_way = found
    assert pareto is not None
    assert on_the_way is not None
    assert all(low < high for low, high in zip(pareto.losses, on_the_way.losses, strict=True))
    assert stopping_of(store, config_of(run, stop_confidence=None), Target(above), 0.2) is None


def stopping_config(folder: Path) -> Any:
    """A search that stops much: low confidence, random knobs."""
    options = {
        "trials": 9,
        "sampler": "random",
        "seed": 2,
        "stop_confidence": 0.5,
        "replicates": 0.0,
    }
    return config_of(folder / "run", workload=fuse.NAME, **options)


@pytest.fixture(scope="module")
def straight_search(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Its table when nothing interrupts it."""
    return search(stopping_config(tmp_path_factory.mktemp("straight")), Remembering()).trials


def test_a_search_stops_trials_and_lets_some_run_on(straight_search: pd.DataFrame) -> None:
    """Both occur; no stopped trial is on the front, has reached anything or is better for the
    sampler than another.
    """
    stopped = straight_search[straight_search["state"] == "stopped"]
    assert len(stopped) > 0
    assert straight_search["would_stop_at_step"].notna().any()
    assert not set(stopped["number"]) & set(front(straight_search)["number"])
    assert stopped["reached"].isna().all()
    assert stopped["seconds_to_quality"].isna().all()
    assert stopping_note(summary(straight_search)).startswith(f"{len(stopped)} trial")


def test_a_stopped_trial_is_worse_than_every_finished_one_for_the_sampler(
    straight_search: pd.DataFrame,
) -> None:
    """On both objectives, in every value."""
    outcomes = outcomes_of(straight_search)
    for objective in ("pareto", "time-to-quality"):
        values = list(zip(outcomes, values_of(outcomes, objective), strict=True))
        worst = [
            max(column)
            for column in zip(*(v for o, v in values if o.state == "finished"), strict=True)
        ]
        for outcome, value in values:
            if outcome.state == "stopped":
                assert all(own > limit for own, limit in zip(value, worst, strict=True))


def test_killed_again_and_again_equals_uninterrupted(
    straight_search: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed every thirteen training steps, and going on from a checkpoint of the last, it ends
    with the same table.
    """
    frame, kills = None, 0
    with fuse.burning_after(110):
        search(stopping_config(tmp_path), Remembering())
    for name, value in (
        ("POLL_SECONDS", 0.0),
        ("CHECKPOINT_SECONDS", 0.0),
        ("CHECKPOINT_SHARE", 1e9),
    ):
        monkeypatch.setattr(worker, name, value)
    while frame is None:
        kills += 1
        with fuse.burning_after(13):
            frame = search(stopping_config(tmp_path), Remembering()).trials
    assert kills > 3
    pd.testing.assert_frame_equal(own_columns(frame), own_columns(straight_search))
