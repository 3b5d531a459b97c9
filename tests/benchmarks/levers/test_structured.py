"""The benchmarks of cheaper matrices.

Each runs from start to end, with a row for everything it claims to measure.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.levers import matrices as matrix_approximation
from benchmarks.levers import mlps as mlp_sparsity
from benchmarks.levers.structured import GOAL, bound_from


@pytest.fixture(scope="module")
def matrices(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What ``matrix_approximation --quick --json`` wrote."""
    return _written(tmp_path_factory.mktemp("matrices") / "out.json", matrix_approximation.main)


def _written(file: Path, main: Any) -> Any:
    main(["--quick", "--json", str(file)])
    return json.loads(file.read_text())["tables"]


def test_matrices_have_a_row_of_every_kind(matrices: Any) -> None:
    """In every table, beside a dense one where losses are compared."""
    error, speed, size, quality, start = matrices.values()
    assert {row["kind"] for row in error} == set(matrix_approximation.KINDS)
    assert (
        {row["kind"] for row in speed}
        == {row["kind"] for row in size}
        == set(matrix_approximation.TIMED)
    )
    assert [row["what"] for row in quality] == [
        "dense",
        *(f"{kind} 0.25" for kind in matrix_approximation.KINDS),
    ]
    assert [row["what"] for row in start] == ["svd 0.25, dense tail", "monarch 0.25, dense tail"]


def test_errors_rank_as_theory_says(matrices: Any) -> None:
    """On the same rank: the SVD is closest to the matrix, the data-aware fit to the outputs it
    saw.
    """
    error = next(iter(matrices.values()))
    for matrix in {row["matrix"] for row in error}:
        rows = {row["kind"]: row for row in error if row["matrix"] == matrix}
        assert rows["svd"]["error of the matrix"] < rows["data_aware"]["error of the matrix"]
        assert rows["data_aware"]["error of outputs, seen"] < rows["svd"]["error of outputs, seen"]


def test_only_replaced_matrices_cost_less(matrices: Any) -> None:
    """The dense row replaces none and costs what a dense step costs; the others cost less."""
    quality = list(matrices.values())[3]
    assert (quality[0]["layers replaced"], quality[0]["operations a step"]) == (0, 1.0)
    assert quality[0]["loss before"] == quality[0]["just after"]
    assert all(row["layers replaced"] == 4 and row["operations a step"] < 1 for row in quality[1:])


def test_sparsity_runs(tmp_path: Path) -> None:
    """Every MLP of the model has a row, and 2:4 sparsity only where there is hardware for it."""
    error, speed, _, quality, start = _written(tmp_path / "out.json", mlp_sparsity.main).values()
    assert [row["mlp"] for row in error] == ["blocks.0.mlp", "blocks.1.mlp"]
    assert {row["kind"] for row in speed} == {"hidden_units"}
    assert [row["what"] for row in quality] == ["dense", "hidden_units 0.5"]
    assert len(start) == 1


@given(st.lists(st.floats(0, 2), min_size=1, max_size=6))
def test_bound_from_is_the_first_size_after_the_last_miss(ratios: list[float]) -> None:
    """Every size from there on reaches the goal, and the size before does not."""
    rows = [
        {"size": 2**index, "forward, of the limit": ratio} for index, ratio in enumerate(ratios)
    ]
    start = bound_from(rows, "forward")
    reached = [row["size"] for row in rows if start is not None and row["size"] >= start]
    assert all(row["forward, of the limit"] >= GOAL for row in rows if row["size"] in reached)
    missed = [row for row in rows if row["size"] not in reached]
    assert not missed or missed[-1]["forward, of the limit"] < GOAL
