"""Further metrics of a workload: measured where a trial ends, and a column each."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

import tuning
from models.measuring import metrics_of
from models.registry import find_workload
from models.workload import Workload
from policies.registry import make_policy
from tests.support import tiny
from tests.support.costs import made_up_costs
from tests.support.searches import config_of, own_columns, search
from tests.support.watch import Remembering
from tuning.errors import BadInput
from tuning.export import main as export
from tuning.pareto import main as pareto
from tuning.session.description import refuse_other_data
from tuning.store.store import Store
from tuning.training.loop import TrainingRun, timetable
from tuning.trial.replay import Trunk, replay

METERED = "tests.support.tiny:metered"
SAID = "metrics['m'](model) must return one number, but got a dict with 'm': return its ['m']"
SEARCHED: dict[str, Any] = {"trials": 10, "target": 1.0}
"""The baselines and two that are sampled; no runs that find a target."""
COLUMNS = ["metric_error", "metric_Weight, drawn", "metric_never"]


def wrong(model: nn.Module) -> Any:
    return {"m": 1.0}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search with forks."""
    folder = tmp_path_factory.mktemp("metered") / "run"
    search(config_of(folder, **SEARCHED, workload=METERED), Remembering())
    return folder


def test_each_is_what_it_was_at_the_end_of_the_trial(run: Path) -> None:
    """One that measures what ``evaluate`` does is the validation loss; what is not finite is
    null.
    """
    frame = tuning.load(run)
    assert frame["metric_error"].tolist() == frame["val_loss"].tolist()
    assert frame["metric_Weight, drawn"].nunique() > 5
    assert frame["metric_never"].isna().all()
    assert frame["forked_from_step"].notna().any()


def test_a_run_that_is_not_over_has_none() -> None:
    """Evaluated on its way, as one that is stopped early is; at its end, saved and loaded, it has
    those that are finite.
    """

    def begun() -> TrainingRun:
        return TrainingRun(
            tiny.metered(),
            make_policy("full_update", {}),
            seed=0,
            horizon=0.5,
            costs=made_up_costs(),
            device=torch.device("cpu"),
        )

    training = begun()
    while not training.finished:
        assert training.measurements().metrics == {}
        training.advance()
    again = begun()
    again.load_state_dict(training.state_dict())
    assert set(again.measurements().metrics) == set(tiny.METRICS)
    assert again.measurements() == training.measurements()
    assert len(training.curve) > 1


def test_they_change_no_bit_and_forks_change_none_of_theirs(run: Path, tmp_path: Path) -> None:
    """Trained without forks, and the same search of the workload without them."""
    unforked, plain = tmp_path / "unforked", tmp_path / "plain"
    search(config_of(unforked, **SEARCHED, workload=METERED, forks=False), Remembering())
    search(config_of(plain, **SEARCHED), Remembering())
    ours, straight, without = (own_columns(Store.open(f).frame()) for f in (run, unforked, plain))
    started = ["forked_from_step"]
    pd.testing.assert_frame_equal(ours.drop(columns=started), straight.drop(columns=started))
    other = [*COLUMNS, "workload"]
    pd.testing.assert_frame_equal(ours.drop(columns=other), without.drop(columns="workload"))


def test_a_search_that_was_stopped_goes_on_with_them(run: Path, tmp_path: Path) -> None:
    """Some trials, then all: the columns are those of the search in one piece."""
    folder, asked = tmp_path / "run", {**SEARCHED, "workload": METERED}
    search(config_of(folder, **{**asked, "trials": 6}), Remembering())
    frame = search(config_of(folder, **asked), Remembering()).trials
    pd.testing.assert_frame_equal(frame[COLUMNS], Store.open(run).frame()[COLUMNS])


