"""``python -m tuning.compare``: a whole comparison on the tiny workload, and what it refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from models.registry import find_workload
from models.workload import Workload
from tests.support.costs import made_up_costs, two_rounds
from tests.support.tiny import nan_loss, raises_at_step, tiny
from tuning.compare import document, main
from tuning.errors import SearchFailed
from tuning.findings.comparison import FULL, Trained, rows_of
from tuning.session import compare as compare_run
from tuning.session.compare import SCHEDULES, Plan, compared
from tuning.session.listed import Subject

TINY = "tests.support.tiny:tiny"
HERE = "tests.tuning.test_compare"
ASKED_FOR = {
    *("policy", "mode", "seed", "val_loss", "ms_per_step", "speedup", "gap_percent", "probes"),
    "mean_active_blocks",
}


def runs_of(plan: Plan) -> list[Trained]:
    return list(compared(plan, lambda _: None))


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Two seeds of the tiny workload on a made-up clock."""
    return Plan(Subject.find(f"{HERE}:of_twelve_steps"), made_up_costs(), (0, 1))


@pytest.fixture(scope="module")
def runs(plan: Plan) -> list[Trained]:
    return runs_of(plan)


class TestCompared:
    def test_every_schedule_in_every_mode_on_every_seed(
        self, plan: Plan, runs: list[Trained]
    ) -> None:
        """As many runs as were announced, none twice."""
        found = {(run.schedule, run.mode, run.control_for, run.seed) for run in runs}
        assert len(runs) == len(found) == plan.runs
        assert {run.schedule for run in runs} == {FULL, "static", "early", "tuned", "tuned_v2"}

    def test_equal_steps_are_the_baselines(self, plan: Plan, runs: list[Trained]) -> None:
        """Exactly as many, at whatever depth they were."""
        assert {run.steps for run in runs if run.mode == "steps"} == {plan.subject.workload.steps}

    def test_equal_time_and_the_control_take_the_seconds_they_are_held_against(
        self, plan: Plan, runs: list[Trained]
    ) -> None:
        """The end of a run is a step, so that it is late by less than the longest one."""
        longest = plan.costs.step_cost(4) + plan.costs.data_seconds + plan.costs.probe_seconds
        spent = {(run.schedule, run.seed): run.seconds for run in runs if run.mode == "steps"}
        for run in runs:
            if run.mode != "steps":
                meant = (
                    plan.baseline if run.control_for is None else spent[run.control_for, run.seed]
                )
                assert meant - 1e-9 <= run.seconds < meant + longest

    def test_a_run_is_the_same_again(self, plan: Plan, runs: list[Trained]) -> None:
        """All but what the steps took here, to the last bit."""
        again = runs_of(Plan(plan.subject, plan.costs, (1,)))
        mine = [run for run in runs if run.seed == 1]
        assert [(r.val_loss, r.seconds, r.levels) for r in again] == [
            (r.val_loss, r.seconds, r.levels) for r in mine
        ]

    def test_a_run_that_fails_is_a_row_with_its_reason(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A loss that is not finite from the baseline's last step on.

        Only runs with more steps meet it.
        """
        monkeypatch.setattr(
            compare_run, "SCHEDULES", {name: SCHEDULES[name] for name in (FULL, "static")}
        )
        failed = runs_of(Plan(Subject.find(f"{HERE}:fails_late"), made_up_costs(), (0,)))
        assert [(run.mode, run.val_loss is None) for run in failed] == [
            ("steps", False),
            ("steps", False),
            ("control", False),
            ("time", True),
        ]
        assert failed[-1].error is not None
        assert failed[-1].error.startswith(
            "NonFiniteLossError at step 20: training loss became nan at step 20"
        )

    def test_without_a_baseline_there_is_nothing_to_compare_with(self) -> None:
        """The message says at which step the baseline failed, and how."""
        for faulty, what in (
            ("fails_early", "became nan at step 3"),
            ("raises_early", "no batch at step 3"),
        ):
            with pytest.raises(
                SearchFailed, match=rf"on seed 0 it did not: .*{what}.*; look at the workload"
            ):
                runs_of(Plan(Subject.find(f"{HERE}:{faulty}"), made_up_costs(), (0,)))


def test_the_document_holds_what_programs_read(plan: Plan, runs: list[Trained]) -> None:
    """Strict JSON: every asked-for figure in every row, a finite number each."""
    text = json.dumps(document(plan, rows_of(runs)), allow_nan=False)
    rows = json.loads(text)["rows"]
    assert len(rows) == plan.runs + len(plan.seeds)  # full_update stands in two modes
    assert all(row.keys() >= ASKED_FOR for row in rows)
    assert all(math.isfinite(row["val_loss"]) and row["ms_per_step"] > 0 for row in rows)


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One seed with a clock that is really calibrated: the table, the verdict and the file."""
    file = tmp_path / "compared.json"
    with two_rounds():
        assert main(["--workload", TINY, "--seeds", "1", "--seed", "5", "--json", str(file)]) == 0
    out, err = capsys.readouterr()
    assert "Equal steps: 20 steps each, 1 seed" in out
    assert "full_update trained for the same seconds" in out
    assert "13 of 13: seed 5, tuned_v2 at equal time" in err
    written: dict[str, Any] = json.loads(file.read_text())
    assert {row["seed"] for row in written["rows"]} == {5}
    assert written["workload"] == find_workload(TINY).name


def test_bad_input_is_named_all_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, five faults in one message, and nothing made."""
    faulty = [
        "--workload",
        "no",
        "--seeds",
        "0",
        "--seed",
        "x",
        "--json",
        str(tmp_path / "no" / "f.json"),
    ]
    assert main(faulty) == 2
    message = capsys.readouterr().err
    for fault in (
        "workload must be one of",
        "--seeds must be a whole number of at least 1, but got '0'",
        "--seed must be a whole number of at least 0, but got 'x'",
        "--json must lie in a directory that exists",
    ):
        assert fault in message
    assert list(tmp_path.iterdir()) == []


def test_a_workload_that_does_not_train_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """It raises in the warm-up, before anything is compared: status 1 and one line."""
    assert main(["--workload", f"{HERE}:never_trains"]) == 1
    assert (
        "the workload must train, but it raised RuntimeError: no batch at step 0"
        in capsys.readouterr().err
    )


def never_trains() -> Workload:
    return raises_at_step(0)


def of_twelve_steps() -> Workload:
    return tiny(steps=12)


def fails_late() -> Workload:
    return nan_loss(at=20)


def fails_early() -> Workload:
    return nan_loss(at=3)


def raises_early() -> Workload:
    return raises_at_step(3)


def test_a_corpus_is_for_a_workload_that_takes_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a directory is no file to write to."""
    assert main(["--workload", TINY, "--corpus", str(tmp_path), "--json", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "a corpus can be given only to a workload that takes one" in message
    assert "is a directory; add a file name" in message
