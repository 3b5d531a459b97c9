"""Trials not trained twice: what is taken over is, bit for bit, what training would have given."""

from __future__ import annotations

import tempfile
from dataclasses import fields, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.levers.approximation import Approximation
from models.levers.levers import NO_LEVERS, Levers
from policies.registry import make_policy
from policies.rules import Scalar
from tests.support import tiny
from tests.support.costs import made_up_costs
from tests.support.faulty_files import Crash, CrashingFiles
from tests.support.searches import HAPPENSTANCE, TINY, config_of, own_columns, prepared, search
from tests.support.watch import Remembering
from tuning.config.config import SearchConfig
from tuning.store.lease import Lease
from tuning.store.store import Store
from tuning.training import finished_runs, trunk
from tuning.training.checkpoint import save_checkpoint
from tuning.training.finished_runs import RunRecorder, find_repeated, run_file
from tuning.training.loop import TrainingRun, timetable
from tuning.training.worker import execute
from tuning.trial.recipe import Recipe
from tuning.trial.record import Measurements
from tuning.trial.replay import FinishedRun, Schedule, repeats
from tuning.trial.task import Ending
from tuning.trial.trial import Limits, TrialRecord, TrialSpec

WORKLOAD = replace(tiny.tiny(steps=20), metrics=tiny.METRICS)
COSTS = made_up_costs()
TIMES = timetable(WORKLOAD)
HORIZON = 0.8
SETTINGS: dict[str, st.SearchStrategy[Scalar]] = {
    "threshold": st.sampled_from([0.0, 0.1, 0.9]),
    "levels": st.sampled_from([1, 2, 4]),
    "probe_every": st.sampled_from([4, 7]),
    "freeze_start": st.sampled_from([0.2, 0.3, 0.8]),
    "recovery": st.sampled_from([0.0, 0.2]),
    "ema_beta": st.sampled_from([0.5, 0.9]),
    "gate": st.booleans(),
    "stability_window": st.just(3),
    "stability_change": st.sampled_from([0.1, 10.0]),
    "stability_variation": st.just(10.0),
    "adaptive": st.booleans(),
    "budget_lower": st.sampled_from([0.0, 1.0]),
    "budget_upper": st.sampled_from([1.0, 10.0]),
    "relevance": st.sampled_from(["ratio", "saliency"]),
    "moments_on_thaw": st.sampled_from(["keep", "reset"]),
}
"""Few values each, of which many come to the same plans.

Budgets that never move, a gate that opens early.
"""
Knobs = dict[str, Scalar]


def spec_of(knobs: Knobs, number: int = 0, seed: int = 3, horizon: float = HORIZON) -> TrialSpec:
    return TrialSpec(number, "sampled", "tiny", Recipe("dynamic_suffix", horizon, knobs), seed)


@lru_cache(maxsize=64)
def trained(settings: tuple[tuple[str, Scalar], ...]) -> tuple[Measurements, FinishedRun]:
    """What training with these settings gives, and its recording, stopped once on the way and gone
    on with.
    """
    schedule = Schedule(make_policy("dynamic_suffix", dict(settings)), NO_LEVERS, 3, HORIZON)
    with tempfile.TemporaryDirectory() as folder:
        file = run_file(Path(folder), 0)
        first = run_of(schedule, RunRecorder(file, spec_of(dict(settings))))
        for _ in range(7):
            first.advance()
        second = run_of(schedule, RunRecorder(file, spec_of(dict(settings))))
        second.load_state_dict(first.state_dict())
        while not second.finished:
            second.advance()
        assert isinstance(second.recorder, RunRecorder)
        measured = second.measurements()
        evaluations = {point.step: point.val_loss for point in measured.curve}
        heard = second.recorder
        return measured, FinishedRun(
            schedule, heard.losses, heard.relevance, evaluations, measured.metrics
        )


def run_of(schedule: Schedule, recorder: RunRecorder | None) -> TrainingRun:
    device = next(tiny.make_model(0).parameters()).device
    return TrainingRun(
        WORKLOAD,
        schedule.policy,
        seed=schedule.seed,
        horizon=schedule.horizon,
        costs=COSTS,
        device=device,
        recorder=recorder,
    )


def key(knobs: Knobs) -> tuple[tuple[str, Scalar], ...]:
    return tuple(sorted(knobs.items()))


