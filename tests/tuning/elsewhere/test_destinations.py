"""Every destination, told the trials of a run and read back by the tool it is for."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from search_spaces.registry import find_space
from tests.support.frames import search_records
from tuning.elsewhere.destination import Source
from tuning.elsewhere.place import Place, kinds, places
from tuning.trial.metric import Metric
from tuning.trial.trial import ASIDE, Origin, TrialRecord

ACCURACY = Metric("accuracy", maximize=True)
ODD = "F1 @10, macro"
"""A further metric, which one of the trials has: whatever letters names have."""
RECORDS = [
    dataclasses.replace(each, metrics={ODD: 0.5} if each.number == 0 else {})
    for each in search_records(16)
]
SPACE = find_space("dynamic_suffix")
KNOBS = tuple(sorted({name for record in RECORDS for name in record.recipe.knobs}))


def source(metric: Metric = ACCURACY) -> Source:
    """A run of a workload whose metric is maximised: the negative of what is recorded."""
    return Source("mine", "byte_lm", SPACE, KNOBS, metric, metrics=(ODD,))


def told(kind: str, where: str, records: list[TrialRecord]) -> None:
    """Open it, tell the records, close it."""
    destination = Place(kind, where).open(source())
    for record in records:
        destination.tell(record)
    destination.close()


def read_csv(where: str) -> dict[int, float | None]:
    frame = pd.read_csv(where).set_index("number")
    return {int(n): _known(frame["val_metric"][n]) for n in frame.index}


def _known(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def read_tensorboard(where: str) -> dict[int, float | None]:
    found: dict[int, float | None] = {}
    for folder in (Path(where) / "mine").iterdir():
        events = EventAccumulator(str(folder)).Reload()
        tags = events.Tags()["scalars"]
        last = events.Scalars("final/val_metric")[-1].value if "final/val_metric" in tags else None
        found[int(folder.name.removeprefix("trial-"))] = last
    return found


def mlflow_at(where: str) -> Any:
    """Its client; loading it takes longer than all that is done here."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=where)


def read_mlflow(where: str) -> dict[int, float | None]:
    client = mlflow_at(where)
    [experiment] = [e for e in client.search_experiments() if e.name == "mine (byte_lm)"]
    runs = client.search_runs([experiment.experiment_id])
    return {
        int(run.data.tags["ttq.number"]): run.data.metrics.get("final_val_metric") for run in runs
    }


def read_optuna(where: str) -> dict[int, float | None]:
    study = optuna.load_study(study_name="mine", storage=where)
    return {
        trial.user_attrs["number"]: trial.user_attrs.get("val_metric") for trial in study.trials
    }


CASES: dict[str, tuple[str, Callable[[str], dict[int, float | None]]]] = {
    "csv": ("{}/trials.csv", read_csv),
    "tensorboard": ("{}/events", read_tensorboard),
    "mlflow": ("sqlite:///{}/runs.db", read_mlflow),
    "optuna": ("sqlite:///{}/study.db", read_optuna),
}


def test_every_destination_is_tried_here() -> None:
    """W&B's runs have no reader that needs no account; its files have a test below."""
    assert set(kinds()) == {*CASES, "wandb"}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Where a destination of a kind is that was told half of the trials, and then all; to be read.
    Made once: opening a data base takes longer than telling it.
    """

    @functools.cache
    def place(kind: str) -> str:
        where = CASES[kind][0].format(tmp_path_factory.mktemp(kind))
        told(kind, where, RECORDS[:8])
        told(kind, where, RECORDS)
        return where

    return place


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", CASES)
def test_each_trial_is_there_once(kind: str, filled: Callable[[str], str]) -> None:
    """Half of them, then all: finished, stopped and failed ones, with the metric's own value."""
    expected = {r.number: None if r.val_loss is None else -r.val_loss for r in RECORDS}
    found = CASES[kind][1](filled(kind))
    assert found.keys() == expected.keys()
    for number, value in expected.items():
        assert found[number] == (None if value is None else pytest.approx(value, rel=1e-6))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("csv", f"metric_{ODD}"),
        ("optuna", f"metric_{ODD}"),
        ("mlflow", "final_metric_F1 -10- macro"),
    ],
)
def test_further_metrics_are_told_too(kind: str, name: str, filled: Callable[[str], str]) -> None:
    """Whatever letters their names have; a trial without one has none."""
    expected = {r.number: r.metrics.get(ODD) for r in RECORDS}
    assert sorted(expected.values(), key=str) == [0.5, *[None] * (len(RECORDS) - 1)]
    assert METRICS_READ[kind](filled(kind), name) == expected


def _of_csv(where: str, name: str) -> dict[int, float | None]:
    frame = pd.read_csv(where).set_index("number")
    return {int(n): _known(frame[name][n]) for n in frame.index}


def _of_optuna(where: str, name: str) -> dict[int, float | None]:
    study = optuna.load_study(study_name="mine", storage=where)
    return {trial.user_attrs["number"]: trial.user_attrs.get(name) for trial in study.trials}


def _of_mlflow(where: str, name: str) -> dict[int, float | None]:
    client = mlflow_at(where)
    [experiment] = [e for e in client.search_experiments() if e.name == "mine (byte_lm)"]
    runs = client.search_runs([experiment.experiment_id])
    return {int(run.data.tags["ttq.number"]): run.data.metrics.get(name) for run in runs}


