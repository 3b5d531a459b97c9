"""``python -m tuning.tidy``: what is of no more use goes, and a search can still be extended."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.searches import config_of, own_columns, search
from tuning.store.lease import Lease
from tuning.store.store import Store
from tuning.store.upkeep import FINISHED, snapshots, trunk_folders
from tuning.tidy import main


def kept(run: Path) -> list[int]:
    """How many snapshots each seed has."""
    return [len(snapshots(folder)) for folder in trunk_folders(run)]


@pytest.fixture(scope="module")
def nine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search of nine trials; to be copied, not changed."""
    run = tmp_path_factory.mktemp("nine") / "run"
    search(config_of(run, trials=9, target=1.0))
    return run


@pytest.fixture
def run(nine: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(nine, tmp_path / "run"))


def test_a_finished_search_is_small_and_can_be_extended(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A real search, done, tidied and extended, has the rows of the straight one, but for where
    they forked.
    """
    straight = search(config_of(tmp_path / "straight", trials=11, target=1.0)).trials
    assert sum(kept(run)) <= FINISHED
    assert main([str(tmp_path), "--dry-run"]) == 0
    assert sum(kept(run)) > 0
    assert main([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "freed" in said
    assert kept(run) == [0] * len(kept(run))
    longer = search(config_of(run, trials=11, target=1.0)).trials
    columns = ["forked_from_step"]
    assert (
        own_columns(longer)
        .drop(columns=columns)
        .equals(own_columns(straight).drop(columns=columns))
    )


def test_a_run_in_use_is_named_and_left(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another process's lease, here this one's; status 2."""
    before = kept(run)
    with Lease.acquire(run):
        assert main([str(run)]) == 2
    assert "run" in capsys.readouterr().err
    assert kept(run) == before


def test_what_can_be_gone_on_with_keeps_its_snapshots(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """More trials are asked for than are recorded."""
    before, store = kept(run), Store.open(run)
    store.update_info(config={**store.info.config, "trials": 20})
    assert main([str(run)]) == 0
    assert kept(run) == before
    assert "gone on with" in capsys.readouterr().out


def test_no_run_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty folder."""
    assert main([str(tmp_path)]) == 2
    assert "must be a run directory or hold some" in capsys.readouterr().err
