"""The benchmark of forks: it runs from start to end, and its rows are about the runs they name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.cost import forks
from tests.support.searches import TINY


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What ``--quick --search`` wrote: savings, snapshots, searches."""
    file = tmp_path_factory.mktemp("forks") / "out.json"
    forks.main(
        ["--quick", "--workload", TINY, "--rounds", "1", "--search", "4", "--json", str(file)]
    )
    return list(json.loads(file.read_text())["tables"].values())


def test_deeper_departures_fork_later(tables: list[Any]) -> None:
    """Of 20 steps, freezing from the start shares nothing.

    The later it starts, or the control's horizon ends, the more is shared.
    """
    freezing, control = tables[0][:5], tables[0][5:]
    assert freezing[0]["departs at"] == 1  # the first step is a probe
    for rows in (freezing, control):
        assert [row["departs at"] for row in rows] == sorted(row["departs at"] for row in rows)
        assert all(row["forks at"] <= row["departs at"] <= row["of steps"] for row in rows)
        assert [row["predicted s"] for row in rows] == sorted(row["predicted s"] for row in rows)
    assert control[-1]["predicted s"] > 0


def test_snapshots_are_counted_and_weighed(tables: list[Any]) -> None:
    """From the first step to the start of the decay, which is step 16 of 20."""
    (row,) = tables[1]
    assert row["first, last step"] == "0, 16"
    assert row["bytes each"] > 1000
    assert row["snapshots"] >= 2


def test_the_same_search_has_the_same_table(tables: list[Any]) -> None:
    """With forks less is trained; the tables are equal."""
    with_forks, without = tables[2]
    assert with_forks["same table"]
    assert without["same table"]
    assert with_forks["charged s"] == without["charged s"]
    assert with_forks["trained, evaluated s"] < without["trained, evaluated s"]


def test_no_rounds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The message has the rule and the value."""
    with pytest.raises(SystemExit):
        forks.main(["--rounds", "0"])
    assert "rounds >= 1 must hold, but got 0" in capsys.readouterr().err
