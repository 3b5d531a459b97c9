"""A search that is followed elsewhere: what it tells, and what it survives."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.support.searches import config_of, own_columns, search
from tuning.export import main as export
from tuning.search import main
from tuning.session.watch import Silent
from tuning.store.store import Store


class Warned(Silent):
    """Remembers what it was warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        """Keep it."""
        self.warnings.append(text)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a search of six trials that nobody follows; to be copied, not changed."""
    watcher, run = Warned(), tmp_path_factory.mktemp("plain") / "run"
    search(config_of(run, trials=6, target=1.0), watcher)
    assert not [w for w in watcher.warnings if "no more trials are told" in w]
    return run


def test_trials_are_told_as_they_end_and_those_of_before_too(plain: Path, tmp_path: Path) -> None:
    """Six trials, unfollowed; followed on to eight the file has eight, as the table has."""
    run = Path(shutil.copytree(plain, tmp_path / "run"))
    trials = search(config_of(run, trials=8, target=1.0, log=f"csv:{tmp_path}/told.csv")).trials
    told = pd.read_csv(tmp_path / "told.csv").sort_values("number")
    assert told["number"].tolist() == trials["number"].tolist()
    assert told["val_loss"].tolist() == pytest.approx(trials["val_loss"].tolist())


@pytest.mark.parametrize("where", ["/dev/full", "{}/nowhere/told.csv"])
def test_one_that_fails_says_so_once_and_harms_nothing(
    where: str, plain: Path, tmp_path: Path
) -> None:
    """A disk that is full, a folder that is not there: the search has the trials of one that is
    not followed.
    """
    watcher = Warned()
    log = f"csv:{where.format(tmp_path)}"
    followed = search(config_of(tmp_path / "run", trials=6, target=1.0, log=log), watcher).trials
    said = [w for w in watcher.warnings if "no more trials are told to csv" in w]
    assert len(said) == 1
    pd.testing.assert_frame_equal(own_columns(followed), own_columns(Store.open(plain).frame()))


def test_a_place_that_cannot_be_is_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the other faults, in one message, and nothing is created."""
    run = tmp_path / "run"
    assert main(["--run", str(run), "--log", "tensorbord:x", "--trials", "0"]) == 2
    said = capsys.readouterr().err
    assert "did you mean 'tensorboard'" in said
    assert "trials >= 1" in said
    assert not run.exists()


def test_export_tells_a_whole_run(
    plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command; a place that refuses is bad input, and so is asking for nothing."""
    run, trials = plain, Store.open(plain).frame()
    assert export([str(run), "--to", "csv", str(tmp_path / "told.csv")]) == 0
    assert len(pd.read_csv(tmp_path / "told.csv")) == len(trials)
    assert "6 trials" in capsys.readouterr().err
    assert export([str(run), "--to", "csv", str(tmp_path / "no" / "told.csv")]) == 2
    assert "--to csv is followed by a file, and must be able to write" in capsys.readouterr().err
    assert export([str(run)]) == 2
    assert "--trial N|best" in capsys.readouterr().err
