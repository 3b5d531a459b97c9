"""The law on time: what ran beside a trial changes neither its seconds nor its loss, not by a
bit.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.support.searches import config_of, own_columns, search
from tests.support.watch import Remembering
from tuning.trial.trial import TrialRecord

BASELINES = 8
"""Trials that are known before any has run.

What is sampled depends on what was known when it was asked for.
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The trials one after another in this process."""
    config = config_of(tmp_path_factory.mktemp("alone") / "run", trials=BASELINES)
    return search(config, Remembering()).trials


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


@pytest.mark.ray
def test_company_changes_no_bit(alone: pd.DataFrame, tmp_path: Path) -> None:
    """The same trials through Ray, three at once and with a foreign process: every column of a
    trial's own is equal.

    That includes ``train_seconds``, ``val_loss`` and whole curves.
    """
    config = config_of(
        tmp_path / "run",
        driver="ray",
        trials=BASELINES,
        concurrency=3,
        cpus_per_trial=0.5,
    )
    company = Company()
    try:
        frame = search(config, company).trials
    finally:
        company.over()
    assert len(company.records) >= BASELINES
    assert (frame["state"] == "finished").all()
    assert (frame["wall_seconds"] > 0).all()
    pd.testing.assert_frame_equal(own_columns(frame), own_columns(alone))


@pytest.mark.ray
def test_the_trunks_own_run_is_not_trained_beside_it(tmp_path: Path) -> None:
    """With a given target the trunk is trained beside the first trials.

    The one that it is waits, and costs nothing.
    """
    frames = []
    for driver in ("serial", "ray"):
        config = config_of(
            tmp_path / driver, driver=driver, trials=BASELINES, target=1.0,
            concurrency=2 if driver == "ray" else 1, cpus_per_trial=1,
        )  # fmt: skip
        frames.append(search(config, Remembering()).trials.sort_values("number", ignore_index=True))
    serial, ray = frames
    assert (ray["state"] == "finished").all()
    assert ray["forked_from_step"].iloc[0] == ray["steps"].iloc[0]
    ray, serial = (own_columns(frame).drop(columns="forked_from_step") for frame in (ray, serial))
    pd.testing.assert_frame_equal(ray, serial)
