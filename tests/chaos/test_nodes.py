"""A search over a cluster of two nodes, one of which dies in the middle of it."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import tuning
from tests.support import slow
from tests.support.searches import config_of, prepared
from tests.support.victims import ROOT, Victim, eventually

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
TRIALS = 5


class Cluster:
    """The cluster as a search and its user know it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.two_nodes"],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()

    def kill_a_node(self) -> None:
        """The second node's processes die."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """End all of it."""
        self._process.communicate()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Two raylets on this machine, each with one core for trials, behind a secret that the search
    is given as well.
    """
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    paths = {slow.LOG: str(tmp_path / "steps"), slow.HOLD: str(tmp_path / "hold")}
    made = Cluster({"RAY_USAGE_STATS_ENABLED": "0", **paths, **secret})
    yield made
    made.stop()


def _raylet_of(pid: int) -> psutil.Process | None:
    """The raylet below which a worker runs."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return next((p for p in psutil.Process(pid).parents() if p.name() == "raylet"), None)
    return None


def _held(hold: Path) -> set[int]:
    """The processes that stay where they are."""
    return set(map(int, hold.read_text().split()))


def test_a_node_that_dies_costs_only_its_trials_in_flight(cluster: Cluster, tmp_path: Path) -> None:
    """Workers on both raylets train; one raylet is killed; what ran there runs again on the other,
    and all is done.

    The records of before are the same bytes, and only tasks of the dead node count two executions.
    """
    run, hold = tmp_path / "run", tmp_path / "hold"
    prepared(config_of(tmp_path / "clock", workload=slow.NAME))
    argv = ["tuning.search", "--workload", slow.NAME, "--trials", str(TRIALS), "--run", str(run)]
    argv += ["--space", "dynamic_suffix", "--clock", str(tmp_path / "clock")]
    search = Victim(
        [*argv, "--concurrency", "2", "--address", cluster.address],
        tmp_path / "said",
        cluster.environment,
    )
    try:
        trials = run / "trials"
        assert eventually(lambda: list(trials.glob("*.parquet")) or search.over), search.said()
        hold.touch()  # both stay in the middle of a trial
        assert eventually(lambda: len(_held(hold)) == 2 or search.over), search.said()
        held = _held(hold)
        assert len({_raylet_of(pid) for pid in held} - {None}) == 2, "both nodes are to train"
        before = {path: path.read_bytes() for path in trials.glob("*.parquet")}
        cluster.kill_a_node()
        assert eventually(lambda: not all(psutil.pid_exists(pid) for pid in held))
        hold.unlink()
        assert search.wait() == 0, search.said()
    finally:
        search.end()
    frame = tuning.load(run)
    assert frame["number"].tolist() == list(range(TRIALS))
    assert set(frame["state"]) == {"finished"}
    assert {path: path.read_bytes() for path in before} == before
    assert (frame["executions"] - 1).sum() <= 1  # it may have been a reference run's node
    assert "worker died" in search.said()
    assert not (run / "ray").exists()
    assert os.listdir(run / "running") == ["lease"]  # noqa: PTH208 - names
