"""The benchmark of attention backends.

It runs from start to end, and each row says what it claims to measure.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from benchmarks.levers import attention as attention_backends
from models.levers.computing import BACKENDS, DTYPES

EVERY = {(backend, dtype) for backend in BACKENDS for dtype in DTYPES}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What ``--quick --device cpu --json`` wrote: kernels, steps, and what was left out."""
    file = tmp_path_factory.mktemp("attention") / "out.json"
    attention_backends.main(["--quick", "--device", "cpu", "--rounds", "2", "--json", str(file)])
    return list(json.loads(file.read_text())["tables"].values())


def test_every_backend_is_measured_or_left_out_with_a_reason(tables: list[Any]) -> None:
    """Rows of kernels and of what was left out are together all pairs of backend and dtype, none
    twice.
    """
    kernels, steps, lacks = tables
    measured = [(row["backend"], row["dtype"]) for row in kernels]
    left_out = [tuple(row["left out"].split()) for row in lacks if row["left out"] != "compiled"]
    assert sorted(measured + left_out) == sorted(EVERY)
    assert [(row["backend"], row["dtype"]) for row in steps] == measured
    assert all(row["why"] for row in lacks)


def test_rows_are_of_the_kernels_they_name(tables: list[Any]) -> None:
    """The kernels that ran are the backend's, and the error is a few units of the dtype's last
    place.
    """
    for row in tables[0]:
        ran = {name.removesuffix(" backward") for name in row["kernels"].split(", ")}
        assert ran == {row["backend"]}
        assert 0 < row["error"] < 8 * torch.finfo(getattr(torch, row["dtype"])).eps


def test_math_in_float32_is_the_baseline(tables: list[Any]) -> None:
    """It comes first and its ratios are exactly 1."""
    kernels, steps, _ = tables
    assert (kernels[0]["backend"], kernels[0]["dtype"]) == attention_backends.BASELINE
    assert (kernels[0]["forward / math"], kernels[0]["backward / math"], steps[0]["/ math"]) == (
        1,
        1,
        1,
    )


def test_too_few_rounds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A spread needs two."""
    with pytest.raises(SystemExit):
        attention_backends.main(["--rounds", "1"])
    assert "rounds >= 2 must hold, but got 1" in capsys.readouterr().err
