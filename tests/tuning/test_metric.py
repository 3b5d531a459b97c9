"""A metric that is to be maximised: searched as its negative, told as itself."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import tuning
from benchmarks.truth.stopping import spec_of
from models.registry import find_workload
from tests.support.frames import search_records
from tests.support.runs import write_run
from tests.support.searches import config_of, own_columns, search
from tests.support.verdicts import confirmed
from tests.support.watch import Remembering
from tuning.errors import BadInput
from tuning.export import main as export
from tuning.findings.verdict import verdict_from_json
from tuning.pareto import main as pareto
from tuning.report.progress import trial_line
from tuning.session.description import refuse_other_data
from tuning.session.watch import TerminalWatch
from tuning.store.store import Store
from tuning.training.loop import evaluate
from tuning.trial.metric import Metric

SCORED = "tests.support.tiny:scored"
ACCURACY = Metric("accuracy", maximize=True)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that maximises, with a target in the score's own sign."""
    run = tmp_path_factory.mktemp("scored") / "run"
    search(config_of(run, workload=SCORED, target=0.5), Remembering(), page=True)
    return run


def test_a_search_of_a_score_is_the_search_of_its_negative(scored: Path, tmp_path: Path) -> None:
    """Both trained: every record is the same, whatever the workload is called."""
    other = tmp_path / "run"
    negated = config_of(other, workload="tests.support.tiny:score_negated", target=-0.5)
    search(negated, Remembering())
    ours, theirs = (
        own_columns(Store.open(run).frame()).drop(columns="workload") for run in (scored, other)
    )
    pd.testing.assert_frame_equal(ours, theirs)


def test_the_run_remembers_what_it_measures(scored: Path) -> None:
    """In run.json, with the target as what is minimised beside the one that was asked for."""
    info = json.loads((scored / "run.json").read_text(encoding="utf-8"))
    assert info["metric"] == {"name": "score", "maximize": True}
    assert (info["config"]["target"], info["target"]["loss"]) == (0.5, -0.5)
    assert Store.open(scored).info.metric == Metric("score", maximize=True)