METRICS_READ = {"csv": _of_csv, "optuna": _of_optuna, "mlflow": _of_mlflow}


def test_a_study_has_distributions_values_states_and_curves(filled: Callable[[str], str]) -> None:
    """Read by Optuna; the second study has both values of the front."""
    where = filled("optuna")
    study = optuna.load_study(study_name="mine", storage=where)
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    states = {"finished": "COMPLETE", "stopped": "PRUNED", "failed": "FAIL"}
    for record, trial in zip(RECORDS, study.trials, strict=True):
        aside = record.state == "finished" and record.origin in ASIDE
        assert trial.state.name == ("PRUNED" if aside else states[record.state])
        assert trial.intermediate_values == {p.step: -p.val_loss for p in record.curve}
        assert trial.params["horizon"] == record.recipe.horizon
        for name, value in record.recipe.knobs.items():
            assert trial.params.get(name, trial.user_attrs.get(name)) == value
        if record.state == "finished" and not aside:
            assert record.val_loss is not None
            assert trial.values == [-record.val_loss]
    both = optuna.load_study(study_name="mine: seconds and accuracy", storage=where)
    assert [d.name for d in both.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert both.best_trials


@pytest.mark.parametrize("origin", ASIDE)
def test_what_is_on_no_front_is_no_studys_best(tmp_path: Path, origin: Origin) -> None:
    """A short look at a recipe that was given up and another seed's run, better and sooner than all
    else; its loss stays readable.
    """
    where = f"sqlite:///{tmp_path}/study.db"
    full = next(record for record in RECORDS if record.recipe.is_control and record.val_loss)
    assert full.train_seconds is not None
    assert full.val_loss is not None
    aside = dataclasses.replace(
        full,
        number=99,
        origin=origin,
        val_loss=full.val_loss / 2,
        train_seconds=full.train_seconds / 2,
    )
    told("optuna", where, [full, aside])
    for name in ("mine", "mine: seconds and accuracy"):
        study = optuna.load_study(study_name=name, storage=where)
        assert [trial.user_attrs["number"] for trial in study.best_trials] == [full.number]
        assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED"]
        assert study.trials[1].user_attrs["val_metric"] == -full.val_loss / 2


def test_a_baseline_outside_the_space_widens_its_range(tmp_path: Path) -> None:
    """A horizon beyond what is searched is in the study with a range that holds it."""
    where = f"sqlite:///{tmp_path}/study.db"
    full = next(record for record in RECORDS if record.recipe.is_control)
    longer = type(full.recipe)(full.recipe.policy, 2.25, full.recipe.knobs)
    told("optuna", where, [type(full)(**{**vars(full), "recipe": longer})])
    [trial] = optuna.load_study(study_name="mine", storage=where).trials
    found = trial.distributions["horizon"]
    assert isinstance(found, optuna.distributions.FloatDistribution)
    assert found.high == trial.params["horizon"] == 2.25


def test_the_relative_axis_of_tensorboard_is_solo_seconds(tmp_path: Path) -> None:
    """The times of a curve's events, less the first's, are its solo seconds."""
    record = next(r for r in RECORDS if len(r.curve) > 1)
    told("tensorboard", str(tmp_path), [record])
    folder = tmp_path / "mine" / f"trial-{record.number:04d}"
    events = EventAccumulator(str(folder)).Reload().Scalars("accuracy")
    assert [event.step for event in events] == [point.step for point in record.curve]
    gone = [event.wall_time - events[0].wall_time for event in events]
    first = record.curve[0].train_seconds
    assert gone == pytest.approx([p.train_seconds - first for p in record.curve], abs=1e-3)


def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file a trial on this machine, with its name, its group and its metric in it."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    # On a busy machine the process that it starts takes its time.
    monkeypatch.setenv("WANDB_X_SERVICE_WAIT", "200")
    import wandb  # here: it takes a second

    told("wandb", "project", RECORDS[:2])
    # A run that is finished may still be on its way to the file: that process writes it.
    wandb.teardown()
    for number in range(2):
        [file] = (tmp_path / "wandb").glob(f"offline-run-*-mine-{number}/*.wandb")
        data = file.read_bytes()
        words = (f"mine-{number}", "accuracy", "project")
        assert not [word for word in words if word.encode() not in data], len(data)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (Place("tensorbord", "x"), "did you mean 'tensorboard'"),
        (Place("mlflow", ""), "must be followed by a tracking store"),
    ],
)
def test_what_is_wrong_with_a_place_is_said(place: Place, words: str) -> None:
    """No such kind; nowhere."""
    [fault] = place.faults("--log")
    assert words in fault


def test_a_library_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With how it is installed."""
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr("tuning.elsewhere.wandb.WandB.package", "no_such_library_here")
    [fault] = Place("wandb", "mine").faults("--log")
    assert "no_such_library_here, which is not installed: pip install" in fault


def test_places_of_an_option() -> None:
    """Several, each up to its comma; what stands after the first colon is where."""
    found = places("csv:a.csv,optuna:sqlite:///b.db")
    assert found == (Place("csv", "a.csv"), Place("optuna", "sqlite:///b.db"))
    assert places(None) == ()