@settings(deadline=None, max_examples=8)
@given(st.fixed_dictionaries(SETTINGS), st.data())
def test_a_repeated_run_is_what_training_gives(knobs: Knobs, data: st.DataObject) -> None:
    """Property, over pairs of random settings that often plan alike: ledger, decisions, losses
    agree to the last bit.

    And the other way round: what is not taken over made other decisions, or thaws its blocks in
    another way.
    """
    changed = data.draw(st.sets(st.sampled_from(sorted(SETTINGS)), max_size=3))
    other = {
        name: data.draw(SETTINGS[name]) if name in changed else value
        for name, value in knobs.items()
    }
    (_, run), (expected, _) = trained(key(knobs)), trained(key(other))
    schedule = Schedule(make_policy("dynamic_suffix", other), NO_LEVERS, 3, HORIZON)
    end = repeats(schedule, run, TIMES, COSTS)
    if end is not None:
        taken = run_of(schedule, None)
        taken.fork(end, None)
        assert taken.measurements() == expected
        assert taken.finished
    else:
        reason = [other[name] != knobs[name] for name in ("moments_on_thaw", "relevance")]
        assert expected != trained(key(knobs))[0] or any(reason)


PLAIN: Knobs = {"threshold": 0.1, "probe_every": 4, "freeze_start": 0.2, "recovery": 0.2}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"seed": 4}, False),
        ({"horizon": 0.7}, False),
        ({"levers": Levers(Approximation(approximation="svd", approximation_share=0.5))}, False),
    ],
    ids=["nothing", "seed", "horizon", "levers"],
)
def test_only_the_same_seed_horizon_and_levers(change: dict[str, Any], same: bool) -> None:
    """One thing differs at a time; the policy is the same one."""
    run = trained(key(PLAIN))[1]
    assert (repeats(replace(run.schedule, **change), run, TIMES, COSTS) is not None) is same


@pytest.mark.parametrize(
    ("settings", "same"), [(PLAIN, False), ({**PLAIN, "threshold": 1.0}, True)]
)
def test_how_blocks_thaw_counts_where_some_froze(settings: Knobs, same: bool) -> None:
    """With threshold 1 nothing ever freezes, so that nothing thaws.

    With 0.1 blocks do, and reset moments matter.
    """
    run = trained(key(settings))[1]
    policy = make_policy("dynamic_suffix", {**settings, "moments_on_thaw": "reset"})
    assert (repeats(replace(run.schedule, policy=policy), run, TIMES, COSTS) is not None) is same


def written(folder: Path, number: int, knobs: Knobs) -> RunRecorder:
    """A finished run's file, as a worker leaves it."""
    measured, run = trained(key(knobs))
    recorder = RunRecorder(run_file(folder, number), spec_of(knobs, number), list(run.losses))
    recorder.relevance = {step: tuple(scores) for step, scores in run.relevance.items()}
    recorder.finish(measured)
    return recorder


def test_a_trial_to_be_stopped_ends_where_it_is_stopped(tmp_path: Path) -> None:
    """The rule stops at step 10.

    The end taken over is the run's up to there, and it is not finished.
    """
    written(tmp_path, 0, PLAIN)

    def stops_at(curve: Any) -> int | None:
        return next((point.step for point in curve if point.step >= 10), None)

    whole = find_repeated(tmp_path, spec_of(PLAIN, 1), TIMES, COSTS, lambda curve: None)
    end = find_repeated(tmp_path, spec_of(PLAIN, 1), TIMES, COSTS, stops_at)
    assert whole is not None
    assert end is not None
    assert (end.step, end.finished, whole.finished) == (10, False, True)
    assert (set(end.course["metrics"]), set(whole.course["metrics"])) == (set(), set(tiny.METRICS))
    assert list(end.course["curve"]) == [
        point for point in whole.course["curve"] if point["step"] <= 10
    ]


def test_a_run_of_other_own_knobs_is_not_repeated(tmp_path: Path) -> None:
    """The same decisions, of a workload with another dropout: only the same dropout repeats it."""
    measured, run = trained(key(PLAIN))
    recorder = RunRecorder(run_file(tmp_path, 0), spec_of(PLAIN | {"dropout": 0.25}, 0))
    recorder.losses = list(run.losses)
    recorder.relevance = {step: tuple(scores) for step, scores in run.relevance.items()}
    recorder.finish(measured)

    def found(**own: Scalar) -> bool:
        spec = spec_of(PLAIN | own, 1)
        return find_repeated(tmp_path, spec, TIMES, COSTS, lambda curve: None) is not None

    assert found(dropout=0.25)
    assert not found()
    assert not found(dropout=0.125)
    assert not found(dropout=0.25, width=32)


def test_a_file_that_is_torn_is_no_run(tmp_path: Path) -> None:
    """Its content is cut: the trial is trained."""
    file = written(tmp_path, 0, PLAIN).file
    file.write_bytes(file.read_bytes()[:100])
    assert find_repeated(tmp_path, spec_of(PLAIN, 1), TIMES, COSTS, lambda curve: None) is None