def test_they_are_in_every_file(run: Path, tmp_path: Path) -> None:
    """JSON and CSV of the front, every trial elsewhere, and Parquet as pandas reads it."""
    files = [tmp_path / name for name in ("front.json", "front.csv", "all.csv")]
    told = ["--json", str(files[0]), "--csv", str(files[1])]
    assert pareto([str(run), *told]) == 0
    assert export([str(run), "--to", "csv", str(files[2])]) == 0
    frame = Store.open(run).frame().set_index("number")
    for trial in json.loads(files[0].read_text(encoding="utf-8"))["front"]:
        known = frame.loc[trial["number"]]
        assert trial["metrics"] == {
            "error": known["val_loss"],
            "Weight, drawn": known["metric_Weight, drawn"],
            "never": None,
        }
    for file in files[1:]:
        rows = pd.read_csv(file).set_index("number")
        expected = frame.loc[rows.index, COLUMNS].astype(float)
        pd.testing.assert_frame_equal(rows[COLUMNS], expected, check_names=False)
    assert set(COLUMNS) <= set(pd.read_parquet(run / "trials").columns)


def test_they_are_on_the_page(run: Path) -> None:
    """As columns of the table of trials, and in a chosen trial's facts."""
    assert pareto([str(run), "--html", str(run / "report.html")]) == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert '<th class="figure" scope="col">Weight, drawn</th>' in page
    assert '"metrics":{"error":' in page


def test_a_run_goes_on_with_the_metrics_it_began_with(run: Path) -> None:
    """The columns of its table are fixed."""
    workload = replace(find_workload(METERED), metrics={"error": tiny.evaluate})
    config = config_of(run, **SEARCHED, workload=METERED)
    with pytest.raises(BadInput, match=r"metrics must be those the run began with, \['error', 'W"):
        refuse_other_data(Store.open(run), config, workload)


def test_a_run_that_ends_inside_the_trunk_is_trained_to_its_end() -> None:
    """Without a decay a shorter horizon never departs; the metrics there were not measured, so it
    starts from the last snapshot. Without further metrics it is over at once.
    """
    times = replace(timetable(tiny.tiny(steps=40)), decay_fraction=0.0)
    evaluations = dict.fromkeys(range(5, 41, 5), 1.0)
    policy, costs = make_policy("full_update", {}), made_up_costs()
    ends = []
    for metrics in ({}, {"error": 1.0}):
        trunk = Trunk([1.0] * 40, {}, evaluations, (0, 15, 30), metrics)
        standing = replay(policy, trunk, times, costs, 0.5)
        assert standing is not None
        ends.append((standing.step, standing.finished))
    assert ends == [(20, True), (15, False)]


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ([len], "metrics must map names to functions of the model, but got a list"),
        ({"": len}, "metrics must have names of 1 to 24 printable characters, but got ['']"),
        ({"m" * 25: len, 3: len}, "printable characters, but got ['mmmmmmmmmmmmmmmmmmmmmmmmm', 3]"),
        ({"a": 0.5}, "metrics must be functions of the model, but these are none: ['a']"),
        ({"a": len, "A": len}, "must have names that differ beyond case, from one another and"),
        ({"Score": len}, "and from metric='score', but got ['Score']"),
    ],
)
def test_what_cannot_be_a_column_is_refused(metrics: Any, said: str) -> None:
    """In the message that names every fault of a workload."""
    with pytest.raises(ValueError, match="eval_every >= 1 must hold") as refused:
        replace(tiny.scored(), eval_every=0, metrics=metrics)
    assert said in str(refused.value)


def test_one_that_is_no_number_fails_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check finds it first; where the examination was skipped each record says it."""

    def broken() -> Workload:
        return replace(tiny.tiny(target=0.5), name="broken", metrics={"m": wrong})

    monkeypatch.setattr(tiny, "broken", broken, raising=False)
    config = config_of(tmp_path / "run", workload="tests.support.tiny:broken", trials=2)
    frame = search(config, Remembering()).trials
    assert frame["state"].tolist() == ["failed"] * 2
    assert all(SAID in error for error in frame["error"])
    assert frame["metric_m"].isna().all()


@pytest.mark.parametrize(
    ("value", "said"),
    [("high", "return the number, not its text"), (None, "is a return missing?")],
)
def test_what_is_no_number_is_told_by_name_and_place(value: Any, said: str) -> None:
    """In the words that an evaluation has."""
    workload = replace(tiny.tiny(), metrics={"m": lambda model: value})
    with pytest.raises(ValueError, match=r"\(metrics\['m'\] at test_further_metrics.py") as told:
        metrics_of(workload, workload.make_model(0))
    assert said in str(told.value)