def test_everything_that_is_read_has_the_score_as_it_is(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Terminal, page, JSON, CSV and the table in Python, beside the loss that was minimised."""
    front, table = tmp_path / "front.json", tmp_path / "front.csv"
    assert pareto([str(scored), "--json", str(front), "--csv", str(table)]) == 0
    told = capsys.readouterr().out
    data = json.loads(front.read_text(encoding="utf-8"))
    best = max(data["front"], key=lambda trial: trial["val_metric"])
    assert 0 < best["val_metric"] < 1
    assert re.search(rf"\b{best['number']} .* {best['val_metric']:.3f}", told)
    assert re.search(r"seconds +score +gain", told)
    assert "loss" not in told
    assert " -0." not in told
    assert data["metric"] == {"name": "score", "maximize": True}
    assert (data["target_loss"], data["target_metric"]) == (-0.5, 0.5)
    rows = pd.read_csv(table)
    assert rows["val_metric"].tolist() == (-rows["val_loss"]).tolist()
    frame = tuning.load(scored)
    assert frame["val_metric"].tolist() == (-frame["val_loss"]).tolist()
    page = (scored / "report.html").read_text(encoding="utf-8")
    shown = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    assert "<b>Training seconds against score.</b> Left and up is better." in shown
    assert '<th class="figure" scope="col">Score</th>' in shown
    assert ">Your own recipe to its score<" in shown
    assert "validation loss" not in shown.split("Calibration")[0]


def test_a_target_is_given_in_the_scores_own_sign(
    scored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that nothing reached is refused with the highest there is."""
    best = -Store.open(scored).frame()["val_loss"].min()
    assert pareto([str(scored), "--target", "0.999"]) == 2
    said = capsys.readouterr().err
    assert f"must be a value of score that a finished trial reached, but got {0.999:.4f}" in said
    assert re.search(
        rf"the highest is {best:.3f}\d* \(trial \d+\); give --target 0\.\d+ or lower", said
    )


def test_an_export_says_the_score(scored: Path, tmp_path: Path) -> None:
    """Beside the loss, by its name."""
    file = tmp_path / "recipe.toml"
    assert export([str(scored), "--trial", "best", "-o", str(file)]) == 0
    trial = tomllib.loads(file.read_text(encoding="utf-8"))["trial"]
    assert (trial["metric"], trial["val_metric"]) == ("score", -trial["val_loss"])
    assert trial["target_metric"] == 0.5


@pytest.mark.parametrize(
    ("workload", "said"),
    [("score_nan", "score became nan at step"), ("score_infinite", "score became inf at step")],
)
def test_a_score_that_is_no_number_is_a_failed_record(
    tmp_path: Path, workload: str, said: str
) -> None:
    """Each trial fails with the reason, in the score's own name and sign."""
    config = config_of(
        tmp_path / "run", workload=f"tests.support.tiny:{workload}", trials=2, forks=False
    )
    search(config, Remembering())
    frame = Store.open(tmp_path / "run").frame()
    assert frame["state"].tolist() == ["failed"] * 2
    assert all(said in error for error in frame["error"])
    assert frame["val_loss"].isna().all()


def test_a_run_does_not_go_on_in_the_other_direction(scored: Path) -> None:
    """Its losses would mean the opposite."""
    store = Store.open(scored)
    workload = dataclasses.replace(find_workload(SCORED), maximize=False)
    config = config_of(scored, workload=SCORED, target=0.5)
    with pytest.raises(BadInput, match="metric must be maximised, as when the run began, but"):
        refuse_other_data(store, config, workload)


def test_a_run_made_before_there_were_metrics_has_a_loss(tmp_path: Path) -> None:
    """A run.json without one is read, and so is a verdict."""
    run = write_run(tmp_path / "run", search_records(9))
    info = json.loads((run / "run.json").read_text(encoding="utf-8"))
    del info["metric"]
    (run / "run.json").write_text(json.dumps(info), encoding="utf-8")
    assert Store.open(run).info.metric == Metric()
    verdict = json.loads(confirmed({37: 1.08}).to_json())
    del verdict["metric"]
    assert verdict_from_json(json.dumps(verdict)).metric == Metric()


def test_a_line_of_progress_has_the_metric() -> None:
    """By its name and in its own sign, as the line about the target has."""
    entry = dataclasses.replace(search_records()[0], val_loss=-0.97, target_loss=-0.95)
    assert "accuracy 0.9700" in trial_line(entry, metric=ACCURACY)
    lines: list[str] = []

    class Lines:
        def show(self, snapshot: object) -> None: ...
        def line(self, text: str) -> None:
            lines.append(text)

    watch = TerminalWatch(Lines(), trials=9, recorded=0, concurrency=1, metric=ACCURACY)  # type: ignore[arg-type]
    watch.began(spec_of(entry))
    assert lines == ["target: accuracy 0.9500; training 9 trials"]


@pytest.mark.parametrize("kind", [float, np.float32, np.float64, lambda v: torch.tensor([v])])
@pytest.mark.parametrize("maximize", [False, True])
def test_an_evaluation_returns_any_kind_of_number(
    kind: Callable[[float], Any], maximize: bool
) -> None:
    """What is minimised is a float: the number, or its negative."""
    workload = dataclasses.replace(
        find_workload(SCORED), evaluate=lambda model: kind(0.75), maximize=maximize
    )
    assert evaluate(workload, workload.make_model(0)) == (-0.75 if maximize else 0.75)


@pytest.mark.parametrize("name", ["", " accuracy", "a\nb", "x" * 25, None])
def test_a_metrics_name_heads_a_column(name: Any) -> None:
    """One that cannot is refused with the rule."""
    with pytest.raises(ValueError, match="metric must be a name of 1 to 24 printable characters"):
        dataclasses.replace(find_workload(SCORED), metric=name)