@pytest.mark.parametrize("bound", ["MOST_RUNS", "DISK_BYTES"])
def test_the_newest_runs_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    """Twelve runs, of which three fit: the last three files are left, by number and not by name."""
    size = written(tmp_path, 0, PLAIN).file.stat().st_size
    monkeypatch.setattr(finished_runs, bound, 3 if bound == "MOST_RUNS" else 3 * size + 100)
    for number in range(1, 12):
        written(tmp_path, number, PLAIN)
    assert {path.name for path in tmp_path.iterdir()} == {
        "trial-9.pt",
        "trial-10.pt",
        "trial-11.pt",
    }


NEVER_BITES = {
    "horizon": 0.4,
    "ema_beta": 0.9,
    "threshold": 0.5,
    "min_active": 0.25,
    "max_active": 1.0,
    "levels": 4,
    "probe_every": 5,
    "freeze_start": 0.2,
    "gate": False,
    "adaptive": True,
    "budget_upper": 10.0,
    "budget_lower": 0.0,
    "recovery": 0.1,
    "relevance": "ratio",
    "moments_on_thaw": "keep",
}
"""What is left to search moves a budget that never moves.

Every sampled trial is the first one again.
"""


def coinciding(run: Path, **options: Any) -> SearchConfig:
    return config_of(
        run,
        target=0.5,
        trials=10,
        sampler="random",
        knobs=NEVER_BITES,
        stop_confidence=None,
        **options,
    )


def test_a_search_trains_no_decisions_twice(tmp_path: Path) -> None:
    """Sampled trials after the first are taken over whole.

    The table is that of a search that trains them all.
    """
    run = tmp_path / "shared"
    shared = search(coinciding(run, replicates=0.0), Remembering()).trials
    trained_all = search(
        coinciding(tmp_path / "all", replicates=0.0, forks=False), Remembering()
    ).trials
    sampled = shared[shared["origin"] == "sampled"]
    assert (sampled["forked_from_step"].iloc[1:] == sampled["steps"].iloc[1:]).all()
    assert sampled["measured_seconds"].iloc[1:].isna().all()
    assert trained_all["forked_from_step"].isna().all()
    columns = ["forked_from_step"]
    pd.testing.assert_frame_equal(
        own_columns(shared).drop(columns=columns), own_columns(trained_all).drop(columns=columns)
    )
    left = {path.name for path in (run / "trunk").glob("trial-*.pt")}
    first = int(sampled["number"].iloc[0])
    assert f"trial-{first}.pt" in left
    assert not left & {f"trial-{number}.pt" for number in sampled["number"].iloc[1:]}


def test_a_worker_stops_a_repeated_trial_where_training_would(tmp_path: Path) -> None:
    """The limits are such that the finished run crosses them at step 10.

    The run is stopped there without a step, with the record that training would give.
    """
    limits = Limits(seconds=(0.0, 0.055, 0.06, 9.0), losses=(99.0, 99.0, 0.0, 0.0), runs_on=False)
    found = {}
    for forks in (True, False):
        store = prepared(config_of(tmp_path / str(forks), forks=forks))
        with Lease.acquire(store.path) as lease:
            for number, given in enumerate((None, limits)):
                store.begin(replace(spec_of(PLAIN, number), workload=TINY), limits=given)
                assert execute(str(store.path), str(number), lease.epoch) is Ending.DONE
        found[forks] = store.record(1)
    taken, trained = found[True], found[False]
    assert (taken.state, taken.steps, taken.forked_from_step) == ("stopped", 10, 10)
    assert taken.measured_seconds is None
    names = [
        field.name
        for field in fields(TrialRecord)
        if field.name not in {*HAPPENSTANCE, "forked_from_step"}
    ]
    assert [getattr(taken, name) for name in names] == [getattr(trained, name) for name in names]


def small(run: Path) -> SearchConfig:
    return config_of(run, target=0.5, trials=3)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """A small search that nothing interrupted."""
    return search(small(tmp_path_factory.mktemp("straight") / "run"), Remembering()).trials


@pytest.mark.parametrize("calls", [2, 95, 113])
def test_a_kill_while_a_snapshot_is_written(
    straight: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    """The process dies between two system calls of a snapshot, or of a trunk's or a run's record.

    The table is the same.
    """
    with monkeypatch.context() as patch:
        dying = partial(save_checkpoint, files=CrashingFiles(calls, torn=0.5))
        patch.setattr(trunk, "save_checkpoint", dying)
        patch.setattr(finished_runs, "save_checkpoint", dying)
        with pytest.raises(Crash):
            search(small(tmp_path / "run"), Remembering())
    frame = search(small(tmp_path / "run"), Remembering()).trials
    pd.testing.assert_frame_equal(own_columns(frame), own_columns(straight))
    assert not list((tmp_path / "run").rglob("*.tmp"))
    assert Store.open(tmp_path / "run").scan() == []
