"""The law on time: what ran beside a trial changes neither its seconds nor its loss, not by a
bit.
"""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest

from tests.support.searches import config_of, own_columns, search
from tests.support.watch import Remembering
from tuning.trial.trial import TrialRecord

BASELINES = 8
"""Trials that are known before any has run.

What is sampled depends on what was known when it was asked for.
"""
WORKLOAD = "tests.support.tiny:metered"
"""With further metrics, which are columns too."""
TARGET = 1.0
"""Given, so that the trunk is trained beside the first trials."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The trials one after another in this process."""
    run = tmp_path_factory.mktemp("alone") / "run"
    config = config_of(run, workload=WORKLOAD, trials=BASELINES, target=TARGET)
    return in_order(search(config, Remembering()).trials)


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """By number: they end in another order than they were begun in."""
    return frame.sort_values("number", ignore_index=True)


class Company(Remembering):
    """From the first run that has ended on a process that has nothing to do with the search takes
    all of a core; before that it would only slow Ray's start.
    """

    process: subprocess.Popen[bytes] | None = None

    def ended(self, record: TrialRecord) -> None:
        super().ended(record)
        self.process = self.process or subprocess.Popen([sys.executable, "-c", "while True: pass"])

    def over(self) -> None:
        """It ends, which it has not done by itself."""
        assert self.process is not None
        assert self.process.poll() is None
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The same trials through Ray, two at once on one core and with a foreign process."""
    config = config_of(
        tmp_path_factory.mktemp("beside") / "run",
        workload=WORKLOAD,
        driver="ray",
        trials=BASELINES,
        target=TARGET,
        concurrency=2,
        cpus_per_trial=0.5,
    )
    company = Company()
    try:
        frame = search(config, company).trials
    finally:
        company.over()
    assert len(company.records) >= BASELINES
    return in_order(frame)


@pytest.mark.ray
def test_company_changes_no_bit(alone: pd.DataFrame, beside: pd.DataFrame) -> None:
    """Every column of a trial's own is equal.

    That includes ``train_seconds``, ``val_loss``, further metrics and whole curves. From where on a
    trial was trained is not its own while the trunk is trained beside it.
    """
    assert (beside["state"] == "finished").all()
    assert (beside["wall_seconds"] > 0).all()
    assert beside["metric_error"].tolist() == beside["val_loss"].tolist()
    ours, theirs = (
        own_columns(frame).drop(columns="forked_from_step") for frame in (beside, alone)
    )
    pd.testing.assert_frame_equal(ours, theirs)


@pytest.mark.ray
def test_the_trunks_own_run_is_not_trained_beside_it(beside: pd.DataFrame) -> None:
    """The one that it is waits, and costs nothing."""
    assert beside["forked_from_step"].iloc[0] == beside["steps"].iloc[0]
